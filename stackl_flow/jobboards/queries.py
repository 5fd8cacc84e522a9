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

from stackl_flow import codec
from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM
from stackl_flow.jobboards.keys import ANY, GROUP, JOB, BoardKeys, time_key
from stackl_flow.jobboards.maintenance import Maintenance
from stackl_flow.jobboards.record import CLAIMED, DEAD, SCHEDULED, WAITING, JobRecord, JobSnapshot
from stackl_flow.kv.items import Item
from stackl_flow.kv.store import KV

#: Number of items in the first page, for a caller that may want only one, and in the largest.
_FIRST_PAGE: Final = 8
_MAX_PAGE: Final = 128
#: Number of items in a page that is only counted.
_COUNT_PAGE: Final = 1024
#: A job may change its state between the reads that look for it; it does not do so more often than this.
_FIND_ATTEMPTS: Final = 20

#: Seconds between two maintenance runs by one board object: how late a lost claim may be found.
MAINTENANCE_PERIOD: Final = 0.25


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

    def __init__(self, kv: KV, keys: BoardKeys) -> None:
        self._kv = kv
        self._keys = keys
        self._groups: list[Item] = []

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
            self._groups = self._kv.list(self._keys.prefix(GROUP))
        prefixes = [self._keys.prefix(WAITING, group) for group in self._matching_groups(capabilities)]
        groups = [self._sorted(self._pages(prefix, max(limit, _FIRST_PAGE)), prefix) for prefix in prefixes]
        for _, item in heapq.merge(*groups):
            yield JobSnapshot(WAITING, JobRecord.from_text(item.value), item.version)

    def all(self) -> Iterator[JobSnapshot]:
        """Iterate over all jobs on the board, in the order of ``waiting``; scheduled jobs come last."""
        groups = []
        for state in (WAITING, CLAIMED):
            self._groups = self._kv.list(self._keys.prefix(GROUP))
            for group in self._matching_groups(None):
                prefix = self._keys.prefix(state, group)
                groups.append(self._sorted(self._pages(prefix), prefix, state))
        for (_, state), item in heapq.merge(*groups):
            yield JobSnapshot(state, JobRecord.from_text(item.value), item.version)
        for item in self._pages(self._keys.prefix(SCHEDULED)):
            yield JobSnapshot(SCHEDULED, JobRecord.from_text(item.value), item.version)

    def find(self, uuid: str) -> JobSnapshot:
        """Read one job.

        Raises:
            NotFound: it was never posted here, or its outcome has expired.
        """
        for _ in range(_FIND_ATTEMPTS):
            item = self._kv.get(self._keys.key(JOB, uuid))
            if item is None:
                raise exc.NotFound(
                    f"no job '{uuid}' on board '{self._keys.root[:-1]}': it was never posted here, "
                    "or it has ended and its outcome has expired"
                )
            location = codec.decode(item.value)
            if "state" in location:
                return JobSnapshot(str(location["state"]), outcome=location)
            for state, key in self._possible_keys(location):
                stored = self._kv.get(key)
                if stored is not None:
                    return JobSnapshot(state, JobRecord.from_text(stored.value), stored.version)
        raise exc.JobFailure(f"job '{uuid}' changed its state on every read: try again")

    def _possible_keys(self, location: dict[str, Any]) -> Iterator[tuple[str, str]]:
        for state in (WAITING, CLAIMED):
            yield state, self._keys.key(state, location["sort_key"])
        if location["not_before"] is not None:
            yield (
                SCHEDULED,
                self._keys.key(SCHEDULED, time_key(location["not_before"]), location["sort_key"]),
            )

    def owner(self, lease: str) -> str | None:
        """Return the owner of a lease; None if the lease is empty or has ended."""
        item = self._kv.get(self._keys.owner(lease)) if lease else None
        return None if item is None else json.loads(item.value)

    def dead_letters(self) -> Iterator[tuple[Item, JobRecord]]:
        """Iterate over the dead letters, oldest first."""
        for item in self._pages(self._keys.prefix(DEAD)):
            yield item, JobRecord.from_text(item.value)

    def count(self) -> int:
        """Count the jobs on the board."""
        prefixes = [self._keys.prefix(state) for state in (WAITING, CLAIMED, SCHEDULED)]
        return sum(1 for prefix in prefixes for _ in self._pages(prefix, _COUNT_PAGE, _COUNT_PAGE))

    def has_group(self, group: str) -> bool:
        """Return whether a group of required capabilities is stored."""
        return group == ANY or self._kv.get(self._keys.key(GROUP, group)) is not None

    def _matching_groups(self, capabilities: Container[str] | None) -> list[str]:
        matching = [
            item.key.rpartition("/")[2]
            for item in self._groups
            if capabilities is None or all(name in capabilities for name in json.loads(item.value))
        ]
        return [ANY, *matching]

    def _pages(self, prefix: str, size: int = _FIRST_PAGE, max_size: int = _MAX_PAGE) -> Iterator[Item]:
        after = ""
        while True:
            page = self._kv.list(prefix, after=after, limit=size)
            yield from page
            if len(page) < size:
                return
            after = page[-1].key
            size = min(4 * size, max_size)

    @staticmethod
    def _sorted(
        items: Iterator[Item], prefix: str, state: str = ""
    ) -> Iterator[tuple[tuple[str, str], Item]]:
        """Yield the items of one prefix with what they are merged by."""
        for item in items:
            yield (item.key.removeprefix(prefix), state), item


