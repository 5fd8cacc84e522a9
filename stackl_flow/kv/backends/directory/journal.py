"""The journal: what was committed and is not in the files of the items yet, one line a commit.

A commit is durable, and done, when its line is. A line is a checksum and a JSON object: the revision, the
items put, the keys deleted, and what happened to leases. A line that a crash left unfinished at the end was
never committed; the next writer cuts it off. The first line tells the format, the revision and the leases at
the time when the journal was begun; a journal that has grown is folded into the files and begun anew.

What a directory holds: the files of its items, and above them what the journal says.
"""

from __future__ import annotations

import json
import os
import uuid
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sortedcontainers import SortedList

from stackl_flow import exceptions as exc
from stackl_flow.kv.backends.directory.files import Files, sync_folder, write_all
from stackl_flow.kv.items import Item, Put
from stackl_flow.kv.ordered import keys_in_range

FORMAT: Final = 1
Record = dict[str, Any]


class Journal:
    """The open journal of a directory, read up to some line.

    Args:
        path: the file.
        sync: make what is written outlive a power cut.
    """

    def __init__(self, path: Path, *, sync: bool) -> None:
        self._path = path
        self._sync = sync
        self._handle = -1
        self._inode = (0, 0)
        self._offset = 0

    @property
    def size(self) -> int:
        """How many bytes of it have been read or written."""
        return self._offset

    def close(self) -> None:
        """Close the file."""
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1

    def is_begun_anew(self) -> bool:
        """Say whether another file stands under the name than the one that is open.

        Returns:
            True if so: it is open now, and read from its beginning.
        """
        try:
            found = os.stat(self._path)  # noqa: PTH116  at every read: a plain call
        except FileNotFoundError:
            found = None
        inode = (0, 0) if found is None else (found.st_dev, found.st_ino)
        if inode == self._inode and (self._handle >= 0) == (found is not None):
            return False
        self.close()
        self._inode, self._offset = inode, 0
        if found is not None:
            self._handle = os.open(self._path, os.O_RDWR)
        return True

    def news(self) -> Iterator[Record]:
        """Read on from where reading ended.

        Yields:
            The records.

        Raises:
            StorageFailure: the journal is damaged before its end.
            IncompatibleVersion: a newer version of this library has written it.
        """
        if self._handle < 0:
            return
        data = os.pread(self._handle, max(os.fstat(self._handle).st_size - self._offset, 0), self._offset)
        lines = data.split(b"\n")[:-1]
        for number, line in enumerate(lines):
            record = _read(line)
            if record is None:
                if any(_read(later) is not None for later in lines[number + 1 :]):
                    raise self._damaged()
                return
            if self._offset == 0 and record.get("format") != FORMAT:
                raise exc.IncompatibleVersion(
                    f"'{self._path}' has format {record.get('format')!r}, this code writes {FORMAT}: "
                    f"use the version of the library that made it, or a newer one"
                )
            self._offset += len(line) + 1
            yield record

    def append(self, record: Record) -> None:
        """Write a record behind those that were read; it is durable when this returns.

        Args:
            record: the record.
        """
        data = _written(record)
        if os.fstat(self._handle).st_size != self._offset:
            os.ftruncate(self._handle, self._offset)  # what a crash left unfinished
        try:
            os.lseek(self._handle, self._offset, os.SEEK_SET)
            write_all(self._handle, data)
            if self._sync:
                _sync_data(self._handle)
        except BaseException:
            # A full disk, or an interrupt: nobody may read a commit that its writer was told has failed.
            os.ftruncate(self._handle, self._offset)
            raise
        self._offset += len(data)

    def begin(self, record: Record) -> None:
        """Begin the journal anew, in the place of the one that is there.

        Args:
            record: its first record.
        """
        new = self._path.with_name(f"{self._path.name}.new")
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            write_all(handle, _written({"format": FORMAT, **record}))
            if self._sync:
                os.fsync(handle)
        finally:
            os.close(handle)
        new.replace(self._path)
        if self._sync:
            sync_folder(self._path.parent)

    def _damaged(self) -> exc.StorageFailure:
        return exc.StorageFailure(
            f"'{self._path}' is damaged after byte {self._offset}, with whole records behind it: put the "
            f"directory back from a copy, or cut the file there to go on without what came later"
        )


def _sync_data(handle: int) -> None:
    """Make data outlive a power cut, where that is possible without its times."""
    if hasattr(os, "fdatasync"):
        os.fdatasync(handle)
    else:
        os.fsync(handle)


def _written(record: Record) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _read(line: bytes) -> Record | None:
    """Read a line, or find that it is none."""
    checksum, _, text = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(text):
            return None
        record: Record = json.loads(text)
    except ValueError:
        return None
    return record


_REMEMBERED: Final = 4096


