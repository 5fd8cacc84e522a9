"""The bin: jobs that were trashed, to be looked at, put back or thrown away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from stackl_flow import exceptions as exc
from stackl_flow.clock import Clock
from stackl_flow.coordination.change_feed import Event
from stackl_flow.jobboards import transactions as m
from stackl_flow.jobboards.job import Posting
from stackl_flow.jobboards.keys import Places
from stackl_flow.jobboards.queries import Reading
from stackl_flow.jobboards.transactions import Writes
from stackl_flow.kv.items import Check, Item
from stackl_flow.kv.store import KV


class Bin:
    """What was trashed on one board.

    Args:
        kv: where its items are.
        places: makes their keys.
        reading: answers questions about the board.
        clock: tells the time.
        commit: writes, and tells those who watch.
    """

    def __init__(
        self,
        kv: KV,
        places: Places,
        reading: Reading,
        clock: Clock,
        commit: Callable[[Sequence[Event], Writes], bool],
    ) -> None:
        self._kv = kv
        self._places = places
        self._reading = reading
        self._clock = clock
        self._commit = commit

    def __iter__(self) -> Iterator[Posting]:
        """Go over what was trashed, oldest first; each says why in ``reason`` and by whom in ``claims``."""
        return (posting for _, posting in self._reading.trashed())

    def requeue(self, uuid: str) -> None:
        """Put a job back on the board, as if it had never been claimed.

        Args:
            uuid: which.

        Raises:
            NotFound: it is not in the bin.
        """
        item, posting = self._find(uuid)
        writes = m.requeue(self._places, posting, item.key, item.version, self._clock.now())
        if not self._commit([("POSTED", posting)], writes):
            raise _missing(uuid)

    def discard(self, uuid: str) -> None:
        """Throw a job away.

        Args:
            uuid: which.

        Raises:
            NotFound: it is not in the bin.
        """
        item, _ = self._find(uuid)
        try:
            self._kv.commit([Check(item.key, item.version)], (), [item.key])
        except exc.Conflict as error:
            raise _missing(uuid) from error

    def _find(self, uuid: str) -> tuple[Item, Posting]:
        for item, posting in self._reading.trashed():
            if posting.uuid == uuid:
                return item, posting
        raise _missing(uuid)


def _missing(uuid: str) -> exc.NotFound:
    return exc.NotFound(f"no job '{uuid}' in the bin: look at what is there, and at what has become of it")
