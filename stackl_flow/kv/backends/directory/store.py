"""A key-value store in one directory, for the processes of one machine.

::

    lock            locked for every read (shared) and write (exclusive)
    journal         the last commits, one line each
    items/          everything else, one file for each item
    waiters/        a named pipe for each waiting thread

**Writing.** A commit takes the lock, checks, appends one line to the journal and syncs it; then it is
durable. When the journal comes near to ``journal_size``, it is *compacted*: its items are written to new
files, these are synced and renamed, and the folders are synced. The commits that follow do this in small
batches, so that none of them takes long, and record how many items they have compacted, for other processes
to continue from. Then an empty journal replaces the old one. A process that is killed anywhere in this
leaves a journal that still has everything, so there is no recovery: the next process reads it, and compacts
it when it is time.

**Reading.** A reader shares the lock, reads what was appended to the journal since its last read, and takes
an item from there or from its file. The cache of files is valid until the next compaction.

**Waiting.** Each waiting thread has a named pipe, and each commit writes to all of them (see
``wakeup_pipe``). A writer that is killed between its commit and the wake-up wakes nothing, so waiters also
poll once a second.

The file system must be local: case-sensitive, with ``flock``, ``rename`` and named pipes.
"""

from __future__ import annotations

from builtins import list as List  # noqa: N812  inside the class, ``list`` is the method
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import redaction, urls
from stackl_flow.clock import SYSTEM, Clock, boot_id
from stackl_flow.kv.backends.directory.files import DirectoryLock, ItemFiles, sync_folder
from stackl_flow.kv.backends.directory.journal import DirectoryState, Journal, Record, commit_record
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

_LOG: Final = redaction.get_logger(__name__)

_JOURNAL_SIZE: Final = 4 << 20
_CACHE_SIZE: Final = 1024
#: Compaction begins when this fraction of the journal is left.
_COMPACT_AT: Final = 0.25
#: Items compacted together: a file system syncs many files for little more than one.
_COMPACT_BATCH: Final = 128
#: Seconds after which a waiter polls, in case a writer was killed before its wake-up.
_POLL_INTERVAL: Final = 1.0


