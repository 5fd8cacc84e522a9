"""TaskFlow's `taskflow.persistence.backends.impl_memory`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from stackl_flow.compat.persistence.codecs import Keeping
from stackl_flow.compat.persistence.filesystem import FakeFilesystem, FakeInode
from stackl_flow.persistence.backends import memory
from stackl_flow.persistence.backends.memory import MemoryConnection as Connection
from stackl_flow.persistence.models import FlowDetail, LogBook, atom_detail_type

__all__ = ["Connection", "FakeFilesystem", "FakeInode", "MemoryBackend"]


class MemoryBackend(memory.MemoryBackend):
    """Keeps everything in this process.

    Args:
        conf: the settings; "deep_copy", yes if left out, is about values without a JSON form.
        flow_detail: a flow that is stored nowhere, to be shown as if it were stored here.

    Raises:
        TypeError: the settings are no dictionary.
    """

    DEFAULT_PATH = "/"

    def __init__(
        self, conf: Mapping[str, Any] | None = None, *, flow_detail: FlowDetail | None = None
    ) -> None:
        if conf and not isinstance(conf, Mapping):
            raise TypeError(f"a dictionary of settings is needed, not {type(conf).__name__}: {conf!r}")
        given = dict(conf or {})
        copier = copy.deepcopy if given.get("deep_copy", True) else copy.copy
        super().__init__({"connection": "memory"}, codec=Keeping(copier))
        self.conf = self._conf = given
        self._loose = None if flow_detail is None else LogBook("tmp").fill([flow_detail])

    def get_connection(self) -> Connection:
        """Make a connection, to be used by one thread at a time.

        Returns:
            The connection.
        """
        conn = super().get_connection()
        if self._loose is not None:
            conn.save_logbook(self._loose)
        return conn

    @property
    def path(self) -> str:
        """The path below which everything is shown in ``memory``."""
        return str(self.conf.get("path") or self.DEFAULT_PATH)

    @property
    def memory(self) -> FakeFilesystem:
        """What is stored, as files and links; made anew each time, so that changes of it change nothing."""
        files = FakeFilesystem()
        folders = [f"{self.path.rstrip('/')}/{name}" for name in ("books", "flow_details", "atom_details")]
        for folder in folders:
            files.ensure_path(folder)
        books, flows, atoms = folders
        with self.get_connection() as conn:
            for book in conn.get_logbooks():
                if self._loose is None:
                    files[f"{books}/{book.uuid}"] = book.to_dict(marshal_time=True)
                for flow in book:
                    files[f"{flows}/{flow.uuid}"] = flow.to_dict()
                    if self._loose is None:
                        files.symlink(f"{flows}/{flow.uuid}", f"{books}/{book.uuid}/{flow.uuid}")
                    for atom in flow:
                        form = {"atom": atom.to_dict(), "type": atom_detail_type(atom)}
                        files[f"{atoms}/{atom.uuid}"] = form
                        files.symlink(f"{atoms}/{atom.uuid}", f"{flows}/{flow.uuid}/{atom.uuid}")
        return files
