"""The journal of a directory store, and the in-memory state that it gives.

The journal holds the commits that are not in the item files yet, one line for each. A commit is durable once
its line is. A line is a checksum and a JSON object with these fields, all but "r" optional:

* "r": the revision of the commit;
* "p": the puts, as [key, value, lease];
* "d": the deleted keys;
* "l": leases by id, with the time of their expiry, or null for a lease that ended;
* "c": how many items were compacted, that is written to their files, before this commit.

An incomplete line at the end, as a crash leaves it, was never committed; the next writer cuts it off. A
complete line with another checksum is damage, and an error. The first line, the header, has the format, the
id of the directory, the revision and the leases at its time, and the time scale by which leases expire (see
`LeaseTime`). When all items of a journal are compacted, a new journal replaces it.
"""

from __future__ import annotations

import json
import os
import uuid
import zlib
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sortedcontainers import SortedList

from stackl_flow import exceptions as exc
from stackl_flow.clock import Clock, LeaseTime
from stackl_flow.kv.backends.directory.files import ItemFiles, create_file, sync_folder, write_all
from stackl_flow.kv.items import Item, Put
from stackl_flow.kv.ordered import ChangeLog, keys_in_range

FORMAT: Final = 2
Record = dict[str, Any]
#: What stands where a disk was to write and did not, when the power failed; no record has such bytes.
_UNWRITTEN: Final = b"\0\0"


