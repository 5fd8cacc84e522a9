"""Queries of a board: what is on it, and waiting for jobs or for the end of one.

A process that always finds jobs pays for little more than the first page of them: maintenance runs beside its
queries only now and then. A process that finds none runs maintenance before it waits, and again after a
change.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Callable, Collection, Container, Iterator
from typing import Any, Final
from urllib.parse import unquote

from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.jobboards.keys import ANY, GROUP, JOB, OWNER, BoardKeys, time_key
from stackl_flow.jobboards.maintenance import Maintenance
from stackl_flow.jobboards.record import (
    CLAIMED,
    DEAD,
    SCHEDULED,
    UNREADABLE,
    WAITING,
    JobRecord,
    JobSnapshot,
    read_location,
)
from stackl_flow.jobboards.unreadable import UNREADABLE_ERRORS, UnreadableEntries
from stackl_flow.kv.items import Item
from stackl_flow.kv.store import KV, read_pages

#: Number of items in the first page, for a caller that may want only one, and in the largest.
_FIRST_PAGE: Final = 8
_MAX_PAGE: Final = 128
#: Number of items in a page that is only counted.
_COUNT_PAGE: Final = 1024
#: A job may change its state between the reads that look for it; it does not do so more often than this.
_FIND_ATTEMPTS: Final = 20


def board_names(kv: KV) -> list[str]:
    """Return the names of the boards in a store that jobs were posted on; reads a few keys of each board."""
    names, after = [], ""
    while first := kv.list(after=after, limit=1):
        root = first[0].key.partition("/")[0]
        if kv.list(f"{root}/{JOB}/", limit=1):  # other data, such as flows, has no such key
            names.append(unquote(root))
        after = f"{root}0"  # skips all keys of this root: "0" comes after "/"
    return names


class Queries:
    """Answers queries about one board."""

    def __init__(self, kv: KV, keys: BoardKeys, unreadable: UnreadableEntries) -> None:
        self._kv = kv
        self._keys = keys
        self._unreadable = unreadable
        #: By group: the capabilities that its jobs require; None if that entry is unreadable.
        self._groups: dict[str, list[str] | None] = {}

    def waiting(
        self, capabilities: Container[str] | None = None, limit: int = 1, *, refresh_groups: bool = True
    ) -> Iterator[JobSnapshot]:
        """Iterate over the jobs that can be claimed: higher priority first, oldest first within a priority.

        Jobs are read in pages, so that the first costs the same on a board of any size.

        Args:
            capabilities: only jobs that require no others; None for all jobs.
            limit: how many jobs the caller wants; only sets the size of the first page.
            refresh_groups: whether to read the groups again; otherwise jobs of new groups may be missing.
        """
        if refresh_groups:
            self._read_groups()
        groups = []
        for group in self._matching_groups(capabilities):
            prefix = self._keys.prefix(WAITING, group)
            groups.append(self._sorted(self._pages(prefix, max(limit, _FIRST_PAGE)), prefix))
        is_filtered = capabilities is not None and None in self._groups.values()
        for _, item in heapq.merge(*groups):
            record = self._unreadable.read_record(item, WAITING)
            if record is None or (is_filtered and not _matches(record.required_capabilities, capabilities)):
                continue
            yield JobSnapshot(WAITING, record, item.version)

    def all(self) -> Iterator[JobSnapshot]:
        """Iterate over all jobs on the board, in the order of ``waiting``; scheduled jobs come last."""
        for _, snapshot in self.on_board((WAITING, CLAIMED)):
            yield snapshot
        for _, snapshot in self.scheduled():
            yield snapshot

    def on_board(
        self, states: Collection[str], after: str = "", page: int = _FIRST_PAGE
    ) -> Iterator[tuple[str, JobSnapshot]]:
        """Iterate over waiting or claimed jobs, in the order of ``waiting``, each with its position.

        Args:
            states: which of these states.
            after: only jobs behind this position.
            page: number of jobs in the first page.
        """
        groups = []
        for state in states:
            self._read_groups()
            for group in self._matching_groups(None):
                prefix = self._keys.prefix(state, group)
                groups.append(self._sorted(self._pages(prefix, page, after=after), prefix, state))
        for (position, state), item in heapq.merge(*groups):
            record = self._unreadable.read_record(item, state)
            if record is not None:
                yield position, JobSnapshot(state, record, item.version)

    def scheduled(self, after: str = "", page: int = _FIRST_PAGE) -> Iterator[tuple[str, JobSnapshot]]:
        """Iterate over the scheduled jobs, those that are due first first, each with its position."""
        prefix = self._keys.prefix(SCHEDULED)
        for item in self._pages(prefix, page, after=after):
            record = self._unreadable.read_record(item, SCHEDULED)
            if record is not None:
                yield item.key.removeprefix(prefix), JobSnapshot(SCHEDULED, record, item.version)

    def find(self, uuid: str) -> JobSnapshot:
        """Read one job.

        Raises:
            NotFound: it was never posted here, or its outcome has expired.
        """
        versions = set()
        for attempt in range(1, _FIND_ATTEMPTS + 1):
            item = self._kv.get(self._keys.key(JOB, uuid))
            if item is None:
                raise exc.NotFound(
                    f"no job '{uuid}' on board '{self._keys.root[:-1]}': it was never posted here, "
                    "or it has ended and its outcome has expired"
                )
            try:
                location = read_location(item.value)
            except UNREADABLE_ERRORS as error:
                self._unreadable.note(item, error)
                self._unreadable.set_aside()
                raise exc.NotFound(f"the entry of job '{uuid}' cannot be read: {error}") from error
            if "state" in location:
                return JobSnapshot(str(location["state"]), outcome=location)
            found = self._read_at(location)
            if found is not None:
                return found
            versions.add(item.version)
            if len(versions) == 1 and attempt == _FIND_ATTEMPTS:
                missing = exc.IncompatibleVersion("there is no job where it refers to")
                self._unreadable.note(item, missing)
                self._unreadable.set_aside()
                raise exc.NotFound(f"the entry of job '{uuid}' cannot be read: {missing}")
        raise exc.JobFailure(f"job '{uuid}' changed its state on every read: try again")

    def _read_at(self, location: dict[str, Any]) -> JobSnapshot | None:
        """Read a job where it may be; None if it has moved meanwhile, or was set aside."""
        for state, key in self._possible_keys(location):
            stored = self._kv.get(key)
            if stored is None:
                continue
            record = self._unreadable.read_record(stored, state)
            if record is not None:
                return JobSnapshot(state, record, stored.version)
            self._unreadable.set_aside()
            still_there = self._kv.get(key)
            return None if still_there is None else JobSnapshot(UNREADABLE)
        return None

    def _possible_keys(self, location: dict[str, Any]) -> Iterator[tuple[str, str]]:
        for state in (WAITING, CLAIMED):
            yield state, self._keys.key(state, location["sort_key"])
        if location["not_before"] is not None:
            yield (
                SCHEDULED,
                self._keys.key(SCHEDULED, time_key(location["not_before"]), location["sort_key"]),
            )

    def owner(self, record: JobRecord) -> str | None:
        """Return the owner of a job; None if it is not claimed, or the lease of its claim has ended."""
        item = self._kv.get(self._keys.owner(record.lease)) if record.lease else None
        return None if item is None else record.claims[-1].owner

    def live_leases(self) -> set[str]:
        """Return the keys of the owners whose leases have not expired."""
        return {item.key for item in self._kv.list(self._keys.prefix(OWNER))}

    def dead_letters(self) -> Iterator[tuple[Item, JobRecord]]:
        """Iterate over the dead letters, oldest first."""
        for item in self._pages(self._keys.prefix(DEAD)):
            record = self._unreadable.read_record(item, DEAD)
            if record is not None:
                yield item, record

    def dead_letter(self, uuid: str) -> tuple[Item, JobRecord] | None:
        """Read one dead letter."""
        located = self._kv.get(self._keys.key(JOB, uuid))
        if located is not None:
            try:
                stored = read_location(located.value)
            except UNREADABLE_ERRORS:
                stored = {}
            if stored.get("state") == DEAD:
                item = self._kv.get(self._keys.key(DEAD, f"{time_key(stored['at'])}-{uuid}"))
                record = None if item is None else self._unreadable.read_record(item, DEAD)
                if item is not None and record is not None:
                    return item, record
        # Its outcome has expired.
        return next((found for found in self.dead_letters() if found[1].uuid == uuid), None)

    def last_dead_letter(self) -> str | None:
        """Return the key of the newest dead letter; None if there is none."""
        found = self._kv.list(self._keys.prefix(DEAD), limit=1, reverse=True)
        return found[0].key if found else None

    def count(self) -> int:
        """Count the jobs on the board."""
        prefixes = [self._keys.prefix(state) for state in (WAITING, CLAIMED, SCHEDULED)]
        return sum(1 for prefix in prefixes for _ in self._pages(prefix, _COUNT_PAGE, _COUNT_PAGE))

    def has_group(self, group: str) -> bool:
        """Return whether a group of required capabilities is stored."""
        return group == ANY or self._kv.get(self._keys.key(GROUP, group)) is not None

    def _read_groups(self) -> None:
        self._groups = {
            item.key.rpartition("/")[2]: self._capabilities_of(item)
            for item in self._kv.list(self._keys.prefix(GROUP))
        }

    def _capabilities_of(self, item: Item) -> list[str] | None:
        try:
            names = json.loads(item.value)
        except (ValueError, RecursionError):
            names = None
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return names
        # Not set aside: its jobs are found by it. Each says itself what it requires.
        self._unreadable.note(item, exc.IncompatibleVersion("it has no list of capabilities"))
        return None

    def _matching_groups(self, capabilities: Container[str] | None) -> list[str]:
        matching = [
            group
            for group, required in self._groups.items()
            if required is None or _matches(required, capabilities)
        ]
        return [ANY, *matching]

    def _pages(
        self, prefix: str, size: int = _FIRST_PAGE, max_size: int = _MAX_PAGE, after: str = ""
    ) -> Iterator[Item]:
        return read_pages(self._kv, prefix, size, max_size, after and prefix + after)

    @staticmethod
    def _sorted(
        items: Iterator[Item], prefix: str, state: str = ""
    ) -> Iterator[tuple[tuple[str, str], Item]]:
        """Yield the items of one prefix with what they are merged by."""
        for item in items:
            yield (item.key.removeprefix(prefix), state), item


class Waiter:
    """Waits at one board. Time-outs are in real time, whatever the board's clock.

    A process that waits reads the board after a change, and not again before the next one, however often it
    calls: it continues to wait from the mark up to which there was nothing to claim.

    Attributes:
        looks: how often the board was read because it had changed, or might have.
    """

    def __init__(
        self,
        kv: KV,
        keys: BoardKeys,
        queries: Queries,
        maintenance: Maintenance,
        unreadable: UnreadableEntries,
        clock: Clock,
    ) -> None:
        self._kv = kv
        self._keys = keys
        self._queries = queries
        self._maintenance = maintenance
        self._unreadable = unreadable
        self._clock = clock
        self.looks = 0
        #: By capabilities and owner: the mark up to which there was nothing to claim, and the search for it.
        self._nothing_at: dict[tuple[frozenset[str] | None, str], tuple[int, _Search]] = {}

    def waiting_now(
        self, capabilities: Collection[str] | None, limit: int = 1, owner: str = ""
    ) -> Iterator[JobSnapshot]:
        """Return the jobs that can be claimed, without waiting."""
        is_due = self._maintenance.is_due(changed=True)
        if is_due:
            self._maintenance.run()
        search = _Search(self._queries, self._clock, capabilities, limit, owner)
        return self._look(search, is_due) or iter(())

    def wait_for_jobs(
        self,
        timeout: float | None,
        capabilities: Collection[str] | None,
        limit: int = 1,
        owner: str = "",
    ) -> Iterator[JobSnapshot]:
        """Wait until there are jobs that can be claimed; return none after the time-out.

        Jobs that ``owner`` declined lately are left to others.
        """
        remaining = _countdown(timeout)
        wanted = None if capabilities is None else frozenset(capabilities), owner
        new_search = _Search(self._queries, self._clock, capabilities, limit, owner)
        # Nothing to claim, and nothing to maintain, as of these marks.
        empty, search = self._nothing_at.pop(wanted, (0, new_search))
        mark = maintained = empty
        if not empty:
            if (jobs := self._look_first(search)) is not None:
                return jobs
            mark = self._kv.wait(self._keys.root)
        while True:
            if mark != empty or search.is_due:
                # What caused the change is most likely a job of a known group.
                if (jobs := self._look(search, False, True)) is not None:
                    return jobs
                empty = mark
            if self._maintenance.is_due(changed=mark != maintained):
                self._maintenance.run()
                maintained = mark
                if (jobs := self._look(search, True)) is not None:
                    return jobs
            rest = remaining()
            if rest is not None and rest <= 0:
                if maintained == empty:
                    self._nothing_at[wanted] = empty, search
                return iter(())
            delays = (self._maintenance.delay(changed=mark != maintained), rest, search.next_due())
            mark = self._kv.wait(self._keys.root, mark, min(each for each in delays if each is not None))

    def wait_for_end(
        self, uuid: str, get_snapshot: Callable[[str], JobSnapshot], timeout: float | None
    ) -> JobSnapshot | None:
        """Wait until a job has ended; return None after the time-out.

        Raises:
            NotFound: its outcome has expired.
        """
        remaining = _countdown(timeout)
        key = self._keys.key(JOB, uuid)
        mark = self._kv.wait(key)
        while True:
            snapshot = get_snapshot(uuid)
            if snapshot.outcome is not None:
                return snapshot
            rest = remaining()
            if rest is not None and rest <= 0:
                return None
            mark = self._kv.wait(key, mark, rest)

    def _look_first(self, search: _Search) -> Iterator[JobSnapshot] | None:
        """Look for jobs without a mark; most likely there are some."""
        if self._maintenance.is_due(changed=True):
            self._maintenance.run()
            return None
        return self._look(search, False)

    def _look(self, search: _Search, *refresh_groups: bool) -> Iterator[JobSnapshot] | None:
        """Look for jobs that can be claimed, once for each value of ``refresh_groups``."""
        self.looks += 1
        found = None
        for refresh in refresh_groups:
            found = found or search.find(refresh_groups=refresh)
        self._unreadable.set_aside()
        return found


class _Search:
    """Searches for jobs that one owner can claim: those that it declined lately are left to others."""

    def __init__(
        self,
        queries: Queries,
        clock: Clock,
        capabilities: Collection[str] | None,
        limit: int,
        owner: str,
    ) -> None:
        self._queries = queries
        self._clock = clock
        self._capabilities = capabilities
        self._limit = limit
        self._owner = owner
        self._declined_until: float | None = None

    def find(self, *, refresh_groups: bool) -> Iterator[JobSnapshot] | None:
        """Return the jobs, or None if there are none."""
        self._declined_until = None
        jobs = self._not_declined(
            self._queries.waiting(self._capabilities, self._limit, refresh_groups=refresh_groups)
        )
        first = next(jobs, None)
        return None if first is None else itertools.chain((first,), jobs)

    @property
    def is_due(self) -> bool:
        """Whether a job is due that the last search left to others."""
        return self._declined_until is not None and self._declined_until <= self._clock.now()

    def next_due(self) -> float | None:
        """Return the seconds until a job is due that the last search left to others, or None."""
        until = self._declined_until
        return None if until is None else max(0.0, until - self._clock.now())

    def _not_declined(self, jobs: Iterator[JobSnapshot]) -> Iterator[JobSnapshot]:
        for job in jobs:
            until = job.record.declined_until(self._owner) if job.record is not None else 0.0
            if until and until > self._clock.now():
                self._declined_until = min(until, self._declined_until or until)
            else:
                yield job


def _matches(required: Collection[str], capabilities: Container[str] | None) -> bool:
    return capabilities is None or all(name in capabilities for name in required)


def _countdown(timeout: float | None) -> Callable[[], float | None]:
    """Return a function that returns the seconds that remain of a time-out."""
    if timeout is None:
        return lambda: None
    deadline = SYSTEM.monotonic() + timeout
    return lambda: deadline - SYSTEM.monotonic()
