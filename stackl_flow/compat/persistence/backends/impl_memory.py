"""TaskFlow's `taskflow.persistence.backends.impl_memory`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from stackl_flow.compat.persistence.codecs import CopyingCodec
from stackl_flow.compat.persistence.filesystem import FakeFilesystem, FakeInode
from stackl_flow.persistence.backends import memory
from stackl_flow.persistence.backends.memory import MemoryConnection as Connection
from stackl_flow.persistence.models import FlowDetail, LogBook, atom_detail_type

__all__ = ["Connection", "FakeFilesystem", "FakeInode", "MemoryBackend"]


class MemoryBackend(memory.MemoryBackend):
    """Stores flows in this process.

    Args:
        conf: the settings; "deep_copy", true by default, applies to values without a JSON representation.
        flow_detail: a flow without a backend, to be exposed as if it were stored here.

    Raises:
        TypeError: the settings are not a dictionary.
    """

    DEFAULT_PATH = "/"

    def __init__(
        self, conf: Mapping[str, Any] | None = None, *, flow_detail: FlowDetail | None = None
    ) -> None:
        if conf and not isinstance(conf, Mapping):
            raise TypeError(f"settings must be a dictionary, not {type(conf).__name__}: {conf!r}")
        settings = dict(conf or {})
        copier = copy.deepcopy if settings.get("deep_copy", True) else copy.copy
        super().__init__({"connection": "memory"}, codec=CopyingCodec(copier))
        self.conf = self._conf = settings
        self._unstored_book = None if flow_detail is None else LogBook("tmp").add_stored([flow_detail])

    def get_connection(self) -> Connection:
        """Return a connection, to be used by one thread at a time."""
        conn = super().get_connection()
        if self._unstored_book is not None:
            conn.save_logbook(self._unstored_book)
        return conn

    @property
    def path(self) -> str:
        """The path of everything in ``memory``."""
        return str(self.conf.get("path") or self.DEFAULT_PATH)

    @property
    def memory(self) -> FakeFilesystem:
        """The stored data as files and links; a new copy at each access, so changes have no effect."""
        files = FakeFilesystem()
        folders = [f"{self.path.rstrip('/')}/{name}" for name in ("books", "flow_details", "atom_details")]
        for folder in folders:
            files.ensure_path(folder)
        books, flows, atoms = folders
        with self.get_connection() as conn:
            for book in conn.get_logbooks():
                if self._unstored_book is None:
                    files[f"{books}/{book.uuid}"] = book.to_dict(marshal_time=True)
                for flow in book:
                    files[f"{flows}/{flow.uuid}"] = flow.to_dict()
                    if self._unstored_book is None:
                        files.symlink(f"{flows}/{flow.uuid}", f"{books}/{book.uuid}/{flow.uuid}")
                    for atom in flow:
                        data = {"atom": atom.to_dict(), "type": atom_detail_type(atom)}
                        files[f"{atoms}/{atom.uuid}"] = data
                        files.symlink(f"{atoms}/{atom.uuid}", f"{flows}/{flow.uuid}/{atom.uuid}")
        return files
