"""Logbooks, flow details and atom details: what a program sees of stored flows.

A `LogBook` contains `FlowDetail` objects, and each of those a `TaskDetail` or `RetryDetail` for every atom.
They are plain objects of this process: nothing is stored until a connection saves them, and a detail does not
follow what other processes store later. They are not locked; do not change one in several threads.
"""

from __future__ import annotations

import copy
import datetime as dt
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, NamedTuple, Self

from stackl_flow import exceptions as exc
from stackl_flow import redaction, states
from stackl_flow.failure import Failure

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


def new_uuids(count: int) -> list[str]:
    """Generate random (version 4) UUIDs, as text, with one system call."""
    random = os.urandom(16 * count).hex()
    uuids = []
    for start in range(0, 32 * count, 32):
        text = random[start : start + 32]
        variant = "89ab"[int(text[16], 16) & 3]
        uuids.append(f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}")
    return uuids


def new_uuid() -> str:
    """Generate a random UUID, as text."""
    return new_uuids(1)[0]


# ---------------------------------------------------------------------- atoms

#: For each attempt of a retry: the result of the retry, and the failures of its atoms by name.
RetryResults = list[tuple[Any, dict[str, Failure]]]

_PROGRESS_KEYS: Final = ("progress", "progress_details")


class StoredParts(NamedTuple):
    """What is stored of an atom, so that it is neither encoded nor written again.

    Programs change their values in place; what counts is the text that was stored when there was a value.

    Attributes:
        values: by column, the object that is stored there (None for metadata and progress, whose changes in
            place are stored), and its text, or the reference to the row that has a long text.
        rows: how many rows the history of a retry has.
        attempts: how many attempts are in them.
        failures: how many failures of the last one.
        last: what the retry provided in the last one.
    """

    values: Mapping[str, tuple[Any, str]] = MappingProxyType({})
    rows: int = 0
    attempts: int = 0
    failures: int = 0
    last: Any = None


