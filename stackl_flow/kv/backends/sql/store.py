"""A place of items in the tables of a database: so that a database alone is enough.

Every commit is one transaction. Commits that share an item come one after another; on SQLite and MariaDB all
of them do. Waiters in a SQLite file have named pipes beside it, as in a directory (see ``bell``); on
PostgreSQL they are notified. A commit that woke nobody, because its process was killed or because the
transaction was the caller's own, is noticed a moment later all the same.
"""

from __future__ import annotations

import uuid
from builtins import list as List  # noqa: N812  inside the class, ``list`` is the verb
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar, cast

import sqlalchemy as sa

from stackl_flow import plugins, urls
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.backends.sql.dialect import Dialect
from stackl_flow.kv.backends.sql.order import Asked, Seen
from stackl_flow.kv.backends.sql.session import Link
from stackl_flow.kv.backends.sql.transaction import Writing
from stackl_flow.kv.items import (
    ABSENT,
    Check,
    Item,
    Lease,
    Limits,
    Put,
    conflict_error,
    is_satisfied,
    lease_lost_error,
)
from stackl_flow.kv.store import KV, LockItems

T = TypeVar("T")

_HERE: Final = "stackl_flow.kv.backends.sql"
_GROUP: Final = "stackl_flow.kv.sql"
_DIALECTS: Final = {
    "mariadb": f"{_HERE}.mysql:MySQL",
    "mysql": f"{_HERE}.mysql:MySQL",
    "postgresql": f"{_HERE}.postgresql:PostgreSQL",
    "sqlite": f"{_HERE}.sqlite:SQLite",
}


class SQLKV(KV):
    """Keeps items in the tables of a database; they are made when the place is first used.

    Args:
        conf: "connection" is the address, such as "sqlite:///place.db", "postgresql://user:password@host/db"
            or "mysql://user:password@host/db"; options stand in it or beside it.
        clock: tells when leases run out, where the database has no clock of its own.

    Raises:
        InvalidFormat: the address or an option makes no sense.
    """

    supports_locks = True

    def __init__(self, conf: str | Mapping[str, Any], clock: Clock = SYSTEM) -> None:
        place = urls.parse(conf)
        super().__init__(place.conf, clock=clock)
        # A driver is imported when it is asked for.
        made = plugins.load_backend(place.backend, place.masked_url, _GROUP, _DIALECTS)
        self._dialect = cast("Dialect", made(place))
        self.is_shared = self._dialect.shared
        self.limits = Limits(operations=self._dialect.most)
        self._link = Link(self._dialect, clock)

    @property
    def name(self) -> str:
        """The address, without any password."""
        return self._dialect.name

    def close(self) -> None:
        """Close the connections; a place in memory is gone then."""
        self._link.close()

    def snapshot(self) -> AbstractContextManager[None]:
        """Let reads inside a ``with`` see one moment: that of one transaction.

        Returns:
            The context.
        """
        return self._link.moment()

    def external_transaction(self, connection: Any) -> AbstractContextManager[None]:
        """Let what this thread does inside a ``with`` be part of a transaction of the caller's own.

        On SQLite and MariaDB all other commits wait until that transaction ends, so it should do this last.

        Args:
            connection: the caller's connection to the same database, in a transaction: one of SQLAlchemy's,
                a session, or one of the driver's (sqlite3, psycopg, PyMySQL).

        Returns:
            The context.

        Raises:
            InvalidFormat: that is no such connection, it is closed, or each statement on it is committed
                by itself.
        """
        return self._link.joined(connection)

    def run_with_locks(self, work: Callable[[LockItems], T]) -> T:
        """Do something in a transaction in which items are taken before others can have them.

        Args:
            work: gets a function that takes items by their keys. It may be done again, if nothing landed.

        Returns:
            What it gave.
        """
        return self._link.taking(work)

    def _get(self, key: str) -> Item | None:
        asked = self._latest(tables.READ_ONE)

        def ask(connection: sa.Connection) -> List[Item]:
            values = {"key": key, "now": self._link.now()}
            return [Item(*row) for row in connection.execute(asked, values)]

        return next(iter(self._link.read(ask)), None)

    def _latest(self, asked: sa.Select[Any]) -> sa.Select[Any]:
        """Read what is there now, also in a transaction of the caller's that began long ago."""
        return asked.with_for_update(read=True) if self._dialect.latest and self._link.is_joined else asked

    def _list(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> List[Item]:
        asked = self._latest(
            tables.some(prefix=bool(prefix), after=bool(after), limit=limit is not None, reverse=reverse)
        )
        values = {**tables.bounds(prefix), "after": after, "limit": limit}

        def ask(connection: sa.Connection) -> List[Item]:
            rows = connection.execute(asked, {**values, "now": self._link.now()})
            return [Item(*row) for row in rows]

        return self._link.read(ask)

    def _commit(
        self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str], lease: str | None
    ) -> int:
        token = uuid.uuid4().hex if self._dialect.keeps_receipts else ""

        def work(writing: Writing) -> int:
            if writing.landed is not None:
                return writing.landed
            for check in checks:
                found = writing.versions.get(check.key, ABSENT)
                if not is_satisfied(check, found):
                    raise conflict_error(check, found)
            if lease is not None and not writing.knows_lease:
                raise lease_lost_error(lease)
            return writing.commit(puts, deletes)

        looked = list(dict.fromkeys(check.key for check in checks))
        names = {*looked, *deletes, *(put.key for put in puts)}
        return self._link.write(work, Asked(looked, lease or "", token, sorted(names)))

    def _grant(self, lease: Lease) -> Lease:
        def work(writing: Writing) -> None:
            # A first try may have landed without our hearing of it.
            if not writing.knows_lease:
                writing.run(tables.LEND, [{"id": lease.id, "until": writing.now + lease.ttl}])

        self._link.write(work, Asked(lease=lease.id, names=[lease.id]))
        return lease

    def _extend(self, lease: Lease) -> bool:
        def work(writing: Writing) -> bool:
            later = {"lease": lease.id, "now": writing.now, "later": writing.now + lease.ttl}
            return bool(writing.run(tables.EXTEND, later).rowcount)

        return self._link.write(work)

    def _revoke(self, lease: Lease) -> None:
        self._link.write(lambda writing: writing.end(lease.id))

    def _wait(self, prefix: str, since: int, timeout: float | None) -> int:
        # A thread waits in real time, whatever clock the leases go by.
        deadline = None if timeout is None else SYSTEM.monotonic() + timeout
        if since == 0:
            return self._link.read(self._dialect.order.mark)
        longest = self._dialect.look_again
        with self._dialect.waiting() as bell:
            while True:
                seen = self._look(prefix, since)
                if seen.mark != since:
                    return seen.mark
                now = self._link.now()
                if seen.runs_out is not None and seen.runs_out <= now:
                    self._link.write(lambda _: None)  # ends the leases that ran out
                    seen = self._look(prefix, since)
                    if seen.mark != since:
                        return seen.mark
                left = longest if deadline is None else deadline - SYSTEM.monotonic()
                if left <= 0:
                    return since
                lasts = longest if seen.runs_out is None else seen.runs_out - now
                bell.wait(max(min(left, lasts, longest), 0.001))

    def _look(self, prefix: str, since: int) -> Seen:
        return self._link.read(lambda connection: self._dialect.order.look(connection, prefix, since))
