"""The key-value store: the port that every backend implements.

A store keeps JSON texts under ordered keys and has one write operation, ``commit``: checks, puts and deletes
that are applied together or not at all. Job boards, coordination and persistence are written once, on this
port. Its shape (versions as preconditions of a transaction, leases as values of their own, waiting from a
revision on) is etcd's; its promises are what the weakest of the servers below can keep:

=========  ===================  =========================  ==================================================
store      atomicity            version of an item         leases; waiting for changes
=========  ===================  =========================  ==================================================
memory     one lock             count of commits           beside the items; a condition variable
directory  a journal record     count of commits, stored   in the journal; a named pipe for each waiter
SQL        a transaction        count of commits, one      a table; polling of the count, LISTEN/NOTIFY on
                                row; on PostgreSQL a       PostgreSQL
                                sequence and snapshots
Redis      one Lua script; a    count of commits           a sorted set by expiry, checked by the script;
           hash tag keeps all                              a stream whose ids are the counts, so XREAD BLOCK
           keys in one slot                                misses nothing between two waits
ZooKeeper  ``multi``            mzxid of the node          a session for each lease, with the ttl as its
                                                           timeout; ephemeral nodes; watches
etcd       a transaction        mod_revision               etcd's own; a watch from a revision on
=========  ===================  =========================  ==================================================

How the limits of these servers have shaped the port:

* ZooKeeper bounds a node, a ``multi`` and a list of children by 1 MB (``jute.maxbuffer``). etcd bounds a
  request by 1.5 MiB and a transaction by 128 operations (checks are counted apart). A store declares such
  bounds in ``limits``; a larger commit is a ``ValueTooLarge`` before anything is sent. Split large writes.
* ZooKeeper can only check a node by a counter that restarts when the node is created again. Its backend
  compares the mzxid first, and excludes a change in between by a guard node: every creation of a node
  rewrites the guard of its key in the same ``multi``, and every check includes it. (Deletions do not: nothing
  is written when a session's nodes are deleted.)
* An ephemeral node has no children and belongs to one session, so the puts of one commit are attached to at
  most one lease. The server bounds session timeouts (2 to 20 ticks, by default 4 to 40 s), so ``grant`` may
  return a longer ttl than requested. A session's own heartbeat must not keep a lease alive that is not
  extended, so the backend sends none.
* No server can wake the waiters of exactly one prefix for free: ``wait`` may return early, never late, and
  says only that something may have changed.
* Not every server reads many keys at one point in time: ``snapshot`` promises that only where it can. One
  ``list`` is a snapshot everywhere but on ZooKeeper.
* Keys are printable ASCII in segments, because a node name, a file name and a hash slot all have to carry
  them. They are ordered by their bytes, which is the same on all servers.
* Leases expire by the clock of the server, so that a client with a wrong clock neither loses nor keeps one;
  memory, directory and SQLite use the clock that is passed in.
"""

from __future__ import annotations

import builtins
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self, TypeVar

from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.kv.items import (
    Check,
    Item,
    Lease,
    Limits,
    Put,
    lease_lost_error,
    validate_commit,
    validate_key,
    validate_prefix,
    validate_size,
)

T = TypeVar("T")
#: Locks items by their keys and returns those that exist and that no other transaction has locked.
LockItems = Callable[[Sequence[str]], builtins.list[Item]]


