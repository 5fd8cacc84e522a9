"""The job board, implemented once on any key-value store."""

from __future__ import annotations

import datetime as dt
import json
import os
import uuid as uuids
from builtins import list as List  # noqa: N812  inside the class, ``list`` is the method
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, Final, Self

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.coordination.leases import Leases
from stackl_flow.coordination.membership import Entity, Membership
from stackl_flow.jobboards import events, sizes, transactions
from stackl_flow.jobboards.base import ClaimBatch, Job, JobCompletion, LogBookSource
from stackl_flow.jobboards.batches import Batches, PostBatch, PreparedPosts, make_claimer
from stackl_flow.jobboards.claims import Claims, ended_error
from stackl_flow.jobboards.dead_letters import DeadLetters
from stackl_flow.jobboards.events import BoardNotifier, EventWatcher, EventWriter, ThreadEventWriter
from stackl_flow.jobboards.keys import GROUP, HOLDER, KEY, MEMBERSHIP, OWNER, BoardKeys, group_of
from stackl_flow.jobboards.listing import Listing, check_states
from stackl_flow.jobboards.maintenance import Maintenance, QueuePolicy
from stackl_flow.jobboards.queries import Queries, Waiter, board_names
from stackl_flow.jobboards.record import (
    ABANDONED,
    CONSUMED,
    RELEASED,
    TRASHED,
    WAITING,
    JobPage,
    JobPriority,
    JobRecord,
    JobSnapshot,
    ListedJob,
    check_job_name,
    read_details,
    read_job_options,
    read_time,
)
from stackl_flow.jobboards.unreadable import UnreadableEntries
from stackl_flow.kv.items import Item, quote
from stackl_flow.kv.store import KV

_LOG = redaction.get_logger(__name__)

#: Default lease duration in seconds.
TTL: Final = 15.0


