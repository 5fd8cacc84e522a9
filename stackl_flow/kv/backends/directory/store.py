"""A place of items in one directory.

::

    lock            held by whoever reads or writes
    journal         what was committed last, one line a commit
    items/          the rest, one file an item
    waiters/        a named pipe for each thread that waits

**Writing.** A commit holds the lock, checks, appends one line to the journal and syncs it: that is all, and
it is the moment at which the commit is durable. A journal that comes near to ``journal_size`` is *folded*:
its items are written beside the files, synced, and put in their places by renames; folders are synced. This
is done by the commits that follow, some items each, so that none of them takes long; each notes in its line
how many, for other processes to go on from there. When all is folded, an empty journal replaces the old one.
A process that is killed anywhere in this leaves a journal whose lines still say all, so that nothing has to
be recovered: whoever comes next reads it, and folds it when it is time.

**Reading.** A reader shares the lock, reads what was added to the journal since it last looked, and takes an
item from there or from its file. What is remembered of files is good until the next fold.

**Waiting.** Each thread that waits has a named pipe; each commit rings them all (see ``bell``). A writer that
is killed between its commit and the ringing wakes nobody, so a waiter looks once a second all the same.

It wants a file system with ``flock``, ``rename`` and named pipes that tells A from a: a local one.
"""

from __future__ import annotations

from builtins import list as List  # noqa: N812  inside the class, ``list`` is the verb
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import urls
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.kv.backends.directory.files import DirectoryLock, Files, sync_folder
from stackl_flow.kv.backends.directory.journal import Journal, Record, View, put_record
from stackl_flow.kv.items import (
    ABSENT,
    Check,
    Item,
    Lease,
    Put,
    conflict_error,
    is_satisfied,
    lease_lost_error,
)
from stackl_flow.kv.store import KV
from stackl_flow.kv.wakeup_pipe import WakeupPipe, wake_all

_JOURNAL_SIZE: Final = 4 << 20
_CACHE_SIZE: Final = 1024
#: Folding begins when so much of the journal is left. So many items are folded together: a file system syncs
#: them for little more than one.
_LEFT: Final = 0.25
_TOGETHER: Final = 128
#: How long a waiter sleeps at most: a writer that was killed before it rang is noticed then.
_LOOK_AGAIN: Final = 1.0


