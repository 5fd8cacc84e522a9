"""The files of a directory store: one file for each item, and the lock of the directory.

The item "a/b" is the file ``a.d/b.json``: its first line is a JSON object with the version, the lease and a
checksum of them, the key and the value; the rest is the value as it was given. A file is replaced as a whole,
by a rename. Files of versions before 0.9 have no checksum until they are written again.

The lock is ``flock`` between processes, with a lock of its own between the threads of a process.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sortedcontainers import SortedList

from stackl_flow import exceptions as exc
from stackl_flow.kv.backoff import Backoff
from stackl_flow.kv.items import Item
from stackl_flow.kv.ordered import prefix_end

_ITEM_SUFFIX, _FOLDER_SUFFIX, _NEW_SUFFIX = ".json", ".d", ".new"
#: What a file says of its item, beside the checksum.
_FIELDS: Final = {"version", "lease"}
#: Files that are open at once while items are written.
_MAX_OPEN_FILES: Final = 256
#: So many files or more are synced by threads, by so many.
_MIN_PARALLEL_SYNC, _SYNC_THREADS = 16, 8
#: Seconds between attempts to lock: a lock is held for about a millisecond.
_LOCK_INITIAL_DELAY: Final = 0.0002
_LOCK_MAX_DELAY: Final = 0.005


class ItemFiles:
    """The files of the items below a folder, with a cache of items and of folder listings.

    Files change only by a compaction of the journal; call ``update_cache`` or ``clear_cache`` after each one.

    Args:
        root: the folder.
        sync: make writes survive a power failure.
        cache_size: number of items in the cache.
    """

    def __init__(self, root: Path, *, sync: bool, cache_size: int) -> None:
        self._root = root
        self._sync = sync
        self._cache_size = cache_size
        self.cache: dict[str, Item | None] = {}
        self._entries: dict[str, SortedList[str]] = {}

    def clear_cache(self) -> None:
        """Forget everything: the files have changed in an unknown way."""
        self.cache.clear()
        self._entries.clear()

    def update_cache(self, items: Mapping[str, Item | None]) -> None:
        """Apply a compaction to the cache, so that no folder has to be listed again.

        Args:
            items: all items that were compacted; None for a deleted one.
        """
        for key, item in items.items():
            if key in self.cache:
                self.cache[key] = item
            base = key[: key.rfind("/") + 1]
            entries = self._entries.get(base)
            if item is None:
                if entries is not None:
                    entries.discard(key)
                continue
            # The folder may be new in its parent, and that one, too.
            entry = key
            while True:
                entries = self._entries.get(base)
                if entries is not None and entry not in entries:
                    entries.add(entry)
                if not base:
                    break
                entry, base = base, base[: base.rfind("/", 0, -1) + 1]

    def read(self, key: str) -> Item | None:
        """Return an item, or None; raise ``StorageFailure`` if its file is damaged."""
        if key in self.cache:
            item = self.cache[key] = self.cache.pop(key)  # least recently used first
            return item
        item = self._load(key)
        self.cache[key] = item
        if len(self.cache) > self._cache_size:
            del self.cache[next(iter(self.cache))]
        return item

    def _load(self, key: str) -> Item | None:
        path = self._path(key)
        try:
            header, _, value = path.read_bytes().partition(b"\n")
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            fields = json.loads(header)
            _verify(key, fields, value)
            return Item(key, value.decode(), fields["version"], fields["lease"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise exc.StorageFailure(
                f"item file '{path}' is damaged: restore it from a backup, or delete it to continue without "
                f"the item",
                cause=error,
            ) from error

    def iter_keys(self, prefix: str, after: str, *, reverse: bool) -> Iterator[str]:
        """Iterate over the keys with a prefix in key order; the arguments are those of ``KV.list``."""
        yield from self._iter_keys("", prefix, after, reverse)

    def _iter_keys(self, base: str, prefix: str, after: str, reverse: bool) -> Iterator[str]:
        entries = self._list(base)
        low, high = (prefix, prefix_end(prefix))
        if after:
            low, high = (low, min(high, after)) if reverse else (max(low, after), high)
        if low > high:
            return
        # Keys above ``low`` may be in a folder that sorts below it: "a/" for "a/b".
        start = entries.bisect_left(low)
        if start and entries[start - 1].endswith("/") and low.startswith(entries[start - 1]):
            low = entries[start - 1]
        for entry in entries.irange(low, high, (True, False), reverse=reverse):
            if entry.endswith("/"):
                yield from self._iter_keys(entry, prefix, after, reverse)
            elif entry != after:
                yield entry

    def _list(self, base: str) -> SortedList[str]:
        """Return the keys in a folder and its subfolders, these with a "/" at the end, in order."""
        entries = self._entries.get(base)
        if entries is None:
            try:
                names = os.listdir(self._folder(base))  # noqa: PTH208  there may be a hundred thousand
            except FileNotFoundError:
                names = []
            items = (base + name.removesuffix(_ITEM_SUFFIX) for name in names if name.endswith(_ITEM_SUFFIX))
            entries = SortedList(items)
            entries.update(
                f"{base}{name.removesuffix(_FOLDER_SUFFIX)}/"
                for name in names
                if name.endswith(_FOLDER_SUFFIX)
            )
            self._entries[base] = entries
        return entries

    def write(self, items: Mapping[str, Item | None]) -> None:
        """Write the files of items, and delete those of deleted items.

        This is idempotent: after a crash anywhere in it each file is the old or the new one.

        Args:
            items: the items by key; None for a deleted one.
        """
        folders: set[Path] = set()
        puts = [(self._path(key), item) for key, item in items.items() if item is not None]
        written: list[tuple[str, Path]] = []
        for start in range(0, len(puts), _MAX_OPEN_FILES):
            written += self._write_new(puts[start : start + _MAX_OPEN_FILES], folders)
        for new, path in written:
            os.replace(new, path)  # noqa: PTH105  a plain text is quicker, and there may be many
        for key, item in items.items():
            if item is None:
                path = self._path(key)
                path.unlink(missing_ok=True)
                folders.add(path.parent)
        if self._sync:
            for folder in sorted(folders):
                sync_folder(folder)
        for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
            self._remove_empty(folder)

    def _write_new(self, puts: Sequence[tuple[Path, Item]], folders: set[Path]) -> list[tuple[str, Path]]:
        """Write new files beside the ones that they replace; return the paths of both."""
        written: list[tuple[str, Path]] = []
        handles: list[int] = []
        try:
            for path, item in puts:
                if path.parent not in folders:
                    self._make_folder(path.parent, folders)
                written.append((f"{path}{_NEW_SUFFIX}", path))
                handles.append(create_file(written[-1][0]))
                value = item.value.encode()
                fields: dict[str, Any] = {"version": item.version, "lease": item.lease}
                fields["crc"] = _checksum(item.key, value, **fields)
                write_all(handles[-1], json.dumps(fields).encode() + b"\n" + value)
            if self._sync:
                _sync_files(handles)
        finally:
            for handle in handles:
                os.close(handle)
        return written

    def _make_folder(self, folder: Path, folders: set[Path]) -> None:
        """Create a folder and add it with all its parents: a killed process may have synced none of them."""
        folder.mkdir(parents=True, exist_ok=True)
        while folder not in folders:
            folders.add(folder)
            if folder != self._root.parent:
                folder = folder.parent

    def _remove_empty(self, folder: Path) -> None:
        """Remove empty folders. Nothing depends on it, so it need not be durable."""
        while self._root in folder.parents:
            try:
                folder.rmdir()
            except OSError:
                return  # not empty, or removed already
            folder = folder.parent

    def _folder(self, base: str) -> str:
        segments = base.split("/")[:-1]
        return os.path.join(self._root, *(f"{segment}{_FOLDER_SUFFIX}" for segment in segments))  # noqa: PTH118

    def _path(self, key: str) -> Path:
        *folders, last = key.split("/")
        parents = (f"{segment}{_FOLDER_SUFFIX}" for segment in folders)
        return self._root.joinpath(*parents, f"{last}{_ITEM_SUFFIX}")


def _sync_files(handles: Sequence[int]) -> None:
    """Sync files, many in parallel: a file system syncs many at once for little more than one."""
    if len(handles) < _MIN_PARALLEL_SYNC:
        for handle in handles:
            os.fsync(handle)
        return
    with ThreadPoolExecutor(_SYNC_THREADS) as pool:
        list(pool.map(os.fsync, handles))


def _verify(key: str, fields: dict[str, Any], value: bytes) -> None:
    """Raise ``ValueError`` if the checksum of an item does not match; versions before 0.9 wrote none."""
    checksum = fields.pop("crc", None)
    if fields.keys() != _FIELDS or checksum not in {None, _checksum(key, value, **fields)}:
        raise ValueError("the checksum does not match")


def _checksum(key: str, value: bytes, version: Any, lease: Any) -> str:
    return f"{zlib.crc32(value, zlib.crc32(json.dumps([key, version, lease]).encode())):08x}"


def create_file(path: str, mode: int = 0o666) -> int:
    """Create a file and open it for writing; one that is left of a killed writer, or a link, is removed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        return os.open(path, flags, mode)
    except FileExistsError:
        os.unlink(path)  # noqa: PTH108  a plain text is quicker
        return os.open(path, flags, mode)


