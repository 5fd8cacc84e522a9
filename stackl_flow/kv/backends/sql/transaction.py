"""What a transaction that writes does, statement by statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa

from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.backends.sql.dialect import Dialect
from stackl_flow.kv.backends.sql.order import Asked
from stackl_flow.kv.items import Put

#: SQLite takes 32,766 values in a statement, older ones 999.
_AT_ONCE: Final = 500
#: Every so many commits, what is remembered of old ones is deleted.
_TRIM: Final = 256


class Writing:
    """A transaction that writes: it looks first, and ends the leases that ran out.

    Args:
        connection: the connection, in a transaction in which what is asked for is locked.
        dialect: the database's own ways.
        now: the time, in seconds since 1970.
        asked: what the writer wants to know.
        joined: whether the transaction is the caller's own.

    Attributes:
        now: the time.
        raised: whether it has counted a commit.
        versions: the versions of the items that were asked for, as far as they are there.
        knows_lease: whether the lease that was asked for has not run out.
        landed: the version at which a commit of that token landed, or None.
    """

    def __init__(
        self, connection: sa.Connection, dialect: Dialect, now: float, asked: Asked, *, joined: bool = False
    ) -> None:
        self.now = now
        self.raised = False
        self.versions: dict[str, int] = {}
        self.knows_lease = False
        self.landed: int | None = None
        self._connection = connection
        self._dialect = dialect
        self._token = asked.token
        self._revision = 0
        looks: Iterable[Any] = (tables.LOOK,)
        if joined and dialect.latest:
            looks = [look.with_for_update(read=True) for look in tables.LOOKS]
        expired: set[str] = set()
        for keys in _parts(asked.keys) if asked.keys else ((),):
            for look in looks:
                self._look(look, asked._replace(keys=keys), expired)
        if expired:
            for lease in dialect.order.ended(connection, sorted(expired), now):
                self.end(lease)

    def _look(self, look: Any, asked: Asked, expired: set[str]) -> None:
        rows: Iterable[Any] = self.run(look, {"now": self.now, **asked._asdict()})
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
        """Count a commit, once, under the token that was asked for.

        Returns:
            The version of all that is put from now on.
        """
        if not self.raised:
            self._counted(self._dialect.order.count(self._connection, self._token))
        return self._revision

    def _counted(self, version: int) -> None:
        self._revision, self.raised = version, True
        if version % _TRIM == 0:
            for trim in tables.TRIM:
                self.run(trim, {"before": version - tables.REMEMBERED})

    def commit(self, puts: Sequence[Put], deletes: Sequence[str]) -> int:
        """Write and delete items, as one commit.

        Args:
            puts: the items to write.
            deletes: the keys to delete.

        Returns:
            The version of all that was put.
        """
        if not self.raised:
            version = self._dialect.order.at_once(self._connection, self._token, puts, deletes)
            if version is not None:
                self._counted(version)
                return version
        self.count()
        self.delete(deletes)
        self.put(puts)
        return self.count()

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
        for some in _parts(keys):
            self._dialect.order.remove(self._connection, self.count(), some)

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
