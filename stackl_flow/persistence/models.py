"""Books, flow details and atom details: what a program sees of that which is stored.

They are plain objects in this process; nothing is stored until a connection saves them.
"""

from __future__ import annotations

import copy
import datetime as dt
import os
from collections.abc import Iterator
from typing import Any, Self

from stackl_flow.persistence.atoms import (
    ATOM_TYPES,
    RetryDetail,
    TaskDetail,
    atom_detail_class,
    atom_detail_type,
)
from stackl_flow.persistence.details import AtomDetail, new_uuid, new_uuids
from stackl_flow.persistence.marks import without_secrets
from stackl_flow.persistence.notes import meta_lines, plain_meta

__all__ = [
    "ATOM_TYPES",
    "AtomDetail",
    "FlowDetail",
    "LogBook",
    "RetryDetail",
    "TaskDetail",
    "atom_detail_class",
    "atom_detail_type",
    "new_uuid",
    "new_uuids",
]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _to_text(when: dt.datetime | None) -> str | None:
    return when.isoformat() if when else None


def _from_text(when: str | dict[str, Any] | None) -> dt.datetime | None:
    if isinstance(when, dict):  # as TaskFlow writes it
        return dt.datetime(**{part: when[part] for part in when if part != "tzname"}, tzinfo=dt.UTC)
    return dt.datetime.fromisoformat(when) if when else None


class LogBook:
    """A named collection of flow details.

    Args:
        name: what people call it.
        uuid: its identity; a new one if left out.

    Attributes:
        created_at: when it was made, in UTC.
        updated_at: when a flow was last added, in UTC, or None.
        meta: free notes.
    """

    def __init__(self, name: str, uuid: str | None = None) -> None:
        self._uuid = uuid or new_uuid()
        self._name = name
        self._flows: dict[str, FlowDetail] = {}
        self.created_at: dt.datetime | None = _now()
        self.updated_at: dt.datetime | None = None
        self.meta: dict[str, Any] = {}

    @property
    def uuid(self) -> str:
        """The identity of this book."""
        return self._uuid

    @property
    def name(self) -> str:
        """The name of this book."""
        return self._name

    def add(self, fd: FlowDetail) -> None:
        """Put a flow detail in, in the place of one with the same uuid.

        Args:
            fd: the flow detail.
        """
        self._flows[fd.uuid] = fd
        self.updated_at = _now()

    def fill(self, flows: list[FlowDetail]) -> Self:
        """Put in what storage gave, which is no update.

        Args:
            flows: the flow details.

        Returns:
            This book.
        """
        self._flows.update((fd.uuid, fd) for fd in flows)
        return self

    def find(self, flow_uuid: str) -> FlowDetail | None:
        """Find a flow detail.

        Args:
            flow_uuid: its identity.

        Returns:
            The flow detail, or None.
        """
        return self._flows.get(flow_uuid)

    def __iter__(self) -> Iterator[FlowDetail]:
        return iter(self._flows.values())

    def __len__(self) -> int:
        return len(self._flows)

    def merge(self, lb: LogBook, deep_copy: bool = False) -> Self:
        """Take over another book's notes and times, but not its flows.

        Args:
            lb: the other book.
            deep_copy: copy the notes instead of sharing them.

        Returns:
            This book.
        """
        if lb is not self:
            self.meta = copy.deepcopy(lb.meta) if deep_copy else lb.meta
            self.created_at = lb.created_at
            self.updated_at = lb.updated_at
        return self

    def copy(self, retain_contents: bool = True) -> Self:
        """Make a shallow copy.

        Args:
            retain_contents: keep the flow details (shared with this book).

        Returns:
            A book of its own.
        """
        clone = copy.copy(self)
        clone._flows = dict(self._flows) if retain_contents else {}  # noqa: SLF001  our own
        clone.meta = dict(self.meta)
        return clone

    def to_dict(self, marshal_time: bool = False) -> dict[str, Any]:
        """Turn this book, without its flows, into a dictionary.

        Args:
            marshal_time: write times as ISO text.

        Returns:
            What ``from_dict`` reads.
        """
        return {
            "name": self.name,
            "meta": self.meta,
            "uuid": self.uuid,
            "updated_at": _to_text(self.updated_at) if marshal_time else self.updated_at,
            "created_at": _to_text(self.created_at) if marshal_time else self.created_at,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], unmarshal_time: bool = False) -> Self:
        """Rebuild a book.

        Args:
            data: what ``to_dict`` gave.
            unmarshal_time: times are ISO text.

        Returns:
            A new book without flows.
        """
        obj = cls(data["name"], uuid=data["uuid"])
        obj.updated_at = _from_text(data["updated_at"]) if unmarshal_time else data["updated_at"]
        obj.created_at = _from_text(data["created_at"]) if unmarshal_time else data["created_at"]
        obj.meta = plain_meta(data)
        return obj

    def pformat(self, indent: int = 0, linesep: str = os.linesep) -> str:
        """Write this book and all in it out for people.

        Args:
            indent: spaces before each line.
            linesep: what ends a line.

        Returns:
            The text.
        """
        pad = " " * indent
        lines = [f"{pad}LogBook: '{self.name}'", f"{pad} - uuid = {self.uuid}"]
        lines.extend(meta_lines(self.meta, indent + 1))
        lines.extend(
            f"{pad} - {word} = {when.isoformat()}"
            for word, when in (("created_at", self.created_at), ("updated_at", self.updated_at))
            if when is not None
        )
        lines.extend(fd.pformat(indent=indent + 1, linesep=linesep) for fd in self)
        return linesep.join(lines)


