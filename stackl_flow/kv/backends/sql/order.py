"""How commits come one after another, what a waiter sees of them, and what is remembered of what was deleted.

As it comes, by a count of commits in one row, which whoever writes raises. A database that can do better
brings an order of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.items import Put


class Asked(NamedTuple):
    """What a writer wants to know before it writes, and the names of all that nobody else may write then."""

    keys: Sequence[str] = ()
    lease: str = ""
    token: str = ""
    names: Sequence[str] = ()


class Seen(NamedTuple):
    """What a waiter saw: a mark that is another when something changed, and when the next lease runs out."""

    mark: int
    runs_out: float | None


class Order:
    """Commits one after another."""

    def lock(self, connection: sa.Connection, asked: Asked, *, joined: bool) -> None:
        """Keep others from writing until a transaction ends, where the first write would not do that.

        Args:
            connection: the connection, in a transaction.
            asked: what is to be looked at, and written.
            joined: whether the transaction is the caller's own.
        """

    def count(self, connection: sa.Connection, token: str) -> int:
        """Count a commit.

        Args:
            connection: the connection, in a transaction.
            token: what the commit is to be known by when its answer is lost; empty for nothing.

        Returns:
            The version of all that is put in it, above that of any other commit that wrote the same items.
        """
        version = int(connection.execute(tables.RAISE).scalar_one())
        if token:
            connection.execute(tables.RECEIPT, [{"token": token, "version": version}])
        return version

    def at_once(
        self,
        connection: sa.Connection,  # noqa: ARG002  see there
        token: str,  # noqa: ARG002
        puts: Sequence[Put],  # noqa: ARG002
        deletes: Sequence[str],  # noqa: ARG002
    ) -> int | None:
        """Count a commit and write all of it by one statement, where there is one for that.

        Args:
            connection: the connection, in a transaction.
            token: what the commit is to be known by when its answer is lost.
            puts: the items to write.
            deletes: the keys to delete.

        Returns:
            The version of all that is put in it; None if nothing was done.
        """
        return None

    def remove(self, connection: sa.Connection, version: int, keys: Sequence[str]) -> None:
        """Delete items, and remember that.

        Args:
            connection: the connection, in a transaction.
            version: that of the commit.
            keys: their keys.
        """
        there = connection.execute(tables.STORED, {"keys": keys}).scalars().all()
        if there:
            connection.execute(tables.FORGET, [{"version": version, "key": key} for key in there])
            connection.execute(tables.REMOVE, {"keys": there})

    def ended(self, connection: sa.Connection, leases: Sequence[str], now: float) -> Sequence[str]:  # noqa: ARG002  see there
        """Take the leases that ran out from all others who would end them.

        Args:
            connection: the connection, in a transaction.
            leases: those that ran out.
            now: the time.

        Returns:
            Those that are ours to end.
        """
        return leases

    def mark(self, connection: sa.Connection) -> int:
        """Mark what is there now.

        Args:
            connection: the connection.

        Returns:
            The mark.
        """
        return int(connection.execute(tables.READ_STATE).one().revision)

    def look(self, connection: sa.Connection, prefix: str, since: int) -> Seen:
        """See whether items have changed.

        Args:
            connection: the connection.
            prefix: items whose keys begin so.
            since: the mark up to which they are known.

        Returns:
            What is seen; with the same mark if nothing changed.
        """
        revision = self.mark(connection)
        runs_out: float | None = connection.execute(tables.NEXT_END).scalar_one()
        if revision == since:
            return Seen(since, runs_out)
        values = {"since": since, **tables.bounds(prefix)}
        changed = revision - since > tables.REMEMBERED or any(
            connection.execute(asked, values).first() is not None
            for asked in tables.changes(prefix=bool(prefix))
        )
        return Seen(revision if changed else since, runs_out)