class KVBoard:
    """A ``JobBoard`` on a key-value store.

    Args:
        name: name of the board.
        kv: the store; the board closes it.
        logbooks: persistence backend of the jobs' logbooks.
        ttl: lease duration in seconds: how long a claim outlives its owner.
        policy: limits of claims and retention of outcomes.
        clock: the clock of posts, claims, due times and expiry; leases go by the store's own clock.
    """

    def __init__(
        self,
        name: str,
        kv: KV,
        logbooks: LogBookSource | None = None,
        *,
        ttl: float = TTL,
        policy: QueuePolicy = QueuePolicy(),  # noqa: B008  frozen
        clock: Clock = SYSTEM,
    ) -> None:
        self.name = name
        self.notifier = BoardNotifier()
        self._kv = kv
        self._logbooks = logbooks
        self._clock = clock
        self._lost_callbacks: List[Callable[[str], None]] = []
        self._workers: List[tuple[str, Callable[[Job], bool]]] = []
        self._keys = keys = BoardKeys(name)
        self.unreadable = UnreadableEntries(kv, keys, clock)
        self._queries = Queries(kv, keys, self.unreadable)
        self._listing = Listing(kv, keys, self._queries, self.unreadable)
        self._writer = EventWriter(kv, keys)
        self._thread_writer = ThreadEventWriter(kv, keys)
        self._leases = Leases(kv, keys.prefix(OWNER), keys.prefix(HOLDER), ttl, self._lease_lost)
        self._maintenance = Maintenance(kv, keys, policy, clock, self._writer, self.unreadable)
        self._waiter = Waiter(kv, keys, self._queries, self._maintenance, self.unreadable, clock)
        self._claims = Claims(
            keys, self._queries, self._writer, self._leases, policy, clock, self._maintenance
        )
        self._batches = Batches(
            self._claims,
            self._writer,
            self._waiter,
            kv,
            make_claimer(kv, keys, self.unreadable),
            self._make_job,
        )
        self._watcher = EventWatcher(kv, keys, self._notify)
        self._pid = os.getpid()
        self._known_groups = {group_of(())}
        self._connected = False
        self.notifier.on_register = self._watch
        self.dead_letters = DeadLetters(kv, keys, self._queries, clock, self._writer)
        self.membership = Membership(kv, keys.prefix(MEMBERSHIP), self.unreadable.note)

    # ------------------------------------------------------------- connection

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self) -> None:
        self._notice_fork()
        if not self._connected:
            self._kv.get(self._keys.key(GROUP, "any"))  # a store that cannot be reached is an error now
            self._connected = True
            self._watch()

    def close(self) -> None:
        self._notice_fork()
        self._connected = False
        self._watcher.stop()
        try:
            self._leases.close(self._claims.held_leases())
        finally:  # a lease that could not be revoked expires
            self._claims.clear()
            self._kv.close()

    @property
    def connected(self) -> bool:
        return self._connected

    def use_heartbeat_process(self) -> None:
        self._notice_fork()
        self._leases.use_heartbeat_process()

    def on_lease_lost(self, callback: Callable[[str], None]) -> None:
        if callback not in self._lost_callbacks:
            self._lost_callbacks.append(callback)

    def register_entity(self, entity: Entity) -> None:
        self._notice_fork()
        try:
            self.membership.register(entity, self._leases.get(entity.name))
        except exc.LeaseLost:  # it expired unnoticed
            self._leases.drop(entity.name)
            self.membership.register(entity, self._leases.get(entity.name))

    # ------------------------------------------------------------- posting and claiming

    def post(
        self,
        name: str,
        book: Any = None,
        details: Mapping[str, Any] | None = None,
        priority: JobPriority | str = JobPriority.NORMAL,
        *,
        connection: Any = None,
        **options: Any,
    ) -> Job:
        record = self._new_record(self._clock.now(), name, book, details, priority, **options)
        if connection is None:
            return self._post(record, self._writer)
        with self._kv.external_transaction(connection):
            return self._post(record, self._thread_writer.writer)

    def post_many(self, posts: Iterable[Mapping[str, Any]], *, connection: Any = None) -> List[Job]:
        writer = self._writer if connection is None else self._thread_writer.writer
        with nullcontext() if connection is None else self._kv.external_transaction(connection):
            prepared = self.prepare_posts(posts, writer)
            return [job for each in prepared for job in self._commit_posts(each, writer)]

    def prepare_posts(
        self, posts: Iterable[Mapping[str, Any]], writer: EventWriter | None = None
    ) -> List[PreparedPosts]:
        """Check posts, and return the writes of the commits that make them, for one commit with other writes.

        A program whose other data are in the same key-value store adds its own checks and puts to the writes,
        and commits them itself. That conflicts if an idempotency key or a uuid is taken.

        Args:
            posts: see ``post_many``.
            writer: makes the events.
        """
        now, writer = round(self._clock.now(), 6), writer or self._writer
        # A microsecond apart, because jobs of one priority are claimed in the order of their time.
        records = [self._new_record(now + number / 1e6, **post) for number, post in enumerate(posts)]
        prepared = []
        batch = PostBatch(self._keys, self._kv.limits)
        for record in records:
            sizes.check_details(self._kv.name, self._kv.limits, record)
            group = group_of(record.required_capabilities)
            is_new = group not in self._known_groups and not self._queries.has_group(group)
            if not batch.add(record, now, new_group=is_new):
                prepared.append(batch.finish(writer))
                batch = PostBatch(self._keys, self._kv.limits)
                batch.add(record, now, new_group=is_new)
        return [*prepared, batch.finish(writer)] if records else []

    def _commit_posts(self, prepared: PreparedPosts, writer: EventWriter) -> List[Job]:
        try:
            self._kv.commit(*prepared.writes)
        except exc.Conflict:
            return [self._post(record, writer) for record in prepared.records]
        return [self._make_job(record, 0) for record in prepared.records]

    def _new_record(
        self,
        now: float,
        name: str,
        book: Any = None,
        details: Mapping[str, Any] | None = None,
        priority: JobPriority | str = JobPriority.NORMAL,
        **options: Any,
    ) -> JobRecord:
        self._check_name(name)
        options = read_job_options(options)
        return JobRecord(
            uuid=options.pop("uuid", None) or str(uuids.uuid4()),
            name=name,
            created_on=now,
            changed_on=now,
            details=read_details(details),
            book={} if book is None else {"uuid": book.uuid, "name": book.name},
            priority=JobPriority.convert(priority),
            **options,
        )

    def _post(self, record: JobRecord, writer: EventWriter) -> Job:
        group = group_of(record.required_capabilities)
        is_new = group not in self._known_groups and not self._queries.has_group(group)
        sizes.check_details(self._kv.name, self._kv.limits, record)
        writes = transactions.post(self._keys, record, record.created_on, new_group=is_new)
        if not writer.commit([(events.POSTED, record)], writes):
            return self.get_job(self._posted_uuid(record))
        if writer is self._writer:  # otherwise the caller may still roll back
            self._known_groups.add(group)
        return self._make_job(record, 0)

    def _posted_uuid(self, record: JobRecord) -> str:
        """Return the uuid of the job that was posted before under the same idempotency key, or uuid."""
        if record.key is not None:
            item = self._kv.get(self._keys.key(KEY, quote(record.key)))
            if item is not None:
                return self._uuid_in(item)
        return record.uuid

    def _uuid_in(self, item: Item) -> str:
        try:
            uuid = json.loads(item.value)
        except (ValueError, RecursionError):
            uuid = None
        if isinstance(uuid, str):
            return uuid
        error = exc.InvalidFormat(f"the entry of idempotency key '{item.key}' has no uuid")
        self.unreadable.note(item, error)
        self.unreadable.set_aside()
        raise exc.JobFailure(f"{error}: it was set aside; post the job again", cause=error)

    def claim(self, job: Job, owner: str) -> Job:
        self._notice_fork()
        return self._claims.claim(job, owner)

    def extend(self, job: Job, owner: str) -> None:
        self._notice_fork()
        self._claims.check_held(job, owner)
        try:
            self._leases.extend(owner)
        except exc.LeaseLost as error:
            message = f"'{owner}' has lost its claim of job '{job.name}' ({job.uuid}): {error}"
            raise exc.JobFailure(message, error) from error

    # ------------------------------------------------------------- ending a claim

    def abandon(self, job: Job, owner: str, *, counts: bool = True, reason: str = "") -> None:
        disposition = ABANDONED if counts else RELEASED
        self._claims.complete(JobCompletion(job, disposition, {"reason": reason}), owner)

    def consume(self, job: Job, owner: str, outcome: Mapping[str, Any] | None = None) -> None:
        self._claims.complete(JobCompletion(job, CONSUMED, outcome or {}), owner)

    def trash(self, job: Job, owner: str, reason: str = "") -> None:
        self._claims.complete(JobCompletion(job, TRASHED, {"reason": reason}), owner)

    def complete_and_claim(
        self,
        owner: str,
        completions: Iterable[JobCompletion] = (),
        limit: int = 0,
        capabilities: Collection[str] | None = None,
        timeout: float | None = 0,
    ) -> ClaimBatch:
        self._notice_fork()
        return self._batches.run(owner, completions, limit, capabilities, timeout)

    def add_worker(self, owner: str, is_worked_on: Callable[[Job], bool]) -> None:
        self._workers.append((owner, is_worked_on))

    def remove_worker(self, owner: str, is_worked_on: Callable[[Job], bool]) -> bool:
        self._workers = [each for each in self._workers if each != (owner, is_worked_on)]
        return all(name != owner for name, _ in self._workers)

    def idle_claims(self, owner: str) -> list[Job]:
        self._notice_fork()
        workers = [is_worked_on for name, is_worked_on in self._workers if name == owner]
        jobs = [claim.job for claim in self._claims.held(owner)]
        return [job for job in jobs if not any(is_worked_on(job) for is_worked_on in workers)]

    def give_up_lease(self, owner: str) -> None:
        self._notice_fork()
        self._leases.give_up(owner)

    def settle_claims(self) -> None:
        self._notice_fork()
        self._claims.release_uncertain()

    # ------------------------------------------------------------- queries

    def find_owner(self, job: Job) -> str | None:
        snapshot = self.get_snapshot(job)
        if snapshot.record is None:
            raise ended_error(job, snapshot)
        return self._queries.owner(snapshot.record)

    def get_job(self, uuid: str) -> Job:
        snapshot = self._queries.find(uuid)
        if snapshot.record is None:
            return self._make_job(snapshot.ended_record(uuid), 0)
        return self._make_job(snapshot.record, snapshot.version if snapshot.state == WAITING else 0)

    def get_snapshot(self, job: Job | str) -> JobSnapshot:
        return self._queries.find(job if isinstance(job, str) else job.uuid)

    def iterjobs(
        self,
        only_unclaimed: bool = False,
        ensure_fresh: bool = False,  # noqa: ARG002  reads are always fresh
        capabilities: Collection[str] | None = None,
    ) -> Iterator[Job]:
        self.settle_claims()
        self._maintenance.run()
        return self._jobs(self._queries.waiting(capabilities) if only_unclaimed else self._queries.all())

    def list(
        self,
        states: str | Iterable[str] | None = None,
        *,
        since: float | dt.datetime | None = None,
        until: float | dt.datetime | None = None,
        limit: int = 100,
        after: str = "",
    ) -> JobPage:
        wanted = check_states(states)
        if limit < 1:
            raise ValueError(f"limit= takes a number above 0, not {limit}")
        if not after and self._maintenance.is_due(changed=True):
            self._maintenance.run()
        first = None if since is None else read_time("since", since)
        last = None if until is None else read_time("until", until)
        page = self._listing.page(wanted, first, last, limit, after)
        self.unreadable.set_aside()
        return page

    def find(self, identifier: str) -> List[ListedJob]:
        return self._listing.find(identifier)

    @property
    def change_count(self) -> int:
        return self._waiter.looks

    @property
    def job_count(self) -> int:
        return self._queries.count()

    def board_names(self) -> List[str]:
        return board_names(self._kv)

    def wait(
        self, timeout: float | None = None, capabilities: Collection[str] | None = None
    ) -> Iterator[Job]:
        self.settle_claims()
        return self._jobs(self._waiter.wait_for_jobs(timeout, capabilities))

    def wait_for(self, job: Job, timeout: float | None = None) -> JobSnapshot | None:
        return self._waiter.wait_for_end(job.uuid, self.get_snapshot, timeout)

    # ------------------------------------------------------------- hooks for subclasses (compat)

    def _check_name(self, name: str) -> None:
        """Check the name of a job that is to be posted."""
        check_job_name(name)

    def _make_job(self, record: JobRecord, version: int) -> Job:
        """Make the object of a job."""
        return Job(self, record, version, self._logbooks)

    def _watch(self) -> None:
        """Watch the events of the board, if it is connected and has callbacks."""
        if self._connected and self.notifier:
            self._watcher.start()

    # ------------------------------------------------------------- internals

    def _notice_fork(self) -> None:
        """In a forked child: forget the claims, the leases and the threads, which are the parent's."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._leases.forget()
            self._claims.clear()
            self._workers = []
            self._watcher = EventWatcher(self._kv, self._keys, self._notify)

    def _jobs(self, snapshots: Iterator[JobSnapshot]) -> Iterator[Job]:
        for state, record, version, _ in snapshots:
            if record is not None:
                yield self._make_job(record, version if state == WAITING else 0)

    def _notify(self, kind: str, record: JobRecord) -> None:
        job = self._make_job(record, 0)
        job.has_details = False  # the event carries none
        self.notifier.notify(kind, {"job": job})

    def _lease_lost(self, owner: str) -> None:
        _LOG.warning(
            "the lease of '%s' on board '%s' expired: its jobs can be claimed by others", owner, self.name
        )
        self._claims.remove_lost(owner)
        for callback in self._lost_callbacks:
            callback(owner)
