"""What is on a board: questions, answered from its items."""

from __future__ import annotations

import heapq
import json
from collections.abc import Container, Iterator
from typing import Any, Final, NamedTuple

from stackl_flow import codec
from stackl_flow import exceptions as exc
from stackl_flow.jobboards import moves as m
from stackl_flow.jobboards.places import ANY, Places, stamp
from stackl_flow.jobboards.posting import Posting
from stackl_flow.kv.base import KV
from stackl_flow.kv.items import Item

#: How many items are read at first, by one who may want but one, and how many at most.
_FIRST_PAGE: Final = 8
_PAGE: Final = 128
#: How many are read at once to be counted.
_COUNTED: Final = 1024
#: A job may move each time it is looked for; more often than this it does not, while one reads three items.
_LOOKS: Final = 20


class Found(NamedTuple):
    """A job as it was found: under which head, and what is kept there.

    ``outcome`` is there instead of a posting when it has ended.
    """

    head: str
    posting: Posting | None = None
    version: int = 0
    outcome: dict[str, Any] | None = None

    def ended(self, uuid: str) -> Posting:
        """Make a posting of what is still known of a job that has ended: no details.

        Args:
            uuid: the job.
        """
        told = self.outcome or {}
        return Posting(uuid, told["name"], told["at"], told["at"], key=told["key"])


class Reading:
    """Answers questions about one board.

    Args:
        kv: where the items are.
        places: makes their keys.
    """

    def __init__(self, kv: KV, places: Places) -> None:
        self._kv = kv
        self._places = places
        self._known: list[Item] = []

    def free(
        self, can: Container[str] | None = None, want: int = 1, *, fresh: bool = True
    ) -> Iterator[Found]:
        """Go over the jobs that are to be claimed: higher priority first, oldest first within one.

        Args:
            can: only jobs that need no more than this; None for all.
            want: how many will do; no more than these are asked for, if one goes over no more.
            fresh: look for jobs that need what none did before; otherwise those known last time will do.

        Yields:
            The jobs; read page by page, so that the first costs the same on a board of any size.
        """
        if fresh:
            self._known = self._kv.list(self._places.head(m.GROUP))
        heads = [self._places.head(m.WAITING, group) for group in self._groups(can)]
        ways = [self._ordered(self._pages(head, max(want, _FIRST_PAGE)), head) for head in heads]
        for _, item in heapq.merge(*ways):
            yield Found(m.WAITING, Posting.from_text(item.value), item.version)

    def all(self) -> Iterator[Found]:
        """Go over all jobs on the board, in the order of ``free``; those that wait for a time come last.

        Yields:
            The jobs.
        """
        ways = []
        for word in (m.WAITING, m.CLAIMED):
            self._known = self._kv.list(self._places.head(m.GROUP))
            for group in self._groups(None):
                head = self._places.head(word, group)
                ways.append(self._ordered(self._pages(head), head, word))
        for (_, word), item in heapq.merge(*ways):
            yield Found(word, Posting.from_text(item.value), item.version)
        for item in self._pages(self._places.head(m.LATER)):
            yield Found(m.LATER, Posting.from_text(item.value), item.version)

    def find(self, uuid: str) -> Found:
        """Look for one job.

        Args:
            uuid: which.

        Returns:
            Where it stands.

        Raises:
            NotFound: it was never here, or it ended and has been forgotten.
        """
        for _ in range(_LOOKS):
            item = self._kv.get(self._places.at(m.JOB, uuid))
            if item is None:
                raise exc.NotFound(
                    f"no job '{uuid}' on board '{self._places.root[:-1]}': it was never posted here, "
                    "or it ended and its outcome has been forgotten since"
                )
            told = codec.decode(item.value)
            if "ended" in told:
                return Found(str(told["ended"]), outcome=told)
            for head, key in self._where(told):
                found = self._kv.get(key)
                if found is not None:
                    return Found(head, Posting.from_text(found.value), found.version)
        raise exc.JobFailure(f"job '{uuid}' moves faster than it can be found: try again")

    def _where(self, told: dict[str, Any]) -> Iterator[tuple[str, str]]:
        for head in (m.WAITING, m.CLAIMED):
            yield head, self._places.at(head, told["spot"])
        if told["not_before"] is not None:
            yield m.LATER, self._places.at(m.LATER, stamp(told["not_before"]), told["spot"])

    def owner(self, lease: str) -> str | None:
        """Say who claims on a lease.

        Args:
            lease: the lease; "" for none.

        Returns:
            His name; None if there is no such lease any more.
        """
        item = self._kv.get(self._places.owner(lease)) if lease else None
        return None if item is None else json.loads(item.value)

    def trashed(self) -> Iterator[tuple[Item, Posting]]:
        """Go over the trash, oldest first.

        Yields:
            The items, with the jobs in them.
        """
        for item in self._pages(self._places.head(m.TRASH)):
            yield item, Posting.from_text(item.value)

    def count(self) -> int:
        """Count the jobs on the board."""
        heads = (m.WAITING, m.CLAIMED, m.LATER)
        return sum(1 for head in heads for _ in self._pages(self._places.head(head), _COUNTED, _COUNTED))

    def has_group(self, group: str) -> bool:
        """Say whether a group of needs is known.

        Args:
            group: its name.
        """
        return group == ANY or self._kv.get(self._places.at(m.GROUP, group)) is not None

    def _groups(self, can: Container[str] | None) -> list[str]:
        fitting = [
            item.key.rpartition("/")[2]
            for item in self._known
            if can is None or all(need in can for need in json.loads(item.value))
        ]
        return [ANY, *fitting]

    def _pages(self, prefix: str, size: int = _FIRST_PAGE, most: int = _PAGE) -> Iterator[Item]:
        after = ""
        while True:
            page = self._kv.list(prefix, after=after, limit=size)
            yield from page
            if len(page) < size:
                return
            after = page[-1].key
            size = min(4 * size, most)

    @staticmethod
    def _ordered(items: Iterator[Item], head: str, word: str = "") -> Iterator[tuple[tuple[str, str], Item]]:
        """Go with each item's place in the order of all groups."""
        for item in items:
            yield (item.key.removeprefix(head), word), item