class AtomDetail(ABC):
    """What is known of one atom: its state, its intention and its results.

    A process may hold a million of these, so they have slots, and no dictionary for metadata until one is
    used.

    Args:
        name: name of the atom.
        uuid: UUID of the atom in storage.

    Attributes:
        name: name of the atom.
        uuid: UUID of the atom in storage.
        state: the state of the atom (see `states`), or None.
        intention: what the engine intends to do with it: EXECUTE, REVERT, RETRY or IGNORE.
        results: the result of ``execute``, or None.
        failure: why ``execute`` failed, or None.
        revert_results: the result of ``revert``, or None.
        revert_failure: why ``revert`` failed, or None.
        version: version of the atom when it was first stored.
        reported_progress: the progress that the atom reported since its last transition, from 0.0 to 1.0, or
            None.
        progress_details: what the atom reported along with its progress.
        attempt: which attempt this is: 1, and one more each time that a retry resets the atom.
        started_at: when the work of this attempt began, in seconds since the epoch (UTC), or None.
        stored: what is stored, so that it is neither encoded nor written again; None if that is only a
            result that cannot change, or nothing.
    """

    __slots__ = (
        "_meta",
        "attempt",
        "failure",
        "intention",
        "name",
        "progress_details",
        "reported_progress",
        "results",
        "revert_failure",
        "revert_results",
        "started_at",
        "state",
        "stored",
        "uuid",
        "version",
    )

    #: The progress of an atom that reported none, by state. It is implied, so it is not stored.
    IMPLIED_PROGRESS: ClassVar[Mapping[str, float]] = {}

    def __init__(self, name: str, uuid: str) -> None:
        self.uuid: Final = uuid
        self.name: Final = name
        self._meta: dict[str, Any] | None = None
        self.state: str | None = None
        self.intention: str | None = states.EXECUTE
        self.results: Any = None
        self.failure: Failure | None = None
        self.revert_results: Any = None
        self.revert_failure: Failure | None = None
        self.version: Any = None
        self.reported_progress: float | None = None
        self.progress_details: Any = None
        self.attempt = 1
        self.started_at: float | None = None
        self.stored: StoredParts | None = None

    @property
    def meta(self) -> dict[str, Any]:
        """Metadata of the atom. It contains "progress" and "progress_details" once they are known."""
        self._meta = _show_progress(self._meta or {}, self.progress, self.progress_details)
        return self._meta

    @meta.setter
    def meta(self, meta: dict[str, Any] | None) -> None:
        self.reported_progress = self.progress_details = None
        self.load_meta(meta)

    @property
    def has_meta(self) -> bool:
        """Whether there is any metadata, without creating the dictionary that ``meta`` returns."""
        return bool(self._meta)

    @property
    def has_only_result(self) -> bool:
        """Whether there is nothing to store but states and a result: no failure, metadata or progress."""
        return (
            self.failure is None
            and self.revert_results is None
            and self.revert_failure is None
            and self._meta is None
            and self.reported_progress is None
            and self.progress_details is None
        )

    @property
    def progress(self) -> float | None:
        """The progress that was reported, or else the one that the state implies; None if unknown."""
        reported = self.reported_progress
        return self.IMPLIED_PROGRESS.get(self.state or "") if reported is None else reported

    @progress.setter
    def progress(self, progress: float | None) -> None:
        self.reported_progress = progress

    @property
    def last_results(self) -> Any:
        """The latest result."""
        return self.results

    def stored_meta(self) -> dict[str, Any] | None:
        """Return the metadata without progress, as they are stored; None if there are none."""
        return None if self._meta is None else _merge_progress(self._meta, None, None) or None

    def stored_progress(self) -> dict[str, Any] | None:
        """Return progress and its details, as they are stored; None if there are none."""
        reported = self.reported_progress
        if reported is None and self.progress_details is None:
            return None  # nearly always, and called for each transition
        if reported is not None and reported == self.IMPLIED_PROGRESS.get(self.state or ""):
            reported = None
        return _merge_progress(None, reported, self.progress_details) or None

    def _complete_meta(self) -> dict[str, Any]:
        return _merge_progress(self._meta, self.progress, self.progress_details)

    def load_meta(self, meta: dict[str, Any] | None) -> None:
        """Set metadata, and the progress in it if it has one."""
        if meta and ("progress" in meta or "progress_details" in meta):
            meta = dict(meta)
            self.reported_progress = meta.pop("progress", None)
            self.progress_details = meta.pop("progress_details", None)
        self._meta = meta or None

    def update(self, ad: AtomDetail) -> Self:
        """Take over everything but name and UUID from another detail; values are shared."""
        if ad is not self:
            for slot in AtomDetail.__slots__:
                if slot not in ("name", "uuid", "stored"):
                    setattr(self, slot, getattr(ad, slot))
        return self

    @abstractmethod
    def merge(self, other: AtomDetail, deep_copy: bool = False) -> Self:
        """Take over everything but name and UUID from another detail of the same kind.

        Args:
            other: the other detail; results are shared.
            deep_copy: copy metadata, version and failures instead of sharing them.

        Raises:
            NotSupported: the other detail is of another kind.
        """
        self.state = other.state
        self.intention = other.intention
        self.failure = _copy_failure(other.failure, deep_copy)
        self.revert_failure = _copy_failure(other.revert_failure, deep_copy)
        self._meta = copy.deepcopy(other._meta) if deep_copy else other._meta
        self.version = copy.deepcopy(other.version) if deep_copy else other.version
        self.reported_progress = other.reported_progress
        self.progress_details = other.progress_details
        self.revert_results = other.revert_results
        self.attempt = other.attempt
        self.started_at = other.started_at
        return self

    @abstractmethod
    def put(self, state: str, result: Any) -> bool:
        """Set a state and the result that led to it.

        Args:
            state: the new state.
            result: a value, or a `Failure` for FAILURE and REVERT_FAILURE.

        Returns:
            Whether that changed anything.
        """

    def reset(self, state: str | None) -> None:
        """Remove results and failures, set the intention to EXECUTE, and set a state."""
        self.results = None
        self.failure = None
        self.revert_results = None
        self.revert_failure = None
        self.state = state
        self.intention = states.EXECUTE

    def copy(self) -> Self:
        """Return a shallow copy; results are shared, metadata is not."""
        clone = copy.copy(self)
        clone._meta = dict(self._meta) if self._meta else None  # noqa: SLF001  of this class
        clone.version = copy.copy(self.version)
        return clone

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that ``from_dict`` reads.

        It has the keys of TaskFlow, and "attempt" and "started_at" once they differ from those of a new atom.
        """
        data = {
            "failure": self.failure.to_dict() if self.failure else None,
            "revert_failure": self.revert_failure.to_dict() if self.revert_failure else None,
            "meta": self._complete_meta(),
            "name": self.name,
            "results": self.results,
            "revert_results": self.revert_results,
            "state": self.state,
            "version": self.version,
            "intention": self.intention,
            "uuid": self.uuid,
        }
        if self.attempt != 1:
            data["attempt"] = self.attempt
        if self.started_at is not None:
            data["started_at"] = self.started_at
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the detail of a dictionary that ``to_dict`` returned."""
        obj = cls(data["name"], data["uuid"])
        obj.attempt = data.get("attempt", 1)
        obj.started_at = data.get("started_at")
        obj.state = data.get("state")
        obj.intention = data.get("intention")
        obj.results = data.get("results")
        obj.revert_results = data.get("revert_results")
        obj.version = data.get("version")
        obj.load_meta(_meta_of(data))
        failure, revert_failure = data.get("failure"), data.get("revert_failure")
        obj.failure = Failure.from_dict(failure) if failure else None
        obj.revert_failure = Failure.from_dict(revert_failure) if revert_failure else None
        return obj

    def pformat(self, indent: int = 0, linesep: str = os.linesep) -> str:
        """Return a text for people, with secrets in the metadata masked.

        Args:
            indent: number of spaces before each line.
            linesep: the line separator.
        """
        pad = " " * indent
        version = self.version
        shown = ".".join(str(part) for part in version) if isinstance(version, (list, tuple)) else version
        lines = [
            f"{pad}{type(self).__name__}: '{self.name}'",
            f"{pad} - uuid = {self.uuid}",
            f"{pad} - state = {self.state}",
            f"{pad} - version = {shown}",
            f"{pad} - results = {self.results}",
            f"{pad} - failure = {bool(self.failure)}",
            *_format_meta(self._complete_meta(), indent + 1),
        ]
        return linesep.join(lines)