class DirectoryKV(KV):
    """Keeps items in the files of one directory.

    Args:
        conf: "connection" is "dir:///absolute/path", "dir://relative/path", or "dir" with the path under
            "path". Options: ``max_cache_size``, items in the cache; ``sync``, "no" for a store that survives
            killed processes but not a power failure; ``journal_size`` in bytes; ``timeout``, seconds to wait
            for the lock; ``encoding``, which can only be UTF-8.
        clock: the clock by which leases expire: its boot time.

    Raises:
        InvalidFormat: there is no path, or an option is invalid.
    """

    def __init__(self, conf: str | Mapping[str, Any], clock: Clock = SYSTEM) -> None:
        url = urls.parse(conf)
        super().__init__(url.conf, clock=clock)
        options = url.read_options(
            path=str, max_cache_size=int, encoding=str, sync=bool, journal_size=int, timeout=float
        ).values
        _validate_options(options)
        self.root = _root(url.location or options.get("path", ""), url.masked_url)
        sync = options.get("sync", True)
        self._journal_size: int = options.get("journal_size", _JOURNAL_SIZE)
        self._lock = DirectoryLock(self.root / "lock", options.get("timeout", 60.0))
        self._journal = Journal(self.root / "journal", sync=sync)
        cache_size = options.get("max_cache_size", _CACHE_SIZE)
        self.files = ItemFiles(self.root / "items", sync=sync, cache_size=cache_size)
        self._state = DirectoryState(self.files)
        self._compaction_due = 0.0  # items
        self._waiters = self.root / "waiters"

    @property
    def name(self) -> str:
        return f"dir://{self.root}"

    def close(self) -> None:
        with self._translated_errors():
            self._journal.close()
            self._lock.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with self._translated_errors():
            lock = self._lock_shared()
        try:
            yield  # writers wait meanwhile
        finally:
            if lock is not None:
                lock.__exit__(None, None, None)

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise exc.StorageFailure(
                f"cannot use directory '{self.root}' ({error}): check that it is writable and that its disk "
                f"is not full",
                cause=error,
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[DirectoryState]:
        """Give the current state, locked for reading; a missing directory is empty."""
        with self._translated_errors():
            lock = self._lock_shared()
            if lock is None:
                yield DirectoryState(self.files)
                return
            try:
                yield self._state
            finally:
                lock.__exit__(None, None, None)

    def _lock_shared(self) -> AbstractContextManager[bool] | None:
        """Lock the directory for reading and read the journal; return None if there is no directory."""
        lock = self._lock.hold(exclusive=False)
        try:
            is_outermost = lock.__enter__()
        except FileNotFoundError:
            return None
        try:
            if is_outermost:
                self._read_journal()
        except BaseException:
            lock.__exit__(None, None, None)
            raise
        return lock

    @contextmanager
    def _writing(self) -> Iterator[DirectoryState]:
        """Give the current state, locked for writing, without expired leases; create a missing directory."""
        with self._translated_errors():
            if not self._waiters.is_dir():
                self._create_directory()
            with self._lock.hold(exclusive=True):
                self._read_journal()
                before = self._state.revision
                if not self._journal.size or self._state.lease_time.boot != boot_id(self.clock):
                    self._begin_boot()
                for lease in self._state.expired_leases(self._now()):
                    self._append(self._state.end_lease_record(lease))
                yield self._state
                if self._journal.size > self._journal_size:
                    self._compact_all()
            if self._state.revision != before:
                wake_all(self._waiters)

    def _create_directory(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self._waiters.mkdir(exist_ok=True)
        sync_folder(self.root)
        sync_folder(self.root.parent)

    def _begin_boot(self) -> None:
        """Begin the journal of a new directory, or of an older version or boot, with a new time of leases."""
        if self._journal.size:
            self.files.write(self._state.oldest_uncompacted())
        self._state.begin_boot(self.clock)
        self._replace_journal()

    def _compact_all(self) -> None:
        """Compact the journal after a commit, which is durable whatever happens here."""
        try:
            self.files.write(self._state.oldest_uncompacted())
            self._replace_journal()
        except (OSError, exc.StorageFailure) as error:
            _LOG.warning("the journal of '%s' is not compacted yet: %s", self.name, error)

    def _now(self) -> float:
        """Return the time by which leases expire."""
        return self._state.lease_time.now(self.clock)

    def _replace_journal(self) -> None:
        self._compaction_due = 0.0
        self._journal.replace(self._state.header())
        self._read_journal()

    def _read_journal(self) -> None:
        was_replaced = self._journal.reopen_if_replaced()
        for record in self._journal.read_new():
            if "format" in record:
                self._state.apply_header(record)
            else:
                self._state.apply(record)
        if was_replaced and not self._journal.size:
            self._state = DirectoryState(self.files)  # the directory was deleted

    def _append(self, record: Record) -> None:
        record = {"r": self._state.revision + 1, **record}
        compacted = self._compact_batch()
        if compacted:
            record["c"] = compacted
        size = self._journal.size
        self._journal.append(record)
        self._state.apply(record)
        remaining = self._journal_size - self._journal.size
        if remaining < self._journal_size * _COMPACT_AT:
            # As many as each line of this size has to compact, for all to be compacted when it is full.
            lines = max(remaining / (self._journal.size - size), 1.0)
            self._compaction_due += len(self._state.uncompacted) / lines

    def _compact_batch(self) -> int:
        """Compact the items that are due, once they make a batch; return how many."""
        if self._compaction_due < _COMPACT_BATCH:
            return 0
        items = self._state.oldest_uncompacted(int(self._compaction_due))
        self._compaction_due = 0.0
        self.files.write(items)
        return len(items)

    def _get(self, key: str) -> Item | None:
        with self._reading() as state:
            return state.get(key, self._now())

    def _list(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> List[Item]:
        with self._reading() as state:
            items = state.iter_items(prefix, after, reverse=reverse, now=self._now())
            return List(islice(items, limit))

    def _commit(
        self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str], lease: str | None
    ) -> int:
        with self._writing() as state:
            now = self._now()
            for check in checks:
                item = state.get(check.key, now)
                version = ABSENT if item is None else item.version
                if not is_satisfied(check, version):
                    raise conflict_error(check, version)
            if lease is not None and not state.has_lease(lease, now):
                raise lease_lost_error(lease)
            self._append(commit_record(puts, deletes))
            return state.revision

    def _grant(self, lease: Lease) -> Lease:
        with self._writing():
            self._append({"l": {lease.id: self._now() + lease.ttl}})
            return lease

    def _extend(self, lease: Lease) -> bool:
        with self._writing() as state:
            now = self._now()
            exists = state.has_lease(lease.id, now)
            if exists:
                self._append({"l": {lease.id: now + lease.ttl}})
            return exists

    def _revoke(self, lease: Lease) -> None:
        with self._writing() as state:
            if state.has_lease(lease.id, self._now()):
                self._append(state.end_lease_record(lease.id))

    def _wait(self, prefix: str, since: int, timeout: float | None) -> int:
        # A thread waits in real time, whatever clock the leases go by.
        deadline = None if timeout is None else SYSTEM.monotonic() + timeout
        with self._writing() as state:
            if since == 0 or state.has_changed(prefix, since):
                return state.revision
        with self._translated_errors(), WakeupPipe(self._waiters) as pipe:
            while True:
                with self._reading() as state:
                    has_changed, next_expiry = state.has_changed(prefix, since), state.next_expiry()
                now = self._now()
                if has_changed or (next_expiry is not None and next_expiry <= now):
                    with self._writing() as state:  # deletes the expired leases
                        if state.has_changed(prefix, since):
                            return state.revision
                remaining = _POLL_INTERVAL if deadline is None else deadline - SYSTEM.monotonic()
                if remaining <= 0:
                    return since
                if next_expiry is None or next_expiry <= now:
                    next_expiry = now + _POLL_INTERVAL
                pipe.wait(max(min(remaining, next_expiry - now, _POLL_INTERVAL), 0.001))


def _root(path: str, url: str) -> Path:
    if not path:
        raise exc.InvalidFormat(f"'{url}' names no directory: use dir:///PATH, or pass it under 'path'")
    return Path(path).absolute()


def _validate_options(options: Mapping[str, Any]) -> None:
    for option in ("max_cache_size", "journal_size"):
        if options.get(option, 1) < 1:
            raise exc.InvalidFormat(f"option '{option}' must be at least 1, not {options[option]}")
    encoding = str(options.get("encoding", "utf-8")).lower().replace("_", "-")
    if encoding not in {"utf-8", "utf8"}:
        raise exc.InvalidFormat(f"a directory store uses UTF-8, not '{encoding}': omit option 'encoding'")