class FlowDetail:
    """What is known of one flow: its state, notes and the details of its atoms, in the order they were added.

    Args:
        name: the flow's name.
        uuid: its identity.

    Attributes:
        state: where the flow stands, a word of ``states``, or None.
        meta: free notes, such as the factory that made the flow.
    """

    __slots__ = ("_atoms", "_name", "_uuid", "meta", "state")

    def __init__(self, name: str, uuid: str) -> None:
        self._uuid = uuid
        self._name = name
        self._atoms: dict[str, AtomDetail] = {}
        self.state: str | None = None
        self.meta: dict[str, Any] = {}

    @property
    def uuid(self) -> str:
        """The identity of this flow detail."""
        return self._uuid

    @property
    def name(self) -> str:
        """The name of the flow."""
        return self._name

    def add(self, ad: AtomDetail) -> None:
        """Put an atom detail in, in the place of one with the same uuid.

        Args:
            ad: the atom detail.
        """
        self._atoms[ad.uuid] = ad

    def find(self, ad_uuid: str) -> AtomDetail | None:
        """Find an atom detail.

        Args:
            ad_uuid: its identity.

        Returns:
            The atom detail, or None.
        """
        return self._atoms.get(ad_uuid)

    def __iter__(self) -> Iterator[AtomDetail]:
        return iter(self._atoms.values())

    def __len__(self) -> int:
        return len(self._atoms)

    def update(self, fd: FlowDetail) -> Self:
        """Become the same as another flow detail, sharing its atoms.

        Args:
            fd: the other flow detail.

        Returns:
            This flow detail.
        """
        if fd is not self:
            self._atoms = fd._atoms
            self.state = fd.state
            self.meta = fd.meta
        return self

    def merge(self, fd: FlowDetail, deep_copy: bool = False) -> Self:
        """Take over another flow detail's state and notes, but not its atoms.

        Args:
            fd: the other flow detail.
            deep_copy: copy the notes instead of sharing them.

        Returns:
            This flow detail.
        """
        if fd is not self:
            self.meta = copy.deepcopy(fd.meta) if deep_copy else fd.meta
            self.state = fd.state
        return self

    def copy(self, retain_contents: bool = True) -> Self:
        """Make a shallow copy.

        Args:
            retain_contents: keep the atom details (shared with this one).

        Returns:
            A flow detail of its own.
        """
        clone = copy.copy(self)
        clone._atoms = dict(self._atoms) if retain_contents else {}  # noqa: SLF001  our own
        clone.meta = dict(self.meta)
        return clone

    def to_dict(self) -> dict[str, Any]:
        """Turn this flow detail, without its atoms, into a dictionary.

        Returns:
            What ``from_dict`` reads.
        """
        return {"name": self.name, "meta": self.meta, "state": self.state, "uuid": self.uuid}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild a flow detail.

        Args:
            data: what ``to_dict`` gave.

        Returns:
            A new flow detail without atoms.
        """
        obj = cls(data["name"], data["uuid"])
        obj.state = data.get("state")
        obj.meta = plain_meta(data)
        return obj

    def pformat(self, indent: int = 0, linesep: str = os.linesep) -> str:
        """Write this flow detail and its atoms out for people, without what is marked as secret.

        Args:
            indent: spaces before each line.
            linesep: what ends a line.

        Returns:
            The text.
        """
        pad = " " * indent
        lines = [
            f"{pad}FlowDetail: '{self.name}'",
            f"{pad} - uuid = {self.uuid}",
            f"{pad} - state = {self.state}",
            *meta_lines(self.meta, indent + 1),
            *(ad.pformat(indent=indent + 1, linesep=linesep) for ad in self),
        ]
        return without_secrets(linesep.join(lines), self.meta, self)