class TaskDetail(AtomDetail):
    """What is known of one task; see `AtomDetail` for its attributes."""

    __slots__ = ()

    IMPLIED_PROGRESS = MappingProxyType(
        {
            states.RUNNING: 0.0,
            states.IGNORE: 0.0,
            states.SUCCESS: 1.0,
            states.FAILURE: 0.0,
            states.REVERTING: 0.0,
            states.REVERTED: 1.0,
            states.REVERT_FAILURE: 0.0,
        }
    )

    def put(self, state: str, result: Any) -> bool:
        """Set a state and the result that led to it; see `AtomDetail.put`."""
        before = (self.state, self.results, self.failure, self.revert_results, self.revert_failure)
        self.state = state
        if state == states.SUCCESS:
            self._set_results(results=result)
        elif state == states.FAILURE:
            self._set_results(failure=result)
        elif state == states.REVERTED:
            self._set_results(results=self.results, failure=self.failure, revert_results=result)
        elif state == states.REVERT_FAILURE:
            self._set_results(failure=self.failure, revert_failure=result)
        after = (self.state, self.results, self.failure, self.revert_results, self.revert_failure)
        # By identity: the == of users' values may do anything.
        return any(old is not new for old, new in zip(before, after, strict=True))

    def _set_results(
        self,
        results: Any = None,
        failure: Failure | None = None,
        revert_results: Any = None,
        revert_failure: Failure | None = None,
    ) -> None:
        self.results = results
        self.failure = failure
        self.revert_results = revert_results
        self.revert_failure = revert_failure

    def merge(self, other: AtomDetail, deep_copy: bool = False) -> Self:
        """Take over everything but name and UUID from another task's detail; see `AtomDetail.merge`."""
        if not isinstance(other, TaskDetail):
            raise _wrong_kind_error("task")
        if other is not self:
            super().merge(other, deep_copy=deep_copy)
            self.results = other.results
        return self


