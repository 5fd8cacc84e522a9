"""TaskFlow's `taskflow.persistence.backends.impl_memory`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from stackl_flow import codec as codecs
from stackl_flow import exceptions as exc
from stackl_flow.compat.persistence.filesystem import FakeFilesystem, FakeInode
from stackl_flow.persistence.backends import memory
from stackl_flow.persistence.backends.memory import MemoryConnection as Connection
from stackl_flow.persistence.models import FlowDetail, LogBook, atom_detail_type

__all__ = ["Connection", "FakeFilesystem", "FakeInode", "MemoryBackend"]


class _Kept(str):
    """What stands in a row of text for a value that has none; the row carries the value itself."""

    __slots__ = ("value",)

    value: Any


class _Keeping:
    """Makes text of values; one without a JSON form is kept itself, in a copy, as in TaskFlow."""

    def __init__(self, *, deep: bool) -> None:
        self._copy = copy.deepcopy if deep else copy.copy

    def encode(self, value: Any) -> str:
        try:
            return codecs.encode(value)
        except exc.NotSerializable as error:
            text = _Kept("(a value kept as it is)")
            try:
                text.value = self._copy(value)
            except TypeError:  # a lock, a file, a connection: nothing of which there can be two
                raise error from None
            return text

    def decode(self, text: str) -> Any:
        return self._copy(text.value) if isinstance(text, _Kept) else codecs.decode(text)


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
        super().__init__({"connection": "memory"}, codec=_Keeping(deep=bool(given.get("deep_copy", True))))
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
