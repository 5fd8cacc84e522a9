"""What a transaction that writes does, statement by statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa

from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.items import Put

#: SQLite takes 32,766 values in a statement, older ones 999.
_AT_ONCE: Final = 500


class Writing:
    """A transaction that writes.

    Args:
        connection: the connection, in a transaction that nobody else writes beside.
        now: the time, in seconds since 1970.

    Attributes:
        now: the time.
        raised: whether it has counted a commit.
    """

    def __init__(self, connection: sa.Connection, now: float) -> None:
        self.now = now
        self.raised = False
        self._connection = connection
        self._revision = 0

    def run(self, statement: sa.Executable, values: Any) -> sa.CursorResult[Any]:
        """Run a statement.

        Args:
            statement: the statement.
            values: the values bound in it.

        Returns:
            Its result.
        """
        result: sa.CursorResult[Any] = self._connection.execute(statement, values)
        return result

    def count(self) -> int:
        """Raise the count of commits, once.

        Returns:
            The count: the version of all that is put from now on.
        """
        if not self.raised:
            self._connection.execute(tables.RAISE)
            self._revision = int(self._connection.execute(tables.READ_STATE).one().revision)
            self.raised = True
        return self._revision

    def versions(self, keys: Sequence[str]) -> dict[str, int]:
        """Read the versions of items.

        Args:
            keys: their keys.

        Returns:
            The versions of those that there are.
        """
        found: dict[str, int] = {}
        for some in _parts(keys):
            rows = self._connection.execute(tables.VERSIONS, {"keys": some, "now": self.now})
            found.update((row.key, row.version) for row in rows)
        return found

    def knows(self, lease: str) -> bool:
        """Say whether there is a lease that has not run out.

        Args:
            lease: its identity.

        Returns:
            True if there is.
        """
        return self.run(tables.KNOWN, {"lease": lease, "now": self.now}).first() is not None

    def landed(self, token: str) -> int | None:
        """Find out whether a commit landed whose answer was lost.

        Args:
            token: what it was sent with.

        Returns:
            Its version, or None.
        """
        found: int | None = self.run(tables.LANDED, {"token": token}).scalar_one_or_none()
        return found

    def receipt(self, token: str) -> None:
        """Note that this commit landed, for a while.

        Args:
            token: what it was sent with.
        """
        self.run(tables.RECEIPT, [{"token": token, "version": self.count()}])

    def put(self, puts: Sequence[Put]) -> None:
        """Write items.

        Args:
            puts: the items.
        """
        for some in _parts([put.key for put in puts]):
            self.run(tables.REMOVE, {"keys": some})
        rows = [{**put._asdict(), "version": self.count()} for put in puts]
        if rows:
            self.run(tables.INSERT, rows)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete items, and remember that.

        Args:
            keys: their keys.
        """
        version = self.count()
        for some in _parts(keys):
            there = self.run(tables.STORED, {"keys": some}).scalars().all()
            if there:
                self.run(tables.FORGET, [{"version": version, "key": key} for key in there])
                self.run(tables.REMOVE, {"keys": there})
        if version % 256 == 0:
            for trim in tables.TRIM:
                self.run(trim, {"before": version - tables.REMEMBERED})

    def end(self, lease: str) -> None:
        """Delete a lease and what stands on it.

        Args:
            lease: its identity.
        """
        keys = self.run(tables.ON_LEASE, {"lease": lease}).scalars().all()
        if keys:
            self.delete(keys)
        self.run(tables.END, {"lease": lease})


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]
