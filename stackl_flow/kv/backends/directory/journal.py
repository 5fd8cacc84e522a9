"""The journal: what was committed and is not in the files of the items yet, one line a commit.

A commit is durable, and done, when its line is. A line is a checksum and a JSON object: the revision, the
items put, the keys deleted, and what happened to leases. A line that a crash left unfinished at the end was
never committed; the next writer cuts it off. The first line tells the format, the revision and the leases at
the time when the journal was begun; a journal that has grown is folded into the files and begun anew.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow.kv.backends.directory.files import sync_folder, write_all

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
