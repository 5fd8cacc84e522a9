"""Books, flow details and atom details: what a program sees of that which is stored.

They are plain objects in this process; nothing is stored until a connection saves them.

What is known of one atom: a task detail or a retry detail.

A process may hold a million of these, so they have slots and no dictionary until somebody asks for one.

The two kinds of atom detail: of a task and of a retry.

Notes kept with a book, a flow or an atom: out of storage, into it, and written out for people.

What is secret in a stored flow: its notes name it, and say which results go by such names.
"""

from __future__ import annotations

import copy
import datetime as dt
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, Self

from stackl_flow import exceptions as exc
from stackl_flow import redaction, states
from stackl_flow.failure import Failure

_OF_PROGRESS: Final = ("progress", "progress_details")


def plain_meta(data: dict[str, Any]) -> dict[str, Any]:
    """Take the metadata out of a stored form, whatever an older writer left there.

    Args:
        data: the stored form.

    Returns:
        A dictionary, empty if there is none.
    """
    meta = data.get("meta")
    return meta if isinstance(meta, dict) else {}


def joined_meta(meta: Mapping[str, Any] | None, progress: float | None, details: Any) -> dict[str, Any]:
    """Join an atom's notes and its progress, which stand together in storage.

    Args:
        meta: the notes.
        progress: how far the atom got, or None.
        details: what it said about that, or None.

    Returns:
        One dictionary.
    """
    joined = {name: note for name, note in meta.items() if name not in _OF_PROGRESS} if meta else {}
    if progress is not None:
        joined["progress"] = progress
    if details is not None:
        joined["progress_details"] = details
    return joined


def show_progress(meta: dict[str, Any], progress: float | None, details: Any) -> dict[str, Any]:
    """Have an atom's notes show its progress as it is now: there, and nowhere else, programs look for it.

    Args:
        meta: the notes.
        progress: how far the atom got, or None.
        details: what it said about that, or None.

    Returns:
        The same notes.
    """
    if progress is None and details is None:
        for name in _OF_PROGRESS:
            meta.pop(name, None)
    else:
        meta["progress"] = progress
        meta["progress_details"] = details
    return meta


def meta_lines(meta: dict[str, Any] | None, indent: int) -> list[str]:
    """Write notes out for people: progress in percent, and what they mark as secret left out.

    Args:
        meta: the notes.
        indent: spaces before each line.

    Returns:
        The lines; none when there are no notes.
    """
    if not meta:
        return []
    lines = [f"{' ' * indent}- metadata:"]
    for key, value in redaction.mask(meta, redaction.secret_names(meta)).items():
        shown = f"{value * 100.0:.2f}%" if key == "progress" and isinstance(value, (int, float)) else value
        lines.append(f"{' ' * (indent + 2)}+ {key} = {shown}")
    return lines


RetryResults = list[tuple[Any, dict[str, Failure]]]


def new_uuids(count: int) -> list[str]:
    """Make many random (version 4) uuids at the price of one call to the system.

    Args:
        count: how many.

    Returns:
        The uuids as text.
    """
    noise = os.urandom(16 * count).hex()
    made = []
    for start in range(0, 32 * count, 32):
        text = noise[start : start + 32]
        variant = "89ab"[int(text[16], 16) & 3]
        made.append(f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}")
    return made


def new_uuid() -> str:
    """Make one random uuid.

    Returns:
        The uuid as text.
    """
    return new_uuids(1)[0]