class RetryDetail(AtomDetail):
    """What is known of one retry; see `AtomDetail` for its other attributes.

    Args:
        name: name of the retry.
        uuid: UUID of the retry in storage.

    Attributes:
        results: for each attempt a pair: the result of the retry, and the failures of its atoms by name.
    """

    __slots__ = ()

    def __init__(self, name: str, uuid: str) -> None:
        super().__init__(name, uuid)
        self.results: RetryResults = []

    @property
    def last_results(self) -> Any:
        """The result of the latest attempt; `NotFound` if there was none."""
        return self._last()[0]

    @property
    def last_failures(self) -> dict[str, Failure]:
        """The failures of the latest attempt by atom name; `NotFound` if there was no attempt."""
        return self._last()[1]

    def _last(self) -> tuple[Any, dict[str, Failure]]:
        if not self.results:
            raise exc.NotFound(f"Last results not found: retry '{self.name}' has made no attempt")
        return self.results[-1]

    def reset(self, state: str | None) -> None:
        """Remove all attempts and failures, set the intention to EXECUTE, and set a state."""
        super().reset(state)
        self.results = []

    def put(self, state: str, result: Any) -> bool:
        """Set a state and the result that led to it; earlier attempts stay. See `AtomDetail.put`."""
        before = (self.state, self.failure, self.revert_results, self.revert_failure)
        self.state = state
        if state == states.SUCCESS:
            self.failure = self.revert_results = self.revert_failure = None
            self.results.append((result, {}))
            return True
        if state == states.FAILURE:
            self.failure = result
            self.revert_results = self.revert_failure = None
        elif state == states.REVERTED:
            self.revert_results = result
            self.revert_failure = None
        elif state == states.REVERT_FAILURE:
            self.revert_failure = result
            self.revert_results = None
        after = (self.state, self.failure, self.revert_results, self.revert_failure)
        return any(old is not new for old, new in zip(before, after, strict=True))

    def merge(self, other: AtomDetail, deep_copy: bool = False) -> Self:
        """Take over everything but name and UUID from another retry's detail; see `AtomDetail.merge`."""
        if not isinstance(other, RetryDetail):
            raise _wrong_kind_error("retry")
        if other is not self:
            super().merge(other, deep_copy=deep_copy)
            self.results = [
                (value, {name: f.copy() if deep_copy else f for name, f in failures.items()})
                for value, failures in other.results
            ]
        return self

    def copy(self) -> Self:
        """Return a copy with a list of attempts of its own; values are shared."""
        clone = super().copy()
        clone.results = [(value, dict(failures)) for value, failures in self.results]
        return clone

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that ``from_dict`` reads."""
        base = super().to_dict()
        base["results"] = [
            (value, {name: failure.to_dict() for name, failure in failures.items()})
            for value, failures in self.results
        ]
        return base

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the detail of a dictionary that ``to_dict`` returned."""
        obj = super().from_dict(data)
        obj.results = [
            (value, {name: Failure.from_dict(failure) for name, failure in failures.items()})
            for value, failures in data.get("results") or ()
        ]
        return obj


_CLASSES: Final[dict[str, type[AtomDetail]]] = {"TASK_DETAIL": TaskDetail, "RETRY_DETAIL": RetryDetail}
_TYPES: Final = {cls: atom_type for atom_type, cls in _CLASSES.items()}
#: The types of atom details, as they are stored.
ATOM_TYPES: Final = list(_CLASSES)


def atom_detail_class(atom_type: str) -> type[AtomDetail]:
    """Return the class for "TASK_DETAIL" or "RETRY_DETAIL"; `TypeError` for anything else."""
    try:
        return _CLASSES[atom_type]
    except KeyError:
        raise TypeError(f"Unknown atom type '{atom_type}'; known types are {ATOM_TYPES}") from None


def atom_detail_type(atom_detail: AtomDetail) -> str:
    """Return "TASK_DETAIL" or "RETRY_DETAIL"; `TypeError` for what is no atom detail."""
    try:
        return _TYPES[type(atom_detail)]
    except KeyError:
        raise TypeError(f"Unknown atom '{atom_detail}' ({type(atom_detail)})") from None


# ---------------------------------------------------------------------- flows and logbooks


