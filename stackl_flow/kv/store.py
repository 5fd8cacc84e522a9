"""What every place of items is, and what it may rest on.

A place keeps JSON texts under ordered keys and is written by one verb, ``commit``: checks, puts and deletes
that land together or not at all. Jobboards, documents, locks and persistence stand on it, so that each is
written once. The contract is what the weakest of the servers we mean to stand on can do:

=========  =====================  ==========================  ===========================================
place      all or nothing         version of an item          leases; waiting for changes
=========  =====================  ==========================  ===========================================
memory     one lock               count of commits            beside the items; a condition
directory  a journal's record     count of commits, stored    in the journal; a named pipe a waiter
SQL        a transaction          count of commits, one row;  a table; the count is looked at again, or
                                  PostgreSQL: a sequence,     LISTEN where there is such a thing
                                  and snapshots as marks
Redis      one Lua script; keys   count of commits            a sorted set by the time they run out, looked
           share a hash tag, so                               at by the script; a stream whose ids are the
           that a cluster keeps                               counts: XREAD BLOCK loses nothing between
           them in one slot                                   two waits
ZooKeeper  ``multi``              mzxid of the node           a session of its own a lease, whose timeout
                                                              is the ttl; ephemeral nodes; watches
etcd       a transaction          mod_revision                its own; a watch from a revision on
=========  =====================  ==========================  ===========================================

What these servers cannot do has shaped the contract:

* ZooKeeper keeps at most 1 MB (``jute.maxbuffer``) in a node, in a ``multi``, and in an answer that lists
  children. etcd takes 1.5 MiB a request and 128 operations a transaction (checks are counted apart from the
  rest). A place says so in ``limits``; larger commits are refused before anything is sent, and who writes
  many items does so in several commits.
* A node of ZooKeeper can only be checked by a counter that begins anew when the node is made anew. A backend
  there compares the mzxid first, and rules out a change in between by a guard node, which each making of
  a node in its part of the keys rewrites in the same ``multi`` and each check checks (not each deletion:
  nobody writes when a session takes its nodes along).
* An ephemeral node has no children, and belongs to the session that makes it: the puts of one commit stand on
  one lease at most. The server bounds session timeouts (2 to 20 ticks: 4 to 40 s as it comes), so ``grant``
  may give a longer ttl than was asked for, and says which. The session's own heartbeat must not keep a lease
  alive that nobody extends: the backend closes a session whose lease was not extended in time.
* No server wakes waiters for exactly one prefix at no cost: ``wait`` may return early, never late, and tells
  no more than that something may have changed. Who waits takes a mark first, then reads, then waits from
  the mark.
* Not every server reads many keys at one moment: ``moment`` promises it only where it can (see there); one
  ``list`` is one moment everywhere but on ZooKeeper.
* Keys are printable ASCII in segments, because a node name, a file name and a cluster slot all have to carry
  them; their order is that of their bytes, which is the same on all of them.
* Expiry is judged by the clock of the place: the server's where there is a server, so that a client whose
  clock is wrong neither loses nor keeps anything; the clock that is passed in for memory, directory, SQLite.

The shape (versions as preconditions of one transaction, leases as values of their own, waiting from a
revision on) is etcd's, as the smallest that all can bear.
"""

from __future__ import annotations

import builtins
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
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
LockItems = Callable[[Sequence[str]], builtins.list[Item]]