class AtomDetail(ABC):
    """What is known of one atom: where it stands, what is intended with it and what it gave.

    Args:
        name: the atom's name.
        uuid: its identity in storage.

    Attributes:
        name: the atom's name.
        uuid: its identity in storage.
        state: where the atom stands, a word of ``states``, or None.
        intention: what the engine means to do with it.
        results: what ``execute`` gave.
        failure: why ``execute`` failed, or None.
        revert_results: what ``revert`` gave.
        revert_failure: why ``revert`` failed, or None.
        version: the atom's version when it was first stored.
        reported_progress: how far it said that it got, 0.0 to 1.0, or None if silent since its last move.
        progress_details: what it said about its progress.
    """

    __slots__ = (
        "_meta",
        "failure",
        "intention",
        "name",
        "progress_details",
        "reported_progress",
        "results",
        "revert_failure",
        "revert_results",
        "state",
        "uuid",
        "version",
    )

    #: How far an atom got that said nothing, by its state: what a state implies is not stored with it.
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

    @property
    def meta(self) -> dict[str, Any]:
        """Free notes about the atom; "progress" and "progress_details" are shown among them once known."""
        self._meta = show_progress(self._meta or {}, self.progress, self.progress_details)
        return self._meta

    @meta.setter
    def meta(self, meta: dict[str, Any] | None) -> None:
        self.reported_progress = self.progress_details = None
        self.load_meta(meta)

    @property
    def has_meta(self) -> bool:
        """Whether there are any notes (asking for ``meta`` itself makes a dictionary to hold them)."""
        return bool(self._meta)

    @property
    def progress(self) -> float | None:
        """How far the atom got, 0.0 to 1.0: what it said, or else what its state implies; None if unknown."""
        told = self.reported_progress
        return self.IMPLIED_PROGRESS.get(self.state or "") if told is None else told

    @progress.setter
    def progress(self, progress: float | None) -> None:
        self.reported_progress = progress

    @property
    def last_results(self) -> Any:
        """The latest result."""
        return self.results

    def stored_meta(self) -> dict[str, Any] | None:
        """Join the notes and the progress, as they are stored.

        Returns:
            One dictionary, or None when there is nothing to store.
        """
        told = self.reported_progress
        if self._meta is None and told is None and self.progress_details is None:
            return None  # nearly always, and asked for each move
        if told is not None and told == self.IMPLIED_PROGRESS.get(self.state or ""):
            told = None
        return joined_meta(self._meta, told, self.progress_details) or None

    def _notes(self) -> dict[str, Any]:
        return joined_meta(self._meta, self.progress, self.progress_details)

    def load_meta(self, meta: dict[str, Any] | None) -> None:
        """Take notes and progress from their stored form.

        Args:
            meta: what ``stored_meta`` gave.
        """
        if meta and ("progress" in meta or "progress_details" in meta):
            meta = dict(meta)
            self.reported_progress = meta.pop("progress", None)
            self.progress_details = meta.pop("progress_details", None)
        self._meta = meta or None

    def update(self, ad: AtomDetail) -> Self:
        """Become the same as another detail, sharing its values.

        Args:
            ad: the other detail.

        Returns:
            This detail.
        """
        if ad is not self:
            for slot in AtomDetail.__slots__:
                if slot not in ("name", "uuid"):
                    setattr(self, slot, getattr(ad, slot))
        return self

    @abstractmethod
    def merge(self, other: AtomDetail, deep_copy: bool = False) -> Self:
        """Take over what another detail of the same atom knows.

        Args:
            other: the other detail; results are shared, never copied.
            deep_copy: copy notes, version and failures instead of sharing them.

        Returns:
            This detail.

        Raises:
            NotSupported: the other detail is of another kind.
        """
        self.state = other.state
        self.intention = other.intention
        self.failure = _failure(other.failure, deep_copy)
        self.revert_failure = _failure(other.revert_failure, deep_copy)
        self._meta = copy.deepcopy(other._meta) if deep_copy else other._meta
        self.version = copy.deepcopy(other.version) if deep_copy else other.version
        self.reported_progress = other.reported_progress
        self.progress_details = other.progress_details
        self.revert_results = other.revert_results
        return self

    @abstractmethod
    def put(self, state: str, result: Any) -> bool:
        """Note that the atom came to a state with a result.

        Args:
            state: the new state.
            result: a value, or a failure for the failed states.

        Returns:
            True when that changed anything.
        """

    def reset(self, state: str | None) -> None:
        """Forget results and failures, and mean to execute again.

        Args:
            state: the state to stand in from now on.
        """
        self.results = None
        self.failure = None
        self.revert_results = None
        self.revert_failure = None
        self.state = state
        self.intention = states.EXECUTE

    def copy(self) -> Self:
        """Make a shallow copy.

        Returns:
            A detail of its own that shares its results with this one.
        """
        clone = copy.copy(self)
        clone._meta = dict(self._meta) if self._meta else None  # noqa: SLF001  our own
        clone.version = copy.copy(self.version)
        return clone

    def to_dict(self) -> dict[str, Any]:
        """Turn this detail into a dictionary.

        Returns:
            What ``from_dict`` reads.
        """
        return {
            "failure": self.failure.to_dict() if self.failure else None,
            "revert_failure": self.revert_failure.to_dict() if self.revert_failure else None,
            "meta": self._notes(),
            "name": self.name,
            "results": self.results,
            "revert_results": self.revert_results,
            "state": self.state,
            "version": self.version,
            "intention": self.intention,
            "uuid": self.uuid,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild a detail.

        Args:
            data: what ``to_dict`` gave.

        Returns:
            A new detail.
        """
        obj = cls(data["name"], data["uuid"])
        obj.state = data.get("state")
        obj.intention = data.get("intention")
        obj.results = data.get("results")
        obj.revert_results = data.get("revert_results")
        obj.version = data.get("version")
        obj.load_meta(plain_meta(data))
        failure, revert_failure = data.get("failure"), data.get("revert_failure")
        obj.failure = Failure.from_dict(failure) if failure else None
        obj.revert_failure = Failure.from_dict(revert_failure) if revert_failure else None
        return obj

    def pformat(self, indent: int = 0, linesep: str = os.linesep) -> str:
        """Write this detail out for people.

        Args:
            indent: spaces before each line.
            linesep: what ends a line.

        Returns:
            The text.
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
            *meta_lines(self._notes(), indent + 1),
        ]
        return linesep.join(lines)