class View:
    """The state of a directory as far as its journal has been read.

    Args:
        files: the files of the items.

    Attributes:
        revision: the last one.
        fresh: what was written since the journal was begun, by key; None for a deleted item.
        unfolded: the keys of ``fresh`` that are not in their files yet, those written last at the end.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._place = ""
        self.revision = 0
        self.fresh: dict[str, Item | None] = {}
        self.unfolded: dict[str, None] = {}
        self.begin({"r": 1, "place": uuid.uuid4().hex, "leases": {}})

    def begin(self, record: Record) -> None:
        """Start from the first record of a journal.

        Args:
            record: the record.
        """
        if (record["place"], record["r"]) == (self._place, self.revision):
            self._files.absorb(self.fresh)  # we have seen all that was folded
        else:
            self._files.forget()
        self._place = record["place"]
        self.revision = record["r"]
        self.fresh = {}
        self.unfolded = {}
        self._keys: SortedList[str] = SortedList()
        self._changes: deque[tuple[int, str]] = deque(maxlen=_REMEMBERED)
        self._oldest: int = record["r"]
        self._leases: dict[str, float] = {}
        self._on: dict[str, set[str]] = {}
        for lease, (until, keys) in record["leases"].items():
            self._leases[lease] = until
            self._on[lease] = set(keys)
        self._lease_of = {key: lease for lease, keys in self._on.items() for key in keys}

    def first(self) -> dict[str, Any]:
        """Make the first record of the journal that is to follow on this state.

        Returns:
            The record.
        """
        leases = {lease: [until, sorted(self._on[lease])] for lease, until in self._leases.items()}
        return {"r": self.revision, "place": self._place, "leases": leases}

    def apply(self, record: Record) -> None:
        """Follow a record.

        Args:
            record: what was committed.
        """
        self.revision = record["r"]
        for key in list(islice(self.unfolded, record.get("f", 0))):
            del self.unfolded[key]
        for lease, until in record.get("l", {}).items():
            if until is None:
                self._leases.pop(lease, None)
                self._on.pop(lease, None)
            else:
                self._leases[lease] = until
                self._on.setdefault(lease, set())
        for key in record.get("d", ()):
            self._write(key, None)
        for key, value, lease in record.get("p", ()):
            self._write(key, Item(key, value, self.revision, lease))
            if lease is not None:
                self._on[lease].add(key)
                self._lease_of[key] = lease

    def _write(self, key: str, item: Item | None) -> None:
        lease = self._lease_of.pop(key, None)
        if lease is not None and lease in self._on:
            self._on[lease].discard(key)
        if key not in self.fresh:
            self._keys.add(key)
        self.fresh[key] = item
        self.unfolded.pop(key, None)
        self.unfolded[key] = None
        if len(self._changes) == _REMEMBERED:
            self._oldest = self._changes[0][0]
        self._changes.append((self.revision, key))

    def oldest(self, count: int | None = None) -> dict[str, Item | None]:
        """Tell what is to be folded first.

        Args:
            count: how many items at most; None for all.

        Returns:
            The items by key; None for a deleted one.
        """
        return {key: self.fresh[key] for key in islice(self.unfolded, count)}

    def get(self, key: str, now: float) -> Item | None:
        """Read an item.

        Args:
            key: its key.
            now: the time, in seconds: an item whose lease ran out is not there.

        Returns:
            The item, or None.
        """
        item = self.fresh[key] if key in self.fresh else self._files.read(key)
        if item is None or item.lease is None or self._leases.get(item.lease, 0.0) > now:
            return item
        return None

    def walk(self, prefix: str, after: str, *, reverse: bool, now: float) -> Iterator[Item]:
        """Go over items in the order of their keys.

        Args:
            prefix: only items whose keys begin so.
            after: only items behind this key, in reverse before it; empty for all.
            reverse: the last key first.
            now: the time, in seconds.

        Yields:
            The items.
        """
        stored = self._files.walk(prefix, after, reverse=reverse)
        last = ""
        fresh = keys_in_range(self._keys, prefix, after, reverse=reverse)
        for key in merge(fresh, stored, reverse=reverse):
            if key != last:
                last = key
                item = self.get(key, now)
                if item is not None:
                    yield item

    def has_changed(self, prefix: str, since: int) -> bool:
        """Say whether items with a prefix may have changed.

        Args:
            prefix: the prefix.
            since: the revision that is known.

        Returns:
            True if so; also when it is too long ago to be remembered.
        """
        for revision, key in reversed(self._changes):
            if revision <= since:
                return False
            if key.startswith(prefix):
                return True
        return since < self._oldest

    def knows(self, lease: str, now: float) -> bool:
        """Say whether there is a lease that has not run out.

        Args:
            lease: its identity.
            now: the time, in seconds.

        Returns:
            True if there is.
        """
        return self._leases.get(lease, 0.0) > now

    def ended(self, lease: str) -> Record:
        """Make the part of a record that ends a lease.

        Args:
            lease: its identity; there must be such a lease.

        Returns:
            The part.
        """
        return {"d": sorted(self._on[lease]), "l": {lease: None}}

    def expired(self, now: float) -> list[str]:
        """Name the leases that ran out and are not ended yet.

        Args:
            now: the time, in seconds.

        Returns:
            Their identities.
        """
        return [lease for lease, until in self._leases.items() if until <= now] if self._leases else []

    def next_end(self) -> float | None:
        """Find out when the next lease runs out.

        Returns:
            The time, in seconds, or None.
        """
        return min(self._leases.values(), default=None)


def put_record(puts: Sequence[Put], deletes: Sequence[str]) -> Record:
    """Make the part of a record that writes items.

    Args:
        puts: the items to write.
        deletes: the keys to delete.

    Returns:
        The part.
    """
    return {"p": [list(put) for put in puts], "d": list(deletes)}