class FlowDetail:
    """What is known of one flow: its state, its metadata and its atoms, in the order they were added.

    ``len()`` is the number of atoms; iteration yields their details.

    Args:
        name: name of the flow.
        uuid: UUID of the flow.

    Attributes:
        state: the state of the flow (see `states`), or None.
        meta: metadata, such as the factory that makes the flow.
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
        """UUID of the flow."""
        return self._uuid

    @property
    def name(self) -> str:
        """Name of the flow."""
        return self._name

    def add(self, ad: AtomDetail) -> None:
        """Add an atom detail; it replaces one with the same UUID."""
        self._atoms[ad.uuid] = ad

    def find(self, ad_uuid: str) -> AtomDetail | None:
        """Return the atom detail with a UUID, or None."""
        return self._atoms.get(ad_uuid)

    def __iter__(self) -> Iterator[AtomDetail]:
        return iter(self._atoms.values())

    def __len__(self) -> int:
        return len(self._atoms)

    def update(self, fd: FlowDetail) -> Self:
        """Take over state, metadata and atoms of another flow detail; all are shared."""
        if fd is not self:
            self._atoms = fd._atoms
            self.state = fd.state
            self.meta = fd.meta
        return self

    def merge(self, fd: FlowDetail, deep_copy: bool = False) -> Self:
        """Take over state and metadata of another flow detail, but not its atoms.

        Args:
            fd: the other flow detail.
            deep_copy: copy the metadata instead of sharing it.
        """
        if fd is not self:
            self.meta = copy.deepcopy(fd.meta) if deep_copy else fd.meta
            self.state = fd.state
        return self

    def copy(self, retain_contents: bool = True) -> Self:
        """Return a shallow copy.

        Args:
            retain_contents: whether it has the atom details, which are shared.
        """
        clone = copy.copy(self)
        clone._atoms = dict(self._atoms) if retain_contents else {}  # noqa: SLF001  of this class
        clone.meta = self.meta.copy()
        return clone

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary, without the atoms, that ``from_dict`` reads."""
        return {"name": self.name, "meta": self.meta, "state": self.state, "uuid": self.uuid}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the flow detail, without atoms, of a dictionary that ``to_dict`` returned."""
        obj = cls(data["name"], data["uuid"])
        obj.state = data.get("state")
        obj.meta = _meta_of(data)
        return obj

    def pformat(self, indent: int = 0, linesep: str = os.linesep) -> str:
        """Return a text for people about the flow and its atoms, with secrets masked.

        Args:
            indent: number of spaces before each line.
            linesep: the line separator.
        """
        pad = " " * indent
        lines = [
            f"{pad}FlowDetail: '{self.name}'",
            f"{pad} - uuid = {self.uuid}",
            f"{pad} - state = {self.state}",
            *_format_meta(self.meta, indent + 1),
            *(ad.pformat(indent=indent + 1, linesep=linesep) for ad in self),
        ]
        with redaction.redacting(secret_values(self.meta, self)):
            return redaction.redact(linesep.join(lines))


class LogBook:
    """A named collection of flow details.

    ``len()`` is the number of flows; iteration yields their details.

    Args:
        name: name of the logbook.
        uuid: UUID of the logbook; a new one by default.

    Attributes:
        created_at: when it was created (UTC).
        updated_at: when a flow was last added (UTC), or None.
        meta: metadata, such as the job that it was posted with.
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
        """UUID of the logbook."""
        return self._uuid

    @property
    def name(self) -> str:
        """Name of the logbook."""
        return self._name

    def add(self, fd: FlowDetail) -> None:
        """Add a flow detail; it replaces one with the same UUID."""
        self._flows[fd.uuid] = fd
        self.updated_at = _now()

    def add_stored(self, flows: Iterable[FlowDetail]) -> Self:
        """Add flow details that are stored in this logbook; ``updated_at`` does not change."""
        self._flows.update((fd.uuid, fd) for fd in flows)
        return self

    def find(self, flow_uuid: str) -> FlowDetail | None:
        """Return the flow detail with a UUID, or None."""
        return self._flows.get(flow_uuid)

    def __iter__(self) -> Iterator[FlowDetail]:
        return iter(self._flows.values())

    def __len__(self) -> int:
        return len(self._flows)

    def merge(self, lb: LogBook, deep_copy: bool = False) -> Self:
        """Take over metadata and times of another logbook, but not its flows.

        Args:
            lb: the other logbook.
            deep_copy: copy the metadata instead of sharing it.
        """
        if lb is not self:
            self.meta = copy.deepcopy(lb.meta) if deep_copy else lb.meta
            self.created_at = lb.created_at
            self.updated_at = lb.updated_at
        return self

    def copy(self, retain_contents: bool = True) -> Self:
        """Return a shallow copy.

        Args:
            retain_contents: whether it has the flow details, which are shared.
        """
        clone = copy.copy(self)
        clone._flows = dict(self._flows) if retain_contents else {}  # noqa: SLF001  of this class
        clone.meta = dict(self.meta)
        return clone

    def to_dict(self, marshal_time: bool = False) -> dict[str, Any]:
        """Return a dictionary, without the flows, that ``from_dict`` reads.

        Args:
            marshal_time: write times as ISO 8601 text.
        """
        return {
            "name": self.name,
            "meta": self.meta,
            "uuid": self.uuid,
            "updated_at": _format_time(self.updated_at) if marshal_time else self.updated_at,
            "created_at": _format_time(self.created_at) if marshal_time else self.created_at,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], unmarshal_time: bool = False) -> Self:
        """Return the logbook, without flows, of a dictionary that ``to_dict`` returned.

        Args:
            data: the dictionary.
            unmarshal_time: whether times are ISO 8601 text.
        """
        obj = cls(data["name"], uuid=data["uuid"])
        obj.updated_at = _parse_time(data["updated_at"]) if unmarshal_time else data["updated_at"]
        obj.created_at = _parse_time(data["created_at"]) if unmarshal_time else data["created_at"]
        obj.meta = _meta_of(data)
        return obj

    def pformat(self, indent: int = 0, linesep: str = os.linesep) -> str:
        """Return a text for people about the logbook and all that is in it, with secrets masked.

        Args:
            indent: number of spaces before each line.
            linesep: the line separator.
        """
        pad = " " * indent
        lines = [f"{pad}LogBook: '{self.name}'", f"{pad} - uuid = {self.uuid}"]
        lines.extend(_format_meta(self.meta, indent + 1))
        lines.extend(
            f"{pad} - {label} = {when.isoformat()}"
            for label, when in (("created_at", self.created_at), ("updated_at", self.updated_at))
            if when is not None
        )
        lines.extend(fd.pformat(indent=indent + 1, linesep=linesep) for fd in self)
        return linesep.join(lines)


