"""The items in files: one file each, in folders as the segments of the keys tell.

The key "a/b" is the file ``a.d/b.json``: its first line is a JSON object with the version and the lease, and
what follows is the value as it was given. A file is replaced as a whole, by a rename.

One lock for a directory: held by processes with ``flock``, and inside a process by a lock of its own.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sortedcontainers import SortedList

from stackl_flow import exceptions as exc
from stackl_flow.kv.backoff import Backoff
from stackl_flow.kv.items import Item
from stackl_flow.kv.ordered import prefix_end

_ITEM, _FOLDER, _NEW = ".json", ".d", ".new"
#: In a fold: files open at once; how many are synced together, and by how many threads.
_AT_ONCE, _TOGETHER, _SYNCERS = 256, 16, 8


class Files:
    """The files of items below one folder. They change only at a fold: then ``absorb`` or ``forget``.

    Args:
        root: the folder.
        sync: make what is written outlive a power cut.
        cache: how many items are kept in memory.
    """

    def __init__(self, root: Path, *, sync: bool, cache: int) -> None:
        self._root = root
        self._sync = sync
        self._size = cache
        self.cache: dict[str, Item | None] = {}
        self._entries: dict[str, SortedList[str]] = {}

    def forget(self) -> None:
        """Forget what is kept in memory: the files have changed."""
        self.cache.clear()
        self._entries.clear()

    def absorb(self, items: Mapping[str, Item | None]) -> None:
        """Bring what is kept in memory up to a fold, so that no folder has to be read again.

        Args:
            items: what was folded, all of it.
        """
        for key, item in items.items():
            if key in self.cache:
                self.cache[key] = item
            base = key[: key.rfind("/") + 1]
            known = self._entries.get(base)
            if item is None:
                if known is not None:
                    known.discard(key)
                continue
            # A folder may be new in the one above it, and that one too.
            entry = key
            while True:
                known = self._entries.get(base)
                if known is not None and entry not in known:
                    known.add(entry)
                if not base:
                    break
                entry, base = base, base[: base.rfind("/", 0, -1) + 1]

    def read(self, key: str) -> Item | None:
        """Read an item.

        Args:
            key: its key.

        Returns:
            The item, or None.

        Raises:
            StorageFailure: the file is damaged.
        """
        if key in self.cache:
            item = self.cache[key] = self.cache.pop(key)  # the one used last goes last
            return item
        item = self._load(key)
        self.cache[key] = item
        if len(self.cache) > self._size:
            del self.cache[next(iter(self.cache))]
        return item

    def _load(self, key: str) -> Item | None:
        path = self._path(key)
        try:
            head, _, value = path.read_bytes().partition(b"\n")
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            told = json.loads(head)
            return Item(key, value.decode(), told["version"], told["lease"])
        except (ValueError, KeyError, TypeError) as error:
            raise exc.StorageFailure(
                f"'{path}' is damaged and cannot be read: put the file back from a copy, or remove it to go "
                f"on without the item",
                cause=error,
            ) from error

    def walk(self, prefix: str, after: str, *, reverse: bool) -> Iterator[str]:
        """Go over the keys in order.

        Args:
            prefix: only keys that begin so.
            after: only keys behind this one, in reverse before it; empty for all.
            reverse: the last one first.

        Yields:
            The keys.
        """
        yield from self._walk("", prefix, after, reverse)

    def _walk(self, base: str, prefix: str, after: str, reverse: bool) -> Iterator[str]:
        entries = self._list(base)
        low, high = (prefix, prefix_end(prefix))
        if after:
            low, high = (low, min(high, after)) if reverse else (max(low, after), high)
        if low > high:
            return
        # The keys behind ``low`` may be inside a folder that stands before it: "a/" for "a/b".
        start = entries.bisect_left(low)
        if start and entries[start - 1].endswith("/") and low.startswith(entries[start - 1]):
            low = entries[start - 1]
        for entry in entries.irange(low, high, (True, False), reverse=reverse):
            if entry.endswith("/"):
                yield from self._walk(entry, prefix, after, reverse)
            elif entry != after:
                yield entry

    def _list(self, base: str) -> SortedList[str]:
        """Name the keys directly in a folder, and its folders with a "/" at the end, in order."""
        known = self._entries.get(base)
        if known is None:
            try:
                names = os.listdir(self._folder(base))  # noqa: PTH208  there may be a hundred thousand
            except FileNotFoundError:
                names = []
            known = SortedList(base + name.removesuffix(_ITEM) for name in names if name.endswith(_ITEM))
            known.update(base + name.removesuffix(_FOLDER) + "/" for name in names if name.endswith(_FOLDER))
            self._entries[base] = known
        return known

    def fold(self, items: Mapping[str, Item | None]) -> None:
        """Write items into their files, and take away those of deleted ones.

        Killed anywhere in it, it can be done again: what is in the files then is older or newer, never half.

        Args:
            items: the items by key; None for a deleted one.
        """
        folders: set[Path] = set()
        puts = [(self._path(key), item) for key, item in items.items() if item is not None]
        written: list[tuple[str, Path]] = []
        for start in range(0, len(puts), _AT_ONCE):
            written += self._write(puts[start : start + _AT_ONCE], folders)
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
            self._prune(folder)

    def _write(self, puts: Sequence[tuple[Path, Item]], folders: set[Path]) -> list[tuple[str, Path]]:
        """Write items beside the files that they will replace; tell where each is, and where it belongs."""
        written: list[tuple[str, Path]] = []
        handles: list[int] = []
        try:
            for path, item in puts:
                if path.parent not in folders:
                    self._make(path.parent, folders)
                written.append((f"{path}{_NEW}", path))
                handles.append(os.open(written[-1][0], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666))
                head = json.dumps({"version": item.version, "lease": item.lease})
                write_all(handles[-1], f"{head}\n{item.value}".encode())
            if self._sync:
                _sync_many(handles)
        finally:
            for handle in handles:
                os.close(handle)
        return written

    def _make(self, folder: Path, folders: set[Path]) -> None:
        """Make a folder, and note it with all above it: a process that was killed may have synced none."""
        folder.mkdir(parents=True, exist_ok=True)
        while folder not in folders:
            folders.add(folder)
            if folder != self._root.parent:
                folder = folder.parent

    def _prune(self, folder: Path) -> None:
        """Take empty folders away; only tidiness, so it need not be durable."""
        while self._root in folder.parents:
            try:
                folder.rmdir()
            except OSError:
                return  # not empty, or gone already
            folder = folder.parent

    def _folder(self, base: str) -> str:
        return os.path.join(self._root, *(f"{part}{_FOLDER}" for part in base.split("/")[:-1]))  # noqa: PTH118

    def _path(self, key: str) -> Path:
        *folders, last = key.split("/")
        return self._root.joinpath(*(f"{part}{_FOLDER}" for part in folders), f"{last}{_ITEM}")


def _sync_many(handles: Sequence[int]) -> None:
    """Make files outlive a power cut; a file system writes many at once for little more than one."""
    if len(handles) < _TOGETHER:
        for handle in handles:
            os.fsync(handle)
        return
    with ThreadPoolExecutor(_SYNCERS) as pool:
        list(pool.map(os.fsync, handles))


def write_all(handle: int, data: bytes) -> None:
    """Write bytes, however many calls that takes.

    Args:
        handle: the open file.
        data: the bytes.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def sync_folder(folder: Path) -> None:
    """Make names in a folder outlive a power cut.

    Args:
        folder: the folder; nothing happens if it is gone.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_FIRST_PAUSE: Final = 0.0002
_LONGEST_PAUSE: Final = 0.005


class DirectoryLock:
    """Keeps writers alone and readers undisturbed; the kernel gives it back when its process dies.

    Args:
        path: the file to lock.
        timeout: how many seconds to wait for others.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._threads = threading.RLock()
        self._handle = -1
        self._pid = 0
        self._depth = 0

    @contextmanager
    def hold(self, *, alone: bool) -> Iterator[bool]:
        """Hold the lock.

        Args:
            alone: to write; else others may read meanwhile.

        Yields:
            True when it was not held by this thread already.

        Raises:
            StorageFailure: others hold it too long; or it is held for reading, and is wanted for writing.
        """
        with self._threads:
            if self._depth:
                if alone:
                    raise exc.StorageFailure("nothing can be written while a moment is held: leave it first")
                yield False
                return
            self._open()
            try:
                # Inside, so that an interrupt right after it does not leave the lock held.
                self._lock(fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
                self._depth += 1
                yield True
            finally:
                self._depth = 0
                fcntl.flock(self._handle, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file."""
        with self._threads:
            if self._handle >= 0:
                os.close(self._handle)
            self._handle = -1

    def _open(self) -> None:
        # A lock is shared with children that were forked, so each process has to open the file itself.
        if self._handle >= 0 and self._pid != os.getpid():
            self.close()
        if self._handle < 0:
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            self._pid = os.getpid()

    def _lock(self, how: int) -> None:
        backoff: Backoff | None = None
        while True:
            try:
                fcntl.flock(self._handle, how | fcntl.LOCK_NB)
            except BlockingIOError:
                # The lock cannot be waited for a limited time; as a rule it is held for a millisecond.
                backoff = backoff or Backoff(self._timeout, _FIRST_PAUSE, _LONGEST_PAUSE)
                if not backoff.sleep():
                    raise exc.StorageFailure(
                        f"'{self._path}' was locked by another process for {self._timeout:g} s: look for one "
                        f"that is stopped, or give a longer ?timeout="
                    ) from None
            else:
                return
