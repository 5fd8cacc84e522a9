"""Listings of jobs for operators, in pages: what is on the board, and what has ended.

A page costs what its own jobs cost. Jobs on the board come in the order in which they are claimed; ended ones
come by the time of their end, latest first, from a log with one entry for each commit and state (see
``keys``), which retention deletes together with the outcomes.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow.jobboards.keys import JOB, LOG, NAME, BoardKeys, names_prefix, time_key
from stackl_flow.jobboards.queries import Queries
from stackl_flow.jobboards.record import (
    BOARD_STATES,
    CLAIMED,
    DEAD,
    ENDED_STATES,
    SCHEDULED,
    WAITING,
    JobPage,
    JobRecord,
    JobSnapshot,
    ListedJob,
    ended_record,
    read_location,
)
from stackl_flow.jobboards.transactions import read_log_entry
from stackl_flow.jobboards.unreadable import UNREADABLE_ERRORS, UnreadableEntries
from stackl_flow.kv.items import Item
from stackl_flow.kv.store import KV

#: Items that are read at once, at most.
_MAX_PAGE: Final = 200
#: How many jobs of one name, or of one beginning of a uuid, are looked at.
MAX_MATCHES: Final = 50

# The parts of a listing, in their order; a cursor is "part|position".
_ON_BOARD: Final = "board"
_SCHEDULED: Final = "scheduled"
_ENDED: Final = "ended"

#: A cursor, and the job that it points to.
Entry = tuple[str, ListedJob]


class Listing:
    """Lists the jobs of one board."""

    def __init__(self, kv: KV, keys: BoardKeys, queries: Queries, unreadable: UnreadableEntries) -> None:
        self._kv = kv
        self._keys = keys
        self._queries = queries
        self._unreadable = unreadable

    def page(
        self, states: Collection[str], since: float | None, until: float | None, limit: int, after: str
    ) -> JobPage:
        """Return a page; see ``JobBoard.list``."""
        wanted = (
            entry
            for entry in self._entries(states, since, until, min(limit + 1, _MAX_PAGE), after)
            if _is_between(entry[1], since, until)
        )
        found = list(itertools.islice(wanted, limit + 1))
        jobs = tuple(job for _, job in found[:limit])
        return JobPage(jobs, found[limit - 1][0] if len(found) > limit else "")

    def find(self, identifier: str) -> list[ListedJob]:
        """Return the jobs with this name, or whose uuid begins with this text, as many as ``MAX_MATCHES``."""
        uuids = dict.fromkeys([*self._uuids_of_name(identifier), *self._uuids_by_prefix(identifier)])
        found = [self._read(uuid) for uuid in uuids]
        found += [
            _dead(record)
            for _, record in (() if any(found) else self._queries.dead_letters())
            if record.uuid.startswith(identifier) or record.name == identifier
        ]
        return [job for job in found if job is not None]

    def _uuids_of_name(self, name: str) -> Iterator[str]:
        prefix = self._keys.prefix(NAME) + names_prefix(name)
        for item in self._kv.list(prefix, limit=MAX_MATCHES, reverse=True):
            yield item.key.removeprefix(prefix).partition("-")[2]

    def _uuids_by_prefix(self, text: str) -> Iterator[str]:
        prefix = self._keys.prefix(JOB)
        try:
            items = self._kv.list(prefix + text, limit=MAX_MATCHES)
        except exc.InvalidFormat:
            return  # such as a name with a space
        for item in items:
            yield item.key.removeprefix(prefix)

    def _read(self, uuid: str) -> ListedJob | None:
        try:
            snapshot = self._queries.find(uuid)
        except exc.NotFound:
            return None
        if snapshot.record is None:
            return self._ended(uuid, snapshot.outcome or {"state": snapshot.state})
        return self._on_board(snapshot, None)

    # ------------------------------------------------------------- the parts

    def _entries(
        self, states: Collection[str], since: float | None, until: float | None, size: int, after: str
    ) -> Iterator[Entry]:
        part, _, position = after.partition("|")
        on_board = [state for state in (WAITING, CLAIMED) if state in states]
        ended = [state for state in ENDED_STATES if state in states]
        if on_board and part in {"", _ON_BOARD}:
            leases = self._queries.live_leases() if CLAIMED in states else set()
            for at, snapshot in self._queries.on_board(on_board, position, size):
                yield f"{_ON_BOARD}|{at}", self._on_board(snapshot, leases)
        if SCHEDULED in states and part in {"", _ON_BOARD, _SCHEDULED}:
            for at, snapshot in self._queries.scheduled(position if part == _SCHEDULED else "", size):
                yield f"{_SCHEDULED}|{at}", self._on_board(snapshot, None)
        if ended:
            position = position if part == _ENDED else ""
            for at, job in self._ended_jobs(ended, since, until, size, position):
                yield f"{_ENDED}|{at}", job

    def _on_board(self, snapshot: JobSnapshot, leases: Collection[str] | None) -> ListedJob:
        record = snapshot.record
        assert record is not None  # noqa: S101  it is on the board
        claim = record.claims[-1] if record.claims else None
        owner = None
        if snapshot.state == CLAIMED and claim is not None:
            is_live = leases is None or self._keys.owner(claim.lease) in leases
            owner = (self._queries.owner(record) if leases is None else claim.owner) if is_live else None
        return ListedJob(snapshot.state, record, owner, None if claim is None else claim.at)

    @staticmethod
    def _ended(uuid: str, stored: dict[str, Any]) -> ListedJob:
        return ListedJob(
            str(stored["state"]),
            ended_record(uuid, stored),
            stored.get("owner"),
            stored.get("claimed_on"),
            stored.get("at"),
            stored.get("outcome"),
        )

    # ------------------------------------------------------------- ended jobs

    def _ended_jobs(
        self, states: Iterable[str], since: float | None, until: float | None, size: int, position: str
    ) -> Iterator[Entry]:
        tail, _, number = position.partition("#")
        skipped = int(number) if number.isdigit() else 0
        sources = [self._log_items(state, since, until, size, tail) for state in states]
        merged = heapq.merge(*sources, key=lambda entry: entry[0], reverse=True)
        logged = self._logged(merged, tail, skipped)
        while chunk := list(itertools.islice(logged, size)):
            yield from self._read_jobs(chunk)

    def _log_items(
        self, state: str, since: float | None, until: float | None, size: int, tail: str
    ) -> Iterator[tuple[str, str, Item]]:
        """Iterate over the log of one state, latest first: position, state and item."""
        prefix = self._keys.prefix(DEAD) if state == DEAD else self._keys.prefix(LOG, state)
        # With the item of the cursor, of which only a part may have been shown.
        before = f"{prefix}{tail}!" if tail else ""
        if not before and until is not None:
            before = f"{prefix}{time_key(until)}~"
        oldest = "" if since is None else time_key(since)
        while items := self._kv.list(prefix, after=before, limit=size, reverse=True):
            for item in items:
                at = item.key.removeprefix(prefix)
                if at < oldest:
                    return
                yield at, state, item
            if len(items) < size:
                return
            before = items[-1].key

    def _logged(
        self, items: Iterable[tuple[str, str, Item]], tail: str, skipped: int
    ) -> Iterator[tuple[str, str, str, JobRecord | None]]:
        """Iterate over the jobs of log items: cursor, state, uuid, and the record of a dead letter."""
        for at, state, item in items:
            jobs: list[tuple[str, JobRecord | None]]
            if state == DEAD:
                record = self._unreadable.read_record(item, DEAD)
                jobs = [] if record is None else [(record.uuid, record)]
            else:
                jobs = [(uuid, None) for uuid in self._logged_uuids(item)]
            start = skipped if at == tail else 0
            for number, (uuid, record) in enumerate(jobs[start:], start + 1):
                yield f"{at}#{number}", state, uuid, record

    def _read_jobs(self, jobs: list[tuple[str, str, str, JobRecord | None]]) -> Iterator[Entry]:
        """Read the outcomes of jobs, in one round trip."""
        keys = [self._keys.key(JOB, uuid) for _, _, uuid, record in jobs if record is None]
        outcomes = iter(self._kv.get_many(keys))
        for cursor, state, uuid, record in jobs:
            job = _dead(record) if record is not None else self._outcome(uuid, state, next(outcomes))
            if job is not None:
                yield cursor, job

    def _logged_uuids(self, item: Item) -> list[str]:
        try:
            return list(read_log_entry(item.value))
        except exc.InvalidFormat as error:
            self._unreadable.note(item, error)
            return []

    def _outcome(self, uuid: str, state: str, item: Item | None) -> ListedJob | None:
        if item is None:
            return None
        try:
            stored = read_location(item.value)
        except UNREADABLE_ERRORS as error:
            self._unreadable.note(item, error)
            return None
        return self._ended(uuid, stored) if stored.get("state") == state else None


def _dead(record: JobRecord) -> ListedJob:
    claim = record.claims[-1] if record.claims else None
    return ListedJob(
        DEAD,
        record,
        None if claim is None else claim.owner,
        None if claim is None else claim.at,
        record.changed_on,
        {"reason": record.reason},
    )


def _is_between(job: ListedJob, since: float | None, until: float | None) -> bool:
    at = job.record.changed_on if job.ended_on is None else job.ended_on
    return (since is None or at >= since) and (until is None or at <= until)


def check_states(states: str | Iterable[str] | None) -> Collection[str]:
    """Return the states of a listing; None stands for those on the board.

    Raises:
        ValueError: there is no such state.
    """
    if states is None:
        return BOARD_STATES
    names = (states,) if isinstance(states, str) else tuple(states)
    for name in names:
        if name not in {*BOARD_STATES, *ENDED_STATES}:
            known = ", ".join((*BOARD_STATES, *ENDED_STATES))
            raise ValueError(f"invalid state {name!r:.100}: use one of {known}")
    return names