class DirectoryKV(KV):
    """Keeps items in the files of one directory.

    Args:
        conf: "connection" is "dir:///absolute/path", "dir://relative/path", or "dir" with the path under
            "path". Options: ``max_cache_size``, how many items are kept in memory; ``sync``, no for a place
            that outlives killed processes but not a power cut; ``journal_size`` in bytes; ``timeout``,
            seconds to wait for the lock; ``encoding``, which can only be UTF-8.
        clock: tells when leases run out.

    Raises:
        InvalidFormat: there is no path, or an option makes no sense.
    """

    def __init__(self, conf: str | Mapping[str, Any], clock: Clock = SYSTEM) -> None:
        place = urls.parse(conf)
        super().__init__(place.conf, clock=clock)
        given = place.read_options(
            path=str, max_cache_size=int, encoding=str, sync=bool, journal_size=int, timeout=float
        ).values
        self.root = _root(place.location or given.get("path", ""), place.masked_url)
        _refuse(given)
        sync = given.get("sync", True)
        self._fold_at: int = given.get("journal_size", _JOURNAL_SIZE)
        self._lock = DirectoryLock(self.root / "lock", given.get("timeout", 60.0))
        self._journal = Journal(self.root / "journal", sync=sync)
        self.files = Files(self.root / "items", sync=sync, cache=given.get("max_cache_size", _CACHE_SIZE))
        self._view = View(self.files)
        self._due = 0.0
        self._waiters = self.root / "waiters"

    @property
    def name(self) -> str:
        """The directory."""
        return f"dir://{self.root}"

    def close(self) -> None:
        """Close the files."""
        with self._errors():
            self._journal.close()
            self._lock.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let reads inside a ``with`` see one moment: writers wait meanwhile.

        Yields:
            Nothing.
        """
        with self._errors():
            lock = self._share()
        try:
            yield
        finally:
            if lock is not None:
                lock.__exit__(None, None, None)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise exc.StorageFailure(
                f"'{self.root}' cannot be used ({error}): see that the directory can be written and that its "
                f"disk is not full",
                cause=error,
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[View]:
        """Give the state of now, which does not change meanwhile; a directory that is not there is empty."""
        with self._errors():
            lock = self._share()
            if lock is None:
                yield View(self.files)
                return
            try:
                yield self._view
            finally:
                lock.__exit__(None, None, None)

    def _share(self) -> AbstractContextManager[bool] | None:
        """Enter the lock for reading, and read what is new; None when there is no directory."""
        lock = self._lock.hold(alone=False)
        try:
            fresh = lock.__enter__()
        except FileNotFoundError:
            return None
        try:
            if fresh:
                self._catch_up()
        except BaseException:
            lock.__exit__(None, None, None)
            raise
        return lock

    @contextmanager
    def _writing(self) -> Iterator[View]:
        """Give the state of now, to be written; the directory is made if it is not there."""
        with self._errors():
            if not self._waiters.is_dir():
                self._make()
            with self._lock.hold(alone=True):
                self._catch_up()
                before = self._view.revision
                if not self._journal.size:
                    self._begin()
                now = self.clock.now()
                for lease in self._view.expired(now):
                    self._append(self._view.ended(lease))
                yield self._view
                if self._journal.size > self._fold_at:
                    self.files.fold(self._view.oldest())
                    self._begin()
            if self._view.revision != before:
                wake_all(self._waiters)

    def _make(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self._waiters.mkdir(exist_ok=True)
        sync_folder(self.root)
        sync_folder(self.root.parent)

    def _begin(self) -> None:
        self._due = 0.0
        self._journal.begin(self._view.first())
        self._catch_up()

    def _catch_up(self) -> None:
        anew = self._journal.is_begun_anew()
        for record in self._journal.news():
            if "format" in record:
                self._view.begin(record)
            else:
                self._view.apply(record)
        if anew and not self._journal.size:
            self._view = View(self.files)  # the directory was taken away

    def _append(self, record: Record) -> None:
        record = {"r": self._view.revision + 1, **record}
        folded = self._fold_some()
        if folded:
            record["f"] = folded
        size = self._journal.size
        self._journal.append(record)
        self._view.apply(record)
        left = self._fold_at - self._journal.size
        if left < self._fold_at * _LEFT:
            # As many as have to be folded by each line like this one, for all to be folded when it is full.
            lines = max(left / (self._journal.size - size), 1.0)
            self._due += len(self._view.unfolded) / lines

    def _fold_some(self) -> int:
        """Fold what is due, if it is worth it; tell how many items."""
        if self._due < _TOGETHER:
            return 0
        some = self._view.oldest(int(self._due))
        self._due = 0.0
        self.files.fold(some)
        return len(some)

    def _get(self, key: str) -> Item | None:
        with self._reading() as view:
            return view.get(key, self.clock.now())

    def _list(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> List[Item]:
        with self._reading() as view:
            return List(islice(view.walk(prefix, after, reverse=reverse, now=self.clock.now()), limit))

    def _commit(
        self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str], lease: str | None
    ) -> int:
        with self._writing() as view:
            now = self.clock.now()
            for check in checks:
                item = view.get(check.key, now)
                found = ABSENT if item is None else item.version
                if not is_satisfied(check, found):
                    raise conflict_error(check, found)
            if lease is not None and not view.knows(lease, now):
                raise lease_lost_error(lease)
            self._append(put_record(puts, deletes))
            return view.revision

    def _grant(self, lease: Lease) -> Lease:
        with self._writing():
            self._append({"l": {lease.id: self.clock.now() + lease.ttl}})
            return lease

    def _extend(self, lease: Lease) -> bool:
        with self._writing() as view:
            now = self.clock.now()
            known = view.knows(lease.id, now)
            if known:
                self._append({"l": {lease.id: now + lease.ttl}})
            return known

    def _revoke(self, lease: Lease) -> None:
        with self._writing() as view:
            if view.knows(lease.id, self.clock.now()):
                self._append(view.ended(lease.id))

    def _wait(self, prefix: str, since: int, timeout: float | None) -> int:
        # A thread waits in real time, whatever clock the leases go by.
        deadline = None if timeout is None else SYSTEM.monotonic() + timeout
        with self._writing() as view:
            if since == 0 or view.has_changed(prefix, since):
                return view.revision
        with self._errors(), WakeupPipe(self._waiters) as bell:
            while True:
                with self._reading() as view:
                    found, runs_out = view.has_changed(prefix, since), view.next_end()
                now = self.clock.now()
                if found or (runs_out is not None and runs_out <= now):
                    with self._writing() as view:  # ends the leases that ran out
                        if view.has_changed(prefix, since):
                            return view.revision
                left = _LOOK_AGAIN if deadline is None else deadline - SYSTEM.monotonic()
                if left <= 0:
                    return since
                lasts = _LOOK_AGAIN if runs_out is None or runs_out <= now else runs_out - now
                bell.wait(max(min(left, lasts, _LOOK_AGAIN), 0.001))


def _root(path: str, url: str) -> Path:
    if not path:
        raise exc.InvalidFormat(f"'{url}' names no directory: write dir:///PATH, or give it under 'path'")
    return Path(path).absolute()


def _refuse(given: Mapping[str, Any]) -> None:
    for option in ("max_cache_size", "journal_size"):
        if given.get(option, 1) < 1:
            raise exc.InvalidFormat(f"option '{option}' must be at least 1, not {given[option]}")
    encoding = str(given.get("encoding", "utf-8")).lower().replace("_", "-")
    if encoding not in {"utf-8", "utf8"}:
        raise exc.InvalidFormat(f"items are kept as UTF-8, not as '{encoding}': leave 'encoding' out")
