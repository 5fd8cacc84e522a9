"""TaskFlow's `taskflow.persistence.backends.impl_dir`: its settings, our files.

A directory that TaskFlow itself wrote is refused, as a database of its own is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from stackl_flow import exceptions as exc
from stackl_flow.compat.persistence.codecs import Plain
from stackl_flow.kv.backends.directory import DirectoryKV
from stackl_flow.persistence.backends.kv import KVBackend
from stackl_flow.persistence.backends.kv.connection import KVConnection as Connection

__all__ = ["Connection", "DirBackend"]


#: Where TaskFlow itself keeps flows.
_THEIRS: Final = "flow_details"


class _Cache:
    """How much of the files is kept in memory, asked as a cache of the package `cachetools` is."""

    def __init__(self, place: DirectoryKV, maxsize: int | None) -> None:
        self._place = place
        self.maxsize = maxsize

    @property
    def currsize(self) -> int:
        return len(self._place.files.cache)

    def __len__(self) -> int:
        return self.currsize


class DirBackend(KVBackend):
    """Keeps flows in the files of a directory.

    Args:
        conf: TaskFlow's settings: "path", the directory, and "max_cache_size", how many items are kept in
            memory. "encoding" has no effect: what is written is ASCII.

    Raises:
        TypeError: the settings are no dictionary.
        ValueError: there is no path, or the size is less than one.
    """

    DEFAULT_FILE_ENCODING: Final = "utf-8"

    def __init__(self, conf: Mapping[str, Any]) -> None:
        if not isinstance(conf, Mapping):
            raise TypeError(f"a dictionary of settings is needed, not {type(conf).__name__}: {conf!r}")
        _, _, address = str(conf.get("connection", "")).partition("://")
        path = conf.get("path") or urlsplit(f"//{address}").path
        if not path:
            raise ValueError("the path of a directory is needed under 'path', and it is empty")
        self.path = os.path.abspath(path)  # noqa: PTH100  a text, as in TaskFlow
        size = conf.get("max_cache_size")
        ours: dict[str, Any] = {"connection": "dir", "path": self.path}
        if size is not None:
            ours["max_cache_size"] = int(size)
            if int(size) < 1:
                raise ValueError(f"'max_cache_size' must be 1 or more, not {size}")
        place = DirectoryKV(ours)
        super().__init__(ours, codec=Plain(), place=place)
        self.encoding = conf.get("encoding", self.DEFAULT_FILE_ENCODING)
        self.file_cache = _Cache(place, None if size is None else int(size))
        self.conf = self._conf = dict(conf)

    def get_connection(self) -> Connection:
        """Make a connection, to be used by one thread at a time.

        Returns:
            The connection; close it after use.

        Raises:
            StorageFailure: TaskFlow itself has stored flows there.
        """
        if Path(self.path, _THEIRS).is_dir():
            raise exc.StorageFailure(
                f"'{self.path}' holds flows that TaskFlow itself stored, in '{_THEIRS}': give a directory of"
                f" its own; they have to end with TaskFlow"
            )
        return super().get_connection()