class Journal:
    """The journal file, and the position up to which this object has read or written it.

    Args:
        path: the file.
        sync: make writes survive a power failure.
    """

    def __init__(self, path: Path, *, sync: bool) -> None:
        self._path = path
        self._sync = sync
        self._handle = -1
        self._inode = (0, 0)
        self._offset = 0

    @property
    def size(self) -> int:
        """The number of bytes that have been read or written."""
        return self._offset

    def close(self) -> None:
        """Close the file."""
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1

    def reopen_if_replaced(self) -> bool:
        """Open the file again, to be read from its start, if another one has replaced it.

        Returns:
            Whether it was replaced, or deleted.
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
            self._handle = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW)
        return True

    def read_new(self) -> Iterator[Record]:
        """Iterate over the records that were added since the last call, the header included.

        Raises:
            StorageFailure: the journal is damaged before its end.
            IncompatibleVersion: a newer version of this library has written it.
        """
        if self._handle < 0:
            return
        data = os.pread(self._handle, max(os.fstat(self._handle).st_size - self._offset, 0), self._offset)
        *lines, rest = data.split(b"\n")
        for number, line in enumerate(lines):
            record = _decode(line)
            if record is None:
                # The first line was written before the file had its name, so it is never incomplete.
                is_incomplete = self._offset > 0 and _UNWRITTEN in line
                if not is_incomplete or any(_decode(later) is not None for later in lines[number + 1 :]):
                    raise self._damaged_error()
                return
            if self._offset == 0 and record.get("format") != FORMAT:
                raise exc.IncompatibleVersion(
                    f"'{self._path}' has format {record.get('format')!r}, this version of the library writes "
                    f"{FORMAT}: use the version that created it, or a newer one"
                )
            self._offset += len(line) + 1
            yield record
        # What is left is the beginning of a record, or a record whose end was changed.
        if rest and (self._offset == 0 or _decode(rest[:-1]) is not None):
            raise self._damaged_error()

    def append(self, record: Record) -> None:
        """Append a record after those that were read. It is durable when this returns."""
        data = _encode(record)
        if os.fstat(self._handle).st_size != self._offset:
            os.ftruncate(self._handle, self._offset)  # the incomplete line of a crashed writer
        try:
            os.lseek(self._handle, self._offset, os.SEEK_SET)
            write_all(self._handle, data)
            if self._sync:
                _sync_data(self._handle)
        except BaseException:
            # A full disk, or an interrupt: a commit that is reported as failed must not be read by others.
            self._discard(len(data))
            raise
        self._offset += len(data)

    def _discard(self, size: int) -> None:
        """Remove what was written of the last record."""
        try:
            os.ftruncate(self._handle, self._offset)
        except OSError:
            # What was never written is read in the same way as this.
            os.pwrite(self._handle, b"\0" * size, self._offset)

    def replace(self, header: Record) -> None:
        """Replace the file with a new journal that has only this header, without the format."""
        new = self._path.with_name(f"{self._path.name}.new")
        handle = create_file(str(new))
        try:
            write_all(handle, _encode({"format": FORMAT, **header}))
            if self._sync:
                os.fsync(handle)
        finally:
            os.close(handle)
        new.replace(self._path)
        if self._sync:
            sync_folder(self._path.parent)

    def _damaged_error(self) -> exc.StorageFailure:
        return exc.StorageFailure(
            f"journal '{self._path}' is damaged after byte {self._offset}, with intact records after that: "
            f"restore the directory from a backup, or truncate the file there to discard the later commits"
        )


def _sync_data(handle: int) -> None:
    """Sync the data of a file, without its timestamps where the platform can do that."""
    if hasattr(os, "fdatasync"):
        os.fdatasync(handle)
    else:
        os.fsync(handle)


def _encode(record: Record) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _decode(line: bytes) -> Record | None:
    """Decode a line; None if it is incomplete or damaged."""
    checksum, _, text = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(text):
            return None
        record: Record = json.loads(text)
    except ValueError:
        return None
    return record


class DirectoryState:
    """The state of a directory as of the last record that was read: the item files, and the journal on top.

    Args:
        files: the item files.

    Attributes:
        revision: that of the last record.
        uncompacted: the keys that were written since the journal began and are not in their files yet, those
            written last at the end.
    """

    def __init__(self, files: ItemFiles) -> None:
        self._files = files
        self._id = ""
        self.revision = 0
        self.lease_time = LeaseTime()
        self._recent: dict[str, Item | None] = {}  # since the journal began; None for a deleted item
        self.uncompacted: dict[str, None] = {}
        self.apply_header({"r": 1, "id": uuid.uuid4().hex, "leases": {}})

    def apply_header(self, header: Record) -> None:
        """Start from the header of a journal."""
        if (header["id"], header["r"]) == (self._id, self.revision):
            self._files.update_cache(self._recent)  # we have read all that was compacted
        else:
            self._files.clear_cache()
        self._id = header["id"]
        self.revision = header["r"]
        # Versions before 0.9 write none, and follow the wall clock.
        self.lease_time = LeaseTime(*header.get("boot", ()))
        self._recent = {}
        self.uncompacted = {}
        self._keys: SortedList[str] = SortedList()
        self._changes = ChangeLog(since=self.revision)
        self._expiries: dict[str, float] = {}
        self._keys_of_lease: dict[str, set[str]] = {}
        for lease, (expiry, keys) in header["leases"].items():
            self._expiries[lease] = expiry
            self._keys_of_lease[lease] = set(keys)
        self._lease_of_key = {key: lease for lease, keys in self._keys_of_lease.items() for key in keys}

    def header(self) -> Record:
        """Return the header of a journal that begins at this state."""
        leases = {
            lease: [expiry, sorted(self._keys_of_lease[lease])] for lease, expiry in self._expiries.items()
        }
        return {"r": self.revision, "id": self._id, "leases": leases, "boot": list(self.lease_time)}

    def begin_boot(self, clock: Clock) -> None:
        """Begin a time scale for the present boot, in which no lease of an earlier one is valid."""
        last = max(self._expiries.values(), default=0.0) if self.lease_time.boot else None
        self.lease_time = LeaseTime.begin(clock, last)

    def apply(self, record: Record) -> None:
        """Apply a record that is not a header."""
        self.revision = record["r"]
        for key in list(islice(self.uncompacted, record.get("c", 0))):
            del self.uncompacted[key]
        for lease, expiry in record.get("l", {}).items():
            if expiry is None:
                self._expiries.pop(lease, None)
                self._keys_of_lease.pop(lease, None)
            else:
                self._expiries[lease] = expiry
                self._keys_of_lease.setdefault(lease, set())
        for key in record.get("d", ()):
            self._write(key, None)
        for key, value, lease in record.get("p", ()):
            self._write(key, Item(key, value, self.revision, lease))
            if lease is not None:
                self._keys_of_lease[lease].add(key)
                self._lease_of_key[key] = lease

    def _write(self, key: str, item: Item | None) -> None:
        lease = self._lease_of_key.pop(key, None)
        if lease is not None and lease in self._keys_of_lease:
            self._keys_of_lease[lease].discard(key)
        if key not in self._recent:
            self._keys.add(key)
        self._recent[key] = item
        self.uncompacted.pop(key, None)
        self.uncompacted[key] = None
        self._changes.append(self.revision, key)

    def oldest_uncompacted(self, count: int | None = None) -> dict[str, Item | None]:
        """Return the items to compact next, with None for deleted ones; all of them without a count."""
        return {key: self._recent[key] for key in islice(self.uncompacted, count)}

    def get(self, key: str, now: float) -> Item | None:
        """Return an item, or None, also if its lease has expired at that time."""
        item = self._recent[key] if key in self._recent else self._files.read(key)
        if item is None or item.lease is None or self._expiries.get(item.lease, 0.0) > now:
            return item
        return None

    def iter_items(self, prefix: str, after: str, *, reverse: bool, now: float) -> Iterator[Item]:
        """Iterate over items in key order; the first arguments are those of ``KV.list``."""
        in_files = self._files.iter_keys(prefix, after, reverse=reverse)
        in_journal = keys_in_range(self._keys, prefix, after, reverse=reverse)
        last = ""
        for key in merge(in_journal, in_files, reverse=reverse):
            if key != last:
                last = key
                item = self.get(key, now)
                if item is not None:
                    yield item

    def has_changed(self, prefix: str, since: int) -> bool:
        """Return whether a key with the prefix may have changed after a revision."""
        return self._changes.has_changed(prefix, since)

    def has_lease(self, lease: str, now: float) -> bool:
        """Return whether a lease exists and has not expired."""
        return self._expiries.get(lease, 0.0) > now

    def expired_leases(self, now: float) -> list[str]:
        """Return the leases that have expired and are not deleted yet."""
        return [lease for lease, expiry in self._expiries.items() if expiry <= now] if self._expiries else []

    def next_expiry(self) -> float | None:
        """Return when the next lease expires, or None."""
        return min(self._expiries.values(), default=None)

    def end_lease_record(self, lease: str) -> Record:
        """Return the record, without its revision, that deletes an existing lease and its items."""
        return {"d": sorted(self._keys_of_lease[lease]), "l": {lease: None}}


def commit_record(puts: Sequence[Put], deletes: Sequence[str]) -> Record:
    """Return the record, without its revision, of a commit."""
    return {"p": [list(put) for put in puts], "d": list(deletes)}