# ---------------------------------------------------------------------- secrets


def secret_values(meta: Mapping[str, Any], atoms: Iterable[AtomDetail]) -> list[Any]:
    """Return the secret values of a stored flow, wherever they were passed in or produced.

    Args:
        meta: metadata of the flow, which names its secrets and the results that contain them.
        atoms: details of its atoms.
    """
    names = redaction.secret_names(meta)
    if not names:
        return []
    keys_by_atom: dict[str, list[Any]] = {}
    for atom, key in meta.get(redaction.RESULTS_KEY, ()):
        keys_by_atom.setdefault(atom, []).append(key)
    values = redaction.find_values(meta, names)
    for detail in atoms:
        values += redaction.find_values(detail.meta, names)
        for result in _results_of(detail):
            values += redaction.find_values(result, names)
            values += redaction.select_parts(result, keys_by_atom.get(detail.name, ()))
    return values


def _results_of(detail: AtomDetail) -> list[Any]:
    """Return the results of an atom: of a retry, those of all attempts."""
    if isinstance(detail, RetryDetail):
        return [value for value, _ in detail.results]
    return [] if detail.results is None else [detail.results]


# ---------------------------------------------------------------------- metadata, failures and times


def _meta_of(data: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of a serialized detail; older writers may have stored something else there."""
    meta = data.get("meta")
    return meta if isinstance(meta, dict) else {}


def _merge_progress(meta: Mapping[str, Any] | None, progress: float | None, details: Any) -> dict[str, Any]:
    """Return an atom's metadata and progress in one dictionary."""
    merged = {name: value for name, value in meta.items() if name not in _PROGRESS_KEYS} if meta else {}
    if progress is not None:
        merged["progress"] = progress
    if details is not None:
        merged["progress_details"] = details
    return merged


def _show_progress(meta: dict[str, Any], progress: float | None, details: Any) -> dict[str, Any]:
    """Update an atom's metadata with its progress, because TaskFlow programs read it there."""
    if progress is None and details is None:
        for name in _PROGRESS_KEYS:
            meta.pop(name, None)
    else:
        meta["progress"] = progress
        meta["progress_details"] = details
    return meta


def _format_meta(meta: dict[str, Any] | None, indent: int) -> list[str]:
    """Return lines for people: progress in percent, and secrets masked; none if there is no metadata."""
    if not meta:
        return []
    lines = [f"{' ' * indent}- metadata:"]
    for key, value in redaction.mask(meta, redaction.secret_names(meta)).items():
        shown = f"{value * 100.0:.2f}%" if key == "progress" and isinstance(value, (int, float)) else value
        lines.append(f"{' ' * (indent + 2)}+ {key} = {shown}")
    return lines


def _copy_failure(failure: Failure | None, deep_copy: bool) -> Failure | None:
    # A failure has a traceback, which copy.deepcopy cannot copy.
    return failure.copy() if failure and deep_copy else failure


def _wrong_kind_error(kind: str) -> exc.NotSupported:
    return exc.NotSupported(f"Can only merge with other {kind} details")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _format_time(when: dt.datetime | None) -> str | None:
    return when.isoformat() if when else None


def _parse_time(when: str | dict[str, Any] | None) -> dt.datetime | None:
    if isinstance(when, dict):  # as TaskFlow writes it
        return dt.datetime(**{part: when[part] for part in when if part != "tzname"}, tzinfo=dt.UTC)
    return dt.datetime.fromisoformat(when) if when else None
