"""The dead-letter queue of a board: jobs that were trashed, that expired, or that reached ``max_claims``."""

from __future__ import annotations

from collections.abc import Iterator

from stackl_flow import exceptions as exc
from stackl_flow.clock import Clock
from stackl_flow.jobboards import events, transactions
from stackl_flow.jobboards.events import EventWriter
from stackl_flow.jobboards.keys import BoardKeys
from stackl_flow.jobboards.queries import Queries
from stackl_flow.jobboards.record import JobRecord
from stackl_flow.kv.items import Check, Item
from stackl_flow.kv.store import KV


class DeadLetters:
    """The dead letters of a board: iterate over them, requeue or discard them.

    Iteration yields a ``JobRecord`` for each, oldest first; its ``reason`` says why the job is there, its
    ``claims`` which owners tried to run it.
    """

    def __init__(self, kv: KV, keys: BoardKeys, queries: Queries, clock: Clock, writer: EventWriter) -> None:
        self._kv = kv
        self._keys = keys
        self._queries = queries
        self._clock = clock
        self._writer = writer

    def __iter__(self) -> Iterator[JobRecord]:
        return (record for _, record in self._queries.dead_letters())

    def requeue(self, uuid: str) -> None:
        """Put a job back on the board, without its history of claims.

        Raises:
            NotFound: there is no such dead letter.
        """
        item, record = self._find(uuid)
        writes = transactions.requeue(self._keys, record, item.key, item.version, self._clock.now())
        if not self._writer.commit([(events.POSTED, record)], writes):
            raise _not_found(uuid)

    def requeue_all(self, reason: str = "") -> Iterator[JobRecord]:
        """Put dead letters back on the board, oldest first, without their histories of claims.

        A job that becomes a dead letter again meanwhile is not requeued a second time.

        Args:
            reason: only those whose reason contains this text, in upper or lower case.

        Yields:
            Each job after it was requeued.
        """
        wanted = reason.casefold()
        last = self._queries.last_dead_letter()
        for item, record in self._queries.dead_letters():
            if last is None or item.key > last:
                return
            if wanted in record.reason.casefold():
                writes = transactions.requeue(self._keys, record, item.key, item.version, self._clock.now())
                if self._writer.commit([(events.POSTED, record)], writes):  # otherwise another was faster
                    yield record

    def discard(self, uuid: str) -> None:
        """Delete a dead letter; its outcome remains until it expires.

        Raises:
            NotFound: there is no such dead letter.
        """
        item, _ = self._find(uuid)
        try:
            self._kv.commit([Check(item.key, item.version)], (), [item.key])
        except exc.Conflict as error:
            raise _not_found(uuid) from error

    def _find(self, uuid: str) -> tuple[Item, JobRecord]:
        found = self._queries.dead_letter(uuid)
        if found is None:
            raise _not_found(uuid)
        return found


def _not_found(uuid: str) -> exc.NotFound:
    return exc.NotFound(
        f"no dead letter '{uuid}': it was requeued or discarded, or never trashed; list the dead letters"
    )
