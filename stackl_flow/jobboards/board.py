"""The board, written once on a place of items."""

from __future__ import annotations

import json
import uuid as uuids
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Self

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.coordination.change_feed import Watcher, Writer, WriterBeside
from stackl_flow.coordination.leases import Leases
from stackl_flow.coordination.membership import Entity, Presence
from stackl_flow.jobboards import base, claims
from stackl_flow.jobboards import transactions as m
from stackl_flow.jobboards.batches import Turns, taking
from stackl_flow.jobboards.claims import Claims
from stackl_flow.jobboards.dead_letters import Bin
from stackl_flow.jobboards.job import (
    ABANDONED,
    CONSUMED,
    GROUP,
    KEY,
    RELEASED,
    TRASHED,
    WAITING,
    Books,
    Ending,
    Job,
    JobPriority,
    Posting,
    Turn,
    read_details,
    read_terms,
)
from stackl_flow.jobboards.keys import Places, group_of
from stackl_flow.jobboards.maintenance import Rules, Sweeper
from stackl_flow.jobboards.queries import Found, Reading, Waiting
from stackl_flow.kv.items import quote
from stackl_flow.kv.store import KV

_LOG = redaction.get_logger(__name__)

#: Seconds a claim outlives its owner.
TTL = 15.0


class KVBoard:
    """Keeps a board in a place of items.

    Args:
        name: the board's name.
        kv: the place.
        books: where the jobs' logbooks are.
        ttl: how many seconds a claim outlives its owner.
        rules: how the board treats its jobs.
        clock: tells the time of day of posts, claims and due times.
    """

    def __init__(
        self,
        name: str,
        kv: KV,
        books: Books | None = None,
        *,
        ttl: float = TTL,
        rules: Rules = Rules(),  # noqa: B008  frozen
        clock: Clock = SYSTEM,
    ) -> None:
        self.name = name
        self.notifier = base.BoardNotifier()
        self._mourners: list[Callable[[str], None]] = []
        self._kv = kv
        self._books = books
        self._clock = clock
        self._places = Places(name)
        self._reading = Reading(kv, self._places)
        self._writer = Writer(kv, self._places)
        self._beside = WriterBeside(kv, self._places)
        self._leases = Leases(kv, self._places, ttl, self._lost)
        self._sweeper = Sweeper(kv, self._places, rules, clock, self._writer.commit)
        self._waiting = Waiting(kv, self._places, self._reading, self._sweeper)
        self._claims = Claims(
            self._places, self._reading, self._writer, self._leases, rules, clock, self._sweeper.sweep
        )
        takes = taking(kv, self._places)
        self._turns = Turns(self._claims, self._writer, self._waiting, kv.limits, takes, self._job)
        self._watcher = Watcher(kv, self._places, self._tell)
        self._groups = {group_of(())}
        self._connected = False
        self.notifier.on_listener = self._listen
        #: What was trashed.
        self.bin = Bin(kv, self._places, self._reading, clock, self._writer.commit)
        #: Who is here.
        self.presence = Presence(kv, self._places)

    # ------------------------------------------------------------- being there

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self) -> None:
        """Get ready, and tell listeners of what happens from now on."""
        if not self._connected:
            self._kv.get(self._places.at(GROUP, "any"))  # who cannot reach the place is to hear of it now
            self._connected = True
            self._listen()

    def _listen(self) -> None:
        if self._connected and self.notifier:
            self._watcher.start()

    def close(self) -> None:
        """Leave, and give up what was claimed."""
        self._watcher.stop()
        self._leases.close()
        self._claims.clear()
        self._kv.close()
        self._connected = False

    @property
    def connected(self) -> bool:
        """Whether ``connect`` was called."""
        return self._connected

    def keep_apart(self) -> None:
        """Have the leases kept up by a process of its own."""
        self._leases.keep_apart()

    def on_lost(self, callback: Callable[[str], None]) -> None:
        """Ask to be called when a lease is lost."""
        if callback not in self._mourners:
            self._mourners.append(callback)

    def register_entity(self, entity: Entity) -> None:
        """Say who is here, for as long as his lease lasts."""
        try:
            self.presence.register(entity, self._leases.of(entity.name))
        except exc.LeaseLost:  # it ran out unnoticed
            self._leases.drop(entity.name)
            self.presence.register(entity, self._leases.of(entity.name))

    # ------------------------------------------------------------- posting and claiming

    def post(
        self,
        name: str,
        book: Any = None,
        details: Mapping[str, Any] | None = None,
        priority: JobPriority | str = JobPriority.NORMAL,
        *,
        connection: Any = None,
        **terms: Any,
    ) -> Job:
        """Post a job."""
        now = self._clock.now()
        terms = read_terms(terms)
        posting = Posting(
            uuid=terms.pop("uuid", None) or str(uuids.uuid4()),
            name=name,
            created_on=now,
            changed_on=now,
            details=read_details(details),
            book={} if book is None else {"uuid": book.uuid, "name": book.name},
            priority=JobPriority.convert(priority),
            **terms,
        )
        if connection is None:
            return self._post(posting, self._writer)
        with self._kv.external_transaction(connection):
            return self._post(posting, self._beside.writer)

    def _post(self, posting: Posting, writer: Writer) -> Job:
        group = group_of(posting.needs)
        is_new = group not in self._groups and not self._reading.has_group(group)
        writes = m.post(self._places, posting, posting.created_on, new_group=is_new)
        if not writer.commit([(base.POSTED, posting)], writes):
            return self._posted_before(posting)
        if writer is self._writer:  # else the caller may yet change his mind
            self._groups.add(group)
        return self._job(posting, 0)

    def _posted_before(self, posting: Posting) -> Job:
        """Find the job that keeps another from being posted."""
        uuid = posting.uuid
        if posting.key is not None:
            item = self._kv.get(self._places.at(KEY, quote(posting.key)))
            uuid = uuid if item is None else json.loads(item.value)
        found = self._reading.find(uuid)
        if found.posting is not None:
            return self._job(found.posting, found.version)
        return self._job(found.ended(uuid), 0)

    def claim(self, job: Job, who: str) -> Job:
        """Claim a job."""
        return self._claims.claim(job, who)

    def extend(self, job: Job, who: str) -> None:
        """Let a claim last its whole time from now on."""
        self._claims.check_held(job, who)
        try:
            self._leases.extend(who)
        except exc.LeaseLost as error:
            raise exc.JobFailure(f"'{who}' has lost job '{job.name}' ({job.uuid}): {error}", error) from error

    # ------------------------------------------------------------- ending a claim

    def abandon(self, job: Job, who: str, *, counts: bool = True) -> None:
        """Give a claimed job back, or trash it if it was claimed in vain too often."""
        self._claims.end(Ending(job, ABANDONED if counts else RELEASED), who)

    def consume(self, job: Job, who: str, outcome: Mapping[str, Any] | None = None) -> None:
        """Take a job off the board."""
        self._claims.end(Ending(job, CONSUMED, outcome or {}), who)

    def trash(self, job: Job, who: str, reason: str = "") -> None:
        """Take a job off the board and keep it to be looked at."""
        self._claims.end(Ending(job, TRASHED, {"reason": reason}), who)

    def turn(
        self,
        who: str,
        ends: Iterable[Ending] = (),
        want: int = 0,
        can: Collection[str] | None = None,
        timeout: float | None = 0,
    ) -> Turn:
        """End claims and claim the next jobs, in one commit if that can be."""
        return self._turns.turn(who, ends, want, can, timeout)

    # ------------------------------------------------------------- looking

    def find_owner(self, job: Job) -> str | None:
        """Say who claims a job."""
        found = self.look(job)
        if found.posting is None:
            raise claims.off_board(job, found)
        return self._reading.owner(found.posting.lease)

    def look(self, job: Job | str) -> Found:
        """Say where a job stands now."""
        return self._reading.find(job if isinstance(job, str) else job.uuid)

    def iterjobs(
        self,
        only_unclaimed: bool = False,
        ensure_fresh: bool = False,  # noqa: ARG002  it always is
        can: Collection[str] | None = None,
    ) -> Iterator[Job]:
        """Go over the jobs."""
        self._claims.settle()
        self._sweeper.sweep()
        return self._jobs(self._reading.free(can) if only_unclaimed else self._reading.all())

    def _jobs(self, found: Iterator[Found]) -> Iterator[Job]:
        for head, posting, version, _ in found:
            if posting is not None:
                yield self._job(posting, version if head == WAITING else 0)

    @property
    def job_count(self) -> int:
        """How many jobs are on the board."""
        return self._reading.count()

    # ------------------------------------------------------------- waiting

    def wait(self, timeout: float | None = None, can: Collection[str] | None = None) -> Iterator[Job]:
        """Wait until there are jobs to be claimed."""
        self._claims.settle()
        return self._jobs(self._waiting.for_work(timeout, can))

    def wait_for(self, job: Job, timeout: float | None = None) -> Found | None:
        """Wait until a job has ended."""
        return self._waiting.for_end(job.uuid, self.look, timeout)

    # ------------------------------------------------------------- inside

    def _job(self, posting: Posting, version: int) -> Job:
        return Job(self, posting, version, self._books)

    def _tell(self, kind: str, posting: Posting) -> None:
        self.notifier.notify(kind, {"job": self._job(posting, 0)})

    def _lost(self, who: str) -> None:
        _LOG.warning(
            "the lease of '%s' on board '%s' ran out: his claims are free for others", who, self.name
        )
        self._claims.lost(who)
        for callback in self._mourners:
            callback(who)
