"""TaskFlow's `taskflow.persistence.backends.impl_dir`: TaskFlow's settings, this library's files.

A directory with flows that TaskFlow stored is rejected.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from stackl_flow import exceptions as exc
from stackl_flow.compat.persistence.codecs import PlainCodec
from stackl_flow.kv.backends.directory import DirectoryKV
from stackl_flow.persistence.backends.kv import KVBackend
from stackl_flow.persistence.backends.kv.connection import KVConnection as Connection

__all__ = ["Connection", "DirBackend"]


#: The folder in which TaskFlow stores flows.
_TASKFLOW_FOLDER: Final = "flow_details"


class _Cache:
    """The size of the file cache, with the interface of a cache of the package `cachetools`."""

    def __init__(self, store: DirectoryKV, maxsize: int | None) -> None:
        self._store = store
        self.maxsize = maxsize

    @property
    def currsize(self) -> int:
        return len(self._store.files.cache)

    def __len__(self) -> int:
        return self.currsize


class DirBackend(KVBackend):
    """Stores flows in the files of a directory.

    Args:
        conf: TaskFlow's settings: "path", the directory, and "max_cache_size", the number of items cached in
            memory. "encoding" has no effect: the files are ASCII.

    Raises:
        TypeError: the settings are not a dictionary.
        ValueError: the path is missing, or the cache size is less than one.
    """

    DEFAULT_FILE_ENCODING: Final = "utf-8"

    def __init__(self, conf: Mapping[str, Any]) -> None:
        if not isinstance(conf, Mapping):
            raise TypeError(f"settings must be a dictionary, not {type(conf).__name__}: {conf!r}")
        _, _, location = str(conf.get("connection", "")).partition("://")
        path = conf.get("path") or urlsplit(f"//{location}").path
        if not path:
            raise ValueError("'path' must be the path of a directory, and it is empty")
        self.path = os.path.abspath(path)  # noqa: PTH100  text, as in TaskFlow
        size = conf.get("max_cache_size")
        settings: dict[str, Any] = {"connection": "dir", "path": self.path}
        if size is not None:
            settings["max_cache_size"] = int(size)
            if int(size) < 1:
                raise ValueError(f"'max_cache_size' must be 1 or more, not {size}")
        store = DirectoryKV(settings)
        super().__init__(settings, codec=PlainCodec(), store=store)
        self.encoding = conf.get("encoding", self.DEFAULT_FILE_ENCODING)
        self.file_cache = _Cache(store, None if size is None else int(size))
        self.conf = self._conf = dict(conf)

    def get_connection(self) -> Connection:
        """Return a connection, to be used by one thread at a time and closed after use.

        Raises:
            StorageFailure: the directory contains flows that TaskFlow stored.
        """
        if Path(self.path, _TASKFLOW_FOLDER).is_dir():
            raise exc.StorageFailure(
                f"'{self.path}' contains flows that TaskFlow stored, in '{_TASKFLOW_FOLDER}': use another"
                f" directory, and finish these flows with TaskFlow"
            )
        return super().get_connection()