class KV(ABC):
    """A place of items. Threads may share it; a child process made by ``fork`` may go on using it.

    Args:
        conf: the settings, with the address under "connection".
        clock: tells what time it is, where the place has no clock of its own.

    Attributes:
        limits: what the place takes.
        is_shared: whether another process that has the same settings gets to the same place.
        list_is_snapshot: whether one ``list`` tells what was there at one moment.
        supports_locks: whether items can be taken in a transaction, before others have them.
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
        """What to call this place in messages, without any password."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Let go of what this object holds; leases run on, until they run out."""

    def get(self, key: str) -> Item | None:
        """Read an item.

        Args:
            key: its key.

        Returns:
            The item, or None.
        """
        validate_key(key)
        return self._get(key)

    def list(
        self, prefix: str = "", after: str = "", limit: int | None = None, *, reverse: bool = False
    ) -> builtins.list[Item]:
        """Read items in the order of their keys.

        Args:
            prefix: only items whose keys begin so.
            after: only items behind this key; in reverse, before it. Empty for all.
            limit: at most so many.
            reverse: the last key first.

        Returns:
            The items.
        """
        validate_prefix(prefix)
        validate_prefix(after)
        if limit is not None and limit <= 0:
            return []
        return self._list(prefix, after, limit, reverse=reverse)

    def get_many(self, keys: Iterable[str]) -> builtins.list[Item | None]:
        """Read several items, in one trip to the server where there is one.

        Args:
            keys: their keys.

        Returns:
            For each key its item, or None. Each may be of a moment of its own.
        """
        keys = tuple(keys)
        for key in keys:
            validate_key(key)
        return self._get_many(keys) if keys else []

    def list_many(self, prefixes: Iterable[str]) -> builtins.list[builtins.list[Item]]:
        """Read what is below several prefixes, in one trip to the server on Redis and etcd.

        Args:
            prefixes: the beginnings of keys.

        Returns:
            For each prefix its items, in the order of their keys. Each list may be of a moment of its own.
        """
        prefixes = tuple(prefixes)
        for prefix in prefixes:
            validate_prefix(prefix)
        return self._list_many(prefixes) if prefixes else []

    def commit(
        self, checks: Iterable[Check] = (), puts: Iterable[Put] = (), deletes: Iterable[str] = ()
    ) -> int:
        """Write items, all of them or none; they are durable when this returns.

        Args:
            checks: what must hold.
            puts: the items to write.
            deletes: keys of items to delete; a key without an item is no error.

        Returns:
            The version that every item put has now.

        Raises:
            Conflict: a check does not hold; nothing was written.
            LeaseLost: the lease of a put ran out; nothing was written.
            StorageFailure: it is more than the place takes, or the place failed.
        """
        checks, puts, deletes = tuple(checks), tuple(puts), tuple(deletes)
        lease = validate_commit(checks, puts, deletes)
        validate_size(self.name, self.limits, checks, puts, deletes)
        return self._commit(checks, puts, deletes, lease)

    def grant(self, ttl: float) -> Lease:
        """Ask for a lease.

        Args:
            ttl: how many seconds it lasts when it is not extended.

        Returns:
            The lease; its ttl is longer than asked for where the place cannot do less.
        """
        if ttl <= 0:
            raise exc.InvalidFormat(f"a lease lasts more than 0 seconds, not {ttl}")
        return self._grant(Lease(uuid.uuid4().hex, ttl))

    def extend(self, lease: Lease) -> None:
        """Let a lease, with all that stands on it, last its whole time from now on.

        Args:
            lease: the lease.

        Raises:
            LeaseLost: it ran out, or was given up.
        """
        if not self._extend(lease):
            raise lease_lost_error(lease.id)

    def revoke(self, lease: Lease) -> None:
        """Give a lease up: what stands on it is deleted. Nothing happens if it ran out already.

        Args:
            lease: the lease.
        """
        self._revoke(lease)

    def wait(self, prefix: str = "", since: int = 0, timeout: float | None = None) -> int:
        """Wait until items may have changed, also by the end of a lease.

        Args:
            prefix: wait for items whose keys begin so.
            since: the mark up to which the caller knows the items; 0 returns at once with a first mark.
            timeout: how many seconds to wait at most; None for ever.

        Returns:
            A new mark. If it equals ``since`` the time is over and nothing has changed. A mark is of use
            only to the object that gave it.
        """
        validate_prefix(prefix)
        return self._wait(prefix, since, timeout)

    def snapshot(self) -> AbstractContextManager[None]:
        """Let reads inside a ``with`` see one moment, where the place can do that.

        Returns:
            The context, which may be entered again inside it; no commit is made there. Memory and the
            directory hold their lock, SQL reads in one transaction; elsewhere each read has a moment of its
            own.
        """
        return nullcontext()

    def external_transaction(self, connection: Any) -> AbstractContextManager[None]:
        """Let what this thread does inside a ``with`` be part of a transaction of the caller's own.

        Args:
            connection: the caller's connection, in a transaction; for a SQL place, one of SQLAlchemy's to the
                same database.

        Returns:
            The context. What is committed inside lands, and wakes waiters, when the caller commits.

        Raises:
            NotSupported: this place has no transactions that others could share.
        """
        del connection
        raise exc.NotSupported(
            f"'{self.name}' cannot join a transaction of yours: only a place in the same SQL database can. "
            f"Keep it there, or write after your own commit, without a connection"
        )

    def run_with_locks(self, work: Callable[[LockItems], T]) -> T:
        """Do something in a transaction in which items are taken before others can have them.

        Args:
            work: gets a function that takes items by their keys: it gives those that are there, and that
                nobody else is taking at this moment. One commit may be made inside, and lands at the end. It
                may be done again, if nothing landed.

        Returns:
            What it gave.

        Raises:
            NotSupported: this place cannot do that (see ``supports_locks``).
        """
        del work
        raise exc.NotSupported(f"'{self.name}' locks nothing: read, and commit with checks")

    @abstractmethod
    def _get(self, key: str) -> Item | None:
        """Read one item."""

    @abstractmethod
    def _list(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> builtins.list[Item]:
        """Read items in order; the limit is above 0."""

    def _get_many(self, keys: Sequence[str]) -> builtins.list[Item | None]:
        """Read several items; a place brings its own where that saves trips."""
        with self.snapshot():
            return [self._get(key) for key in keys]

    def _list_many(self, prefixes: Sequence[str]) -> builtins.list[builtins.list[Item]]:
        """Read what is below several prefixes; a place brings its own where that saves trips."""
        with self.snapshot():
            return [self._list(prefix, "", None, reverse=False) for prefix in prefixes]

    @abstractmethod
    def _commit(
        self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str], lease: str | None
    ) -> int:
        """Write; the lease is the one of the puts."""

    @abstractmethod
    def _grant(self, lease: Lease) -> Lease:
        """Make a lease of that identity."""

    @abstractmethod
    def _extend(self, lease: Lease) -> bool:
        """Extend a lease. Say whether it was there."""

    @abstractmethod
    def _revoke(self, lease: Lease) -> None:
        """Delete a lease and what stands on it."""

    @abstractmethod
    def _wait(self, prefix: str, since: int, timeout: float | None) -> int:
        """Wait for a change."""