def write_all(handle: int, data: bytes) -> None:
    """Write all bytes to an open file, however many calls that takes."""
    remaining = memoryview(data)
    while remaining:
        remaining = remaining[os.write(handle, remaining) :]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power failure; nothing happens if the folder is missing."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class DirectoryLock:
    """A shared or exclusive lock on a directory, which the kernel releases when its process dies.

    Args:
        path: the lock file.
        timeout: seconds to wait for the lock.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._threads = threading.RLock()
        self._handle = -1
        self._pid = 0
        self._depth = 0

    @contextmanager
    def hold(self, *, exclusive: bool) -> Iterator[bool]:
        """Hold the lock. A shared one can be entered again by its thread.

        Args:
            exclusive: for writing; otherwise shared, for reading.

        Yields:
            True unless this thread holds the lock already.

        Raises:
            StorageFailure: the lock was not free within the timeout, or a shared lock is held and an
                exclusive one is requested.
        """
        with self._threads:
            if self._depth:
                if exclusive:
                    raise exc.StorageFailure(
                        f"cannot write to '{self._path.parent}' inside a snapshot: leave snapshot() first"
                    )
                yield False
                return
            self._open()
            try:
                # Inside the try block, so that an interrupt right after it does not leave the lock held.
                self._acquire(fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
                self._depth += 1
                yield True
            finally:
                self._depth = 0
                fcntl.flock(self._handle, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the lock file."""
        with self._threads:
            if self._handle >= 0:
                os.close(self._handle)
            self._handle = -1

    def _open(self) -> None:
        # Forked children share the lock of an open file, so each process has to open the file itself.
        if self._handle >= 0 and self._pid != os.getpid():
            self.close()
        if self._handle < 0:
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            self._pid = os.getpid()

    def _acquire(self, operation: int) -> None:
        backoff: Backoff | None = None
        while True:
            try:
                fcntl.flock(self._handle, operation | fcntl.LOCK_NB)
            except BlockingIOError:
                # flock() has no timeout.
                backoff = backoff or Backoff(self._timeout, _LOCK_INITIAL_DELAY, _LOCK_MAX_DELAY)
                if not backoff.sleep():
                    raise exc.StorageFailure(
                        f"'{self._path}' was locked by another process for {self._timeout:g} s: look for a "
                        f"stopped process, or raise ?timeout="
                    ) from None
            else:
                return
