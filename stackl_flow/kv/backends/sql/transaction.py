"""A transaction that writes, statement by statement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import sqlalchemy as sa

from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.backends.sql.commit_order import WriteRequest
from stackl_flow.kv.backends.sql.wakeups import tag_of
from stackl_flow.kv.items import ABSENT, Check, Put, conflict_error, is_satisfied, lease_lost_error
from stackl_flow.kv.ordered import root_of

if TYPE_CHECKING:
    from stackl_flow.kv.backends.sql.dialects import Dialect

#: How many keys a statement takes: SQLite takes 32,766 values, older versions 999.
_BATCH: Final = 500
#: After how many commits old deletions and commits are deleted.
_TRIM_INTERVAL: Final = 256


class Preconditions(Protocol):
    """What was found before a commit: see `WriteTransaction`."""

    versions: dict[str, int]
    lease_is_live: bool
    applied_version: int | None


class Commit(NamedTuple):
    """What one commit checks and writes.

    Attributes:
        checks: preconditions.
        puts: items to write.
        deletes: keys to delete.
        lease: the lease that must be live, or None.
        token: identifies it when its answer is lost; empty for none.
    """

    checks: Sequence[Check]
    puts: Sequence[Put]
    deletes: Sequence[str]
    lease: str | None
    token: str

    @property
    def request(self) -> WriteRequest:
        """What is read, and locked."""
        checked = list(dict.fromkeys(check.key for check in self.checks))
        names = {*checked, *self.deletes, *(put.key for put in self.puts)}
        return WriteRequest(checked, self.lease or "", self.token, sorted(names))

    @property
    def tags(self) -> set[str]:
        """Which waiters are to be woken (see ``wakeups``)."""
        return {
            tag_of(root) for root in {*map(root_of, self.deletes), *(root_of(key) for key, *_ in self.puts)}
        }

    def check(self, found: Preconditions) -> int | None:
        """Check what was found; return the version if this commit was applied before.

        Raises:
            Conflict: a check does not hold.
            LeaseLost: the lease has expired.
        """
        if found.applied_version is not None:
            return found.applied_version
        for check in self.checks:
            version = found.versions.get(check.key, ABSENT)
            if not is_satisfied(check, version):
                raise conflict_error(check, version)
        if self.lease is not None and not found.lease_is_live:
            raise lease_lost_error(self.lease)
        return None

    def apply(self, transaction: WriteTransaction) -> int:
        """Check and write it in a transaction, and return its version."""
        applied = self.check(transaction)
        return transaction.commit(self.puts, self.deletes) if applied is None else applied


class WholeCommit(ABC):
    """A commit that is sent to the driver as a whole, and what was found.

    Attributes:
        version: the version of the commit; None if nothing was written.
        versions: the versions of the checked items, as far as they exist.
        lease_is_live: whether the lease of the commit has not expired.
        applied_version: the version at which it was applied before, or None.
        has_expired_leases: whether nothing was written because leases have to be deleted first.
        notifies: whether it also wakes waiters.
    """

    notifies = False

    def __init__(self) -> None:
        self.version: int | None = None
        self.versions: dict[str, int] = {}
        self.lease_is_live = False
        self.applied_version: int | None = None
        self.has_expired_leases = False

    @abstractmethod
    def send(self, raw: Any, now: float, *, inside: bool = False) -> None:
        """Check and write it, unless a check does not hold.

        Args:
            raw: the driver's connection.
            now: the current time, in seconds since the epoch.
            inside: whether the connection is in a transaction that goes on; otherwise this is one.
        """

    def read(self, about: str, name: str, version: int) -> None:
        """Read a row that says what was found."""
        if about == tables.EXPIRED_LEASE:
            self.has_expired_leases = True
        elif about == tables.LIVE_LEASE:
            self.lease_is_live = True
        elif about == tables.APPLIED:
            self.applied_version = version
        elif about == tables.VERSION:
            self.versions[name] = version
        else:
            self.version = version


class WriteTransaction:
    """A transaction that writes. First it reads the preconditions, and deletes expired leases.

    Args:
        connection: the connection, in a transaction that has locked what was requested.
        dialect: the database's dialect.
        now: the current time, in seconds since the epoch.
        request: what the writer wants to know.
        external: whether the transaction is the caller's.

    Attributes:
        now: the current time.
        has_committed: whether a commit was counted.
        tags: which waiters are to be woken (see ``wakeups``); empty if nothing was committed.
        versions: the versions of the requested items, as far as they exist.
        lease_is_live: whether the requested lease has not expired.
        applied_version: the version at which a commit with the requested token was applied, or None.
    """

    def __init__(
        self,
        connection: sa.Connection,
        dialect: Dialect,
        now: float,
        request: WriteRequest,
        *,
        external: bool = False,
    ) -> None:
        self.now = now
        self.has_committed = False
        self._roots: set[str] = set()
        self.versions: dict[str, int] = {}
        self.lease_is_live = False
        self.applied_version: int | None = None
        self._connection = connection
        self._dialect = dialect
        self._token = request.token
        self._version = 0
        queries: Iterable[Any] = (tables.ALL_PRECONDITIONS,)
        if external and dialect.needs_locking_reads:
            queries = [query.with_for_update(read=True) for query in tables.PRECONDITIONS]
        expired: set[str] = set()
        for keys in _batches(request.keys) if request.keys else ((),):
            for query in queries:
                self._read(query, request._replace(keys=keys), expired)
        if expired:
            for lease in dialect.commits.claim_expired(connection, sorted(expired), now):
                self.delete_lease(lease)

    @property
    def tags(self) -> set[str]:
        """Which waiters are to be woken: none before a commit."""
        return {tag_of(root) for root in self._roots} if self.has_committed else set()

    def _read(self, query: Any, request: WriteRequest, expired: set[str]) -> None:
        rows: Iterable[Any] = self.execute(query, {"now": self.now, **request._asdict()})
        for about, name, version in rows:
            if about == tables.EXPIRED_LEASE:
                expired.add(name)
            elif about == tables.LIVE_LEASE:
                self.lease_is_live = True
            elif about == tables.APPLIED:
                self.applied_version = version
            else:
                self.versions[name] = version

    def execute(self, statement: sa.Executable, values: Any) -> sa.CursorResult[Any]:
        """Run a statement."""
        result: sa.CursorResult[Any] = self._connection.execute(statement, values)
        return result

    def commit(self, puts: Sequence[Put], deletes: Sequence[str]) -> int:
        """Write and delete items as one commit, and return the version of what was put."""
        self._roots.update(root_of(put.key) for put in puts)
        self._roots.update(map(root_of, deletes))
        if not self.has_committed:
            version = self._dialect.commits.write_all(self._connection, self._token, puts, deletes)
            if version is not None:
                self._counted(version)
                return version
        self._count()
        self._delete(deletes)
        rows = [{**put._asdict(), "version": self._version} for put in puts]
        if rows:
            self.execute(tables.upsert(self._connection.dialect.name), rows)
        return self._version

    def delete_lease(self, lease: str) -> None:
        """Delete a lease and the items that are attached to it."""
        keys = self.execute(tables.SELECT_LEASE_KEYS, {"lease": lease}).scalars().all()
        if keys:
            self._roots.update(map(root_of, keys))
            self._delete(keys)
        self.execute(tables.DELETE_LEASE, {"lease": lease})

    def _delete(self, keys: Sequence[str]) -> None:
        for batch in _batches(keys):
            self._dialect.commits.delete(self._connection, self._count(), batch)

    def _count(self) -> int:
        """Count a commit once, and return its version."""
        if not self.has_committed:
            self._counted(self._dialect.commits.next_version(self._connection, self._token))
        return self._version

    def _counted(self, version: int) -> None:
        self._version, self.has_committed = version, True
        trim(self._connection, version)


def trim(connection: sa.Connection, version: int) -> None:
    """After some of the commits, delete what is remembered of old ones."""
    if version % _TRIM_INTERVAL == 0:
        for statement in tables.TRIM:
            connection.execute(statement, {"before": version - tables.RETAINED_COMMITS})


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _BATCH):
        yield keys[start : start + _BATCH]