class Waiter:
    """Waits at one board. Time-outs are in real time, whatever the board's clock."""

    def __init__(self, kv: KV, keys: BoardKeys, queries: Queries, maintenance: Maintenance) -> None:
        self._kv = kv
        self._keys = keys
        self._queries = queries
        self._maintenance = maintenance

    def waiting_now(self, capabilities: Collection[str] | None, limit: int = 1) -> Iterator[JobSnapshot]:
        """Return the jobs that can be claimed, without waiting."""
        is_due = self._maintenance.age >= MAINTENANCE_PERIOD
        if is_due:
            self._maintenance.run()
        return self._find(capabilities, limit, refresh_groups=is_due) or iter(())

    def wait_for_jobs(
        self, timeout: float | None, capabilities: Collection[str] | None, limit: int = 1
    ) -> Iterator[JobSnapshot]:
        """Wait until there are jobs that can be claimed; return none after the time-out."""
        remaining = _countdown(timeout)
        if self._maintenance.age >= MAINTENANCE_PERIOD:
            self._maintenance.run()
        elif (jobs := self._find(capabilities, limit, refresh_groups=False)) is not None:
            return jobs
        maintained, mark = 0, self._kv.wait(self._keys.root)
        while True:
            # What caused the change is most likely a job of a known group.
            for refresh_groups in (False, True):
                if (jobs := self._find(capabilities, limit, refresh_groups=refresh_groups)) is not None:
                    return jobs
            if mark != maintained and self._maintenance.age >= MAINTENANCE_PERIOD:
                self._maintenance.run()
                maintained = mark
                if (jobs := self._find(capabilities, limit, refresh_groups=True)) is not None:
                    return jobs
            rest = remaining()
            if rest is not None and rest <= 0:
                return iter(())
            until_maintenance = (
                None if mark == maintained else max(0.0, MAINTENANCE_PERIOD - self._maintenance.age)
            )
            delays = (rest, self._maintenance.next_due(), until_maintenance)
            shortest = min((delay for delay in delays if delay is not None), default=None)
            mark = self._kv.wait(self._keys.root, mark, shortest)

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

    def _find(
        self, capabilities: Collection[str] | None, limit: int, *, refresh_groups: bool
    ) -> Iterator[JobSnapshot] | None:
        jobs = self._queries.waiting(capabilities, limit, refresh_groups=refresh_groups)
        first = next(jobs, None)
        return None if first is None else itertools.chain((first,), jobs)


def _countdown(timeout: float | None) -> Callable[[], float | None]:
    """Return a function that returns the seconds that remain of a time-out."""
    if timeout is None:
        return lambda: None
    deadline = SYSTEM.monotonic() + timeout
    return lambda: deadline - SYSTEM.monotonic()