class KV(ABC):
    """A key-value store.

    **Implementing a store.** Subclass this, implement ``name``, ``close`` and the operations with a leading
    underscore, and register the class under the scheme of its URLs in the entry point group
    ``stackl_flow.kv``. It is called with ``conf`` and ``clock``. The public methods validate their arguments
    before they call yours. The store is done when it passes the contract suites of ``stackl_flow.testing``.
    It must keep these promises:

    * **Keys** are ordered by their bytes. Values are text and come back unchanged.
    * **Commits** are atomic, isolated and durable when ``commit`` returns, and applied once. A backend that
      loses the answer of its server finds out whether the commit was applied, before it retries or raises;
      where that is impossible, the ``StorageFailure`` says that the outcome is unknown.
    * **Versions** are integers above 0. All puts of a commit get the version that it returns. The version of
      a key grows with every write, also after it was deleted or its lease expired.
    * **Reads** see every commit that returned before they began, in whatever process it was made.
    * **Leases.** An item that is attached to a lease exists until the lease expires or is revoked, and
      counts as deleted from then on, for reads, checks and waiters. The id of a lease is valid in every
      process. ``grant`` may return another id and a longer ttl than requested, never a shorter one. Nothing
      but ``extend`` prolongs a lease; the process that holds it may hang.
    * **Waiting** misses no change between the mark and the call.
    * **Errors.** The driver's errors never leave the backend. It retries for as many seconds as the option
      ``timeout`` says, then raises a ``StorageFailure`` that names the store and the remedy. What is larger
      than the server accepts is a ``ValueTooLarge``, never an error of the connection. Passwords appear in no
      message.
    * **Threads and processes.** Threads share an object. A child process made by ``fork`` may go on using
      it, and opens its own connections.

    Args:
        conf: the options, with the URL under "connection".
        clock: the clock by which leases expire, where the store has none of its own.

    Attributes:
        limits: the largest value and commit that the store accepts, as far as they are known: a store that
            asks its server knows them once it is connected.
        is_shared: whether other processes with the same ``conf`` use the same items.
        list_is_snapshot: whether one ``list`` returns the state at one point in time.
        supports_locks: whether ``run_with_locks`` is implemented.
    """

    limits: Limits = Limits()
    is_shared: bool = True
    list_is_snapshot: bool = True
    supports_locks: bool = False

    def __init__(self, conf: Mapping[str, Any] | None = None, clock: Clock = SYSTEM) -> None:
        self.conf = dict(conf or {})
        self.clock = clock

    @property
    @abstractmethod
    def name(self) -> str:
        """The store's name for messages: its URL without password and options."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Release files and connections. Leases are not revoked; they expire unless they are extended."""

    def get(self, key: str) -> Item | None:
        """Return the item under a key, or None; raise ``InvalidFormat`` for an invalid key."""
        validate_key(key)
        return self._get(key)

    def list(
        self, prefix: str = "", after: str = "", limit: int | None = None, *, reverse: bool = False
    ) -> builtins.list[Item]:
        """Return items in the order of the bytes of their keys.

        Args:
            prefix: only items whose keys begin with this text; it need not end at a "/".
            after: only items after this key, with ``reverse`` before it; exclusive, empty for all. For the
                next page, pass the last key of the page before.
            limit: the maximum number of items.
            reverse: descending order.
        """
        validate_prefix(prefix)
        validate_prefix(after)
        if limit is not None and limit <= 0:
            return []
        return self._list(prefix, after, limit, reverse=reverse)

    def get_many(self, keys: Iterable[str]) -> builtins.list[Item | None]:
        """Return the item, or None, for each key: one round trip on Redis, etcd and ZooKeeper.

        Outside ``snapshot`` each item may be read at a different time.
        """
        keys = tuple(keys)
        for key in keys:
            validate_key(key)
        return self._get_many(keys) if keys else []

    def list_many(self, prefixes: Iterable[str]) -> builtins.list[builtins.list[Item]]:
        """Return the items, in key order, for each prefix: one round trip on Redis and etcd.

        Outside ``snapshot`` each list may be read at a different time.
        """
        prefixes = tuple(prefixes)
        for prefix in prefixes:
            validate_prefix(prefix)
        return self._list_many(prefixes) if prefixes else []

    def commit(
        self, checks: Iterable[Check] = (), puts: Iterable[Put] = (), deletes: Iterable[str] = ()
    ) -> int:
        """Write items, all of them or none. They are durable when this returns.

        Args:
            checks: preconditions; they may name keys that are written.
            puts: items to write. They may be attached to one lease; a put without a lease detaches its item.
            deletes: keys to delete; one without an item is no error. A key is written at most once.

        Returns:
            The version of all items that were put.

        Raises:
            Conflict: a check does not hold; nothing was written.
            LeaseLost: the lease of a put does not exist any more; nothing was written.
            ValueTooLarge: the commit exceeds ``limits``, or is larger than the server accepts; nothing was
                written.
            StorageFailure: the store failed.
        """
        checks, puts, deletes = tuple(checks), tuple(puts), tuple(deletes)
        lease = validate_commit(checks, puts, deletes)
        validate_size(self.name, self.limits, checks, puts, deletes)
        return self._commit(checks, puts, deletes, lease)

    def grant(self, ttl: float) -> Lease:
        """Create a lease.

        Args:
            ttl: its time to live in seconds. The lease returned has a longer one where the store cannot
                grant less: ZooKeeper bounds it, etcd counts whole seconds.
        """
        if ttl <= 0:
            raise exc.InvalidFormat(f"the time to live of a lease must be more than 0 seconds, not {ttl}")
        return self._grant(Lease(uuid.uuid4().hex, ttl))

    def extend(self, lease: Lease) -> None:
        """Restart the time to live of a lease and of the items attached to it.

        Raises:
            LeaseLost: the lease has expired or was revoked.
        """
        if not self._extend(lease):
            raise lease_lost_error(lease.id)

    def revoke(self, lease: Lease) -> None:
        """Delete a lease and the items attached to it; no error if it has expired."""
        self._revoke(lease)

    def wait(self, prefix: str = "", since: int = 0, timeout: float | None = None) -> int:
        """Wait until items with a prefix may have changed; the expiry of a lease is a change, too.

        To miss nothing, take a mark first (``since=0``), then read, then wait from the mark. This may return
        early, never late.

        Args:
            prefix: the beginning of the keys.
            since: the mark up to which the caller has read; 0 returns a first mark at once.
            timeout: the maximum time in seconds; None for no limit.

        Returns:
            A new mark; ``since`` if nothing has changed until the timeout. A mark is valid only for the
            object that returned it.
        """
        validate_prefix(prefix)
        return self._wait(prefix, since, timeout)

    def snapshot(self) -> AbstractContextManager[None]:
        """Return a context in which all reads of this thread see one point in time, where that is possible.

        Memory and directory hold their lock meanwhile, SQL reads in one transaction; on other stores each
        read has its own point in time. Contexts can be nested. Do not commit inside.
        """
        return nullcontext()

    def external_transaction(self, connection: Any) -> AbstractContextManager[None]:
        """Return a context in which this thread's operations are part of a transaction of the caller.

        A commit inside is applied, and wakes waiters, when the caller commits.

        Args:
            connection: the caller's connection to the same database, in a transaction: SQLAlchemy's
                connection or session, or one of the driver's.

        Raises:
            NotSupported: this is not an SQL store.
        """
        del connection
        raise exc.NotSupported(
            f"'{self.name}' cannot join your transaction: only a store in the same SQL database can. "
            f"Use such a store, or write after your own commit, without a connection"
        )

    def run_with_locks(self, work: Callable[[LockItems], T]) -> T:
        """Run a function in a transaction in which it can lock items (SELECT FOR UPDATE SKIP LOCKED).

        Args:
            work: is called with a function that locks items by their keys and returns those that exist and
                that no other transaction has locked. It may make one commit, which is applied at the end. It
                is called again if nothing was applied.

        Returns:
            What ``work`` returned.

        Raises:
            NotSupported: the store has no locks (see ``supports_locks``).
        """
        del work
        raise exc.NotSupported(f"'{self.name}' cannot lock items: read them and commit with checks")

    @abstractmethod
    def _get(self, key: str) -> Item | None:
        """Read one item."""

    @abstractmethod
    def _list(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> builtins.list[Item]:
        """Read items in key order; the limit is above 0."""

    def _get_many(self, keys: Sequence[str]) -> builtins.list[Item | None]:
        """Read several items. Override it where that saves round trips."""
        with self.snapshot():
            return [self._get(key) for key in keys]

    def _list_many(self, prefixes: Sequence[str]) -> builtins.list[builtins.list[Item]]:
        """Read the items of several prefixes. Override it where that saves round trips."""
        with self.snapshot():
            return [self._list(prefix, "", None, reverse=False) for prefix in prefixes]

    @abstractmethod
    def _commit(
        self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str], lease: str | None
    ) -> int:
        """Write and return the version of the puts; ``lease`` is the one that they name, if any."""

    @abstractmethod
    def _grant(self, lease: Lease) -> Lease:
        """Create a lease, with that id unless the store has ids of its own."""

    @abstractmethod
    def _extend(self, lease: Lease) -> bool:
        """Restart the time to live of a lease; return False if it does not exist."""

    @abstractmethod
    def _revoke(self, lease: Lease) -> None:
        """Delete a lease and the items attached to it."""

    @abstractmethod
    def _wait(self, prefix: str, since: int, timeout: float | None) -> int:
        """Wait for a change, and return a new mark."""


def read_pages(kv: KV, prefix: str, size: int, max_size: int, after: str = "") -> Iterator[Item]:
    """Read items in key order, in pages that grow.

    Args:
        kv: the store.
        prefix: the beginning of their keys.
        size: number of items in the first page.
        max_size: the largest number of items in a page.
        after: only items after this key.
    """
    while True:
        page = kv.list(prefix, after=after, limit=size)
        yield from page
        if len(page) < size:
            return
        after = page[-1].key
        size = max(size, min(4 * size, max_size))