def _failure(failure: Failure | None, deep_copy: bool) -> Failure | None:
    # A failure holds a traceback, which copy.deepcopy cannot take.
    return failure.copy() if failure and deep_copy else failure


KINDS: Final = ("TASK_DETAIL", "RETRY_DETAIL")


def wrong_kind(wanted: str) -> exc.NotSupported:
    """Make the error for merging details of two kinds.

    Args:
        wanted: the kind that can be merged.

    Returns:
        The error, to be raised.
    """
    return exc.NotSupported(f"Can only merge with other {wanted} details")


class TaskDetail(AtomDetail):
    """What is known of a task."""

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
        """Note that the task came to a state with a result.

        Args:
            state: the new state.
            result: a value, or a failure for the failed states.

        Returns:
            True when that changed anything.
        """
        before = (self.state, self.results, self.failure, self.revert_results, self.revert_failure)
        self.state = state
        if state == states.SUCCESS:
            self._keep(results=result)
        elif state == states.FAILURE:
            self._keep(failure=result)
        elif state == states.REVERTED:
            self._keep(results=self.results, failure=self.failure, revert_results=result)
        elif state == states.REVERT_FAILURE:
            self._keep(failure=self.failure, revert_failure=result)
        after = (self.state, self.results, self.failure, self.revert_results, self.revert_failure)
        # Users' values are compared by identity: nobody knows what their == does.
        return any(old is not new for old, new in zip(before, after, strict=True))

    def _keep(
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
        """Take over what another detail of the same task knows.

        Args:
            other: the other detail; results are shared, never copied.
            deep_copy: copy notes, version and failures instead of sharing them.

        Returns:
            This detail.

        Raises:
            NotSupported: the other detail is not a task's.
        """
        if not isinstance(other, TaskDetail):
            raise wrong_kind("task")
        if other is not self:
            super().merge(other, deep_copy=deep_copy)
            self.results = other.results
        return self


class RetryDetail(AtomDetail):
    """What is known of a retry.

    Its results are a list: for each attempt what the retry gave, and the failures of the atoms below it, by
    name.

    Args:
        name: the retry's name.
        uuid: its identity in storage.
    """

    __slots__ = ()

    def __init__(self, name: str, uuid: str) -> None:
        super().__init__(name, uuid)
        self.results: RetryResults = []

    @property
    def last_results(self) -> Any:
        """What the retry gave for the latest attempt.

        Raises:
            NotFound: there was none yet.
        """
        return self._last()[0]

    @property
    def last_failures(self) -> dict[str, Failure]:
        """The failures of the latest attempt, by atom name.

        Raises:
            NotFound: there was no attempt yet.
        """
        return self._last()[1]

    def _last(self) -> tuple[Any, dict[str, Failure]]:
        if not self.results:
            raise exc.NotFound(f"Last results not found: retry '{self.name}' made no attempt yet")
        return self.results[-1]

    def reset(self, state: str | None) -> None:
        """Forget all attempts and failures, and mean to execute again.

        Args:
            state: the state to stand in from now on.
        """
        super().reset(state)
        self.results = []

    def put(self, state: str, result: Any) -> bool:
        """Note that the retry came to a state with a result; earlier attempts are kept.

        Args:
            state: the new state.
            result: a value, or a failure for the failed states.

        Returns:
            True when that changed anything.
        """
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
        """Take over what another detail of the same retry knows.

        Args:
            other: the other detail; values are shared, never copied.
            deep_copy: copy notes, version and failures instead of sharing them.

        Returns:
            This detail.

        Raises:
            NotSupported: the other detail is not a retry's.
        """
        if not isinstance(other, RetryDetail):
            raise wrong_kind("retry")
        if other is not self:
            super().merge(other, deep_copy=deep_copy)
            self.results = [
                (value, {name: f.copy() if deep_copy else f for name, f in failures.items()})
                for value, failures in other.results
            ]
        return self

    def copy(self) -> Self:
        """Make a copy whose list of attempts can grow alone.

        Returns:
            A detail of its own that shares its values with this one.
        """
        clone = super().copy()
        clone.results = [(value, dict(failures)) for value, failures in self.results]
        return clone

    def to_dict(self) -> dict[str, Any]:
        """Turn this detail into a dictionary.

        Returns:
            What ``from_dict`` reads.
        """
        base = super().to_dict()
        base["results"] = [
            (value, {name: failure.to_dict() for name, failure in failures.items()})
            for value, failures in self.results
        ]
        return base

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild a detail.

        Args:
            data: what ``to_dict`` gave.

        Returns:
            A new detail.
        """
        obj = super().from_dict(data)
        obj.results = [
            (value, {name: Failure.from_dict(failure) for name, failure in failures.items()})
            for value, failures in data.get("results") or ()
        ]
        return obj


_CLASSES: Final[dict[str, type[AtomDetail]]] = dict(zip(KINDS, (TaskDetail, RetryDetail), strict=True))
_KINDS: Final = {cls: kind for kind, cls in _CLASSES.items()}
ATOM_TYPES: Final = list(KINDS)


def atom_detail_class(atom_type: str) -> type[AtomDetail]:
    """Find the class for a kind of atom detail.

    Args:
        atom_type: "TASK_DETAIL" or "RETRY_DETAIL".

    Returns:
        The class.

    Raises:
        TypeError: there is no such kind.
    """
    try:
        return _CLASSES[atom_type]
    except KeyError:
        raise TypeError(f"Unknown atom type '{atom_type}'; known are {ATOM_TYPES}") from None


def atom_detail_type(atom_detail: AtomDetail) -> str:
    """Name the kind of an atom detail.

    Args:
        atom_detail: the detail.

    Returns:
        "TASK_DETAIL" or "RETRY_DETAIL".

    Raises:
        TypeError: it is no atom detail.
    """
    try:
        return _KINDS[type(atom_detail)]
    except KeyError:
        raise TypeError(f"Unknown atom '{atom_detail}' ({type(atom_detail)})") from None


def secret_values(notes: Mapping[str, Any], atoms: Iterable[AtomDetail]) -> list[Any]:
    """Find the secrets in what is stored of a flow.

    Args:
        notes: the flow's notes.
        atoms: the details of its atoms.

    Returns:
        The values that are marked, wherever they were given or provided.
    """
    names = redaction.secret_names(notes)
    if not names:
        return []
    places: dict[str, list[Any]] = {}
    for atom, place in notes.get(redaction.RESULTS_KEY, ()):
        places.setdefault(atom, []).append(place)
    found = redaction.find_values(notes, names)
    for detail in atoms:
        found += redaction.find_values(detail.meta, names)
        for result in _results(detail):
            found += redaction.find_values(result, names)
            found += redaction.select_parts(result, places.get(detail.name, ()))
    return found


def redact_secrets(text: str, notes: Mapping[str, Any], atoms: Iterable[AtomDetail]) -> str:
    """Take the secrets of a flow out of a text about it.

    Args:
        text: the text.
        notes: the flow's notes.
        atoms: the details of its atoms.

    Returns:
        The text with ``***`` in their place.
    """
    with redaction.redacting(secret_values(notes, atoms)):
        return redaction.redact(text)


def _results(detail: AtomDetail) -> list[Any]:
    """List what an atom gave: of a retry, in each of its attempts."""
    if isinstance(detail, RetryDetail):
        return [value for value, _ in detail.results]
    return [] if detail.results is None else [detail.results]


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
        return redact_secrets(linesep.join(lines), self.meta, self)
