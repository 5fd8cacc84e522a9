"""What a transaction that writes does, statement by statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.items import Put

#: SQLite takes 32,766 values in a statement, older ones 999.
_AT_ONCE: Final = 500


class Asked(NamedTuple):
    """What a writer wants to know before it writes."""

    keys: Sequence[str] = ()
    lease: str = ""
    token: str = ""


class Writing:
    """A transaction that writes: it looks first, and ends the leases that ran out.

    Args:
        connection: the connection, in a transaction that nobody else writes beside.
        now: the time, in seconds since 1970.
        asked: what the writer wants to know.

    Attributes:
        now: the time.
        raised: whether it has counted a commit.
        versions: the versions of the items that were asked for, as far as they are there.
        knows_lease: whether the lease that was asked for has not run out.
        landed: the version at which a commit of that token landed, or None.
    """

    def __init__(self, connection: sa.Connection, now: float, asked: Asked) -> None:
        self.now = now
        self.raised = False
        self.versions: dict[str, int] = {}
        self.knows_lease = False
        self.landed: int | None = None
        self._connection = connection
        self._revision = 0
        expired: set[str] = set()
        for keys in _parts(asked.keys) if asked.keys else ((),):
            self._look(asked._replace(keys=keys), expired)
        for lease in sorted(expired):
            self.end(lease)

    def _look(self, asked: Asked, expired: set[str]) -> None:
        rows: Iterable[Any] = self.run(tables.LOOK, {"now": self.now, **asked._asdict()})
        for about, name, version in rows:
            if about == tables.EXPIRED:
                expired.add(name)
            elif about == tables.KNOWN:
                self.knows_lease = True
            elif about == tables.LANDED:
                self.landed = version
            else:
                self.versions[name] = version

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
            self._revision = int(self._connection.execute(tables.RAISE).scalar_one())
            self.raised = True
        return self._revision

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
        rows = [{**put._asdict(), "version": self.count()} for put in puts]
        if rows:
            self.run(tables.upsert(self._connection.dialect.name), rows)

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
