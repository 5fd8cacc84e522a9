"""What is known of one atom: a task detail or a retry detail.

A process may hold a million of these, so they have slots and no dictionary until somebody asks for one.
"""

from __future__ import annotations

import copy
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

from stackl_flow import exceptions as exc
from stackl_flow import states
from stackl_flow.failure import Failure
from stackl_flow.persistence.notes import joined_meta, meta_lines, plain_meta, show_progress

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
        told_progress: how far it said that it got, 0.0 to 1.0, or None if silent since its last move.
        progress_details: what it said about its progress.
    """

    __slots__ = (
        "_meta",
        "failure",
        "intention",
        "name",
        "progress_details",
        "results",
        "revert_failure",
        "revert_results",
        "state",
        "told_progress",
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
        self.told_progress: float | None = None
        self.progress_details: Any = None

    @property
    def meta(self) -> dict[str, Any]:
        """Free notes about the atom; "progress" and "progress_details" are shown among them once known."""
        self._meta = show_progress(self._meta or {}, self.progress, self.progress_details)
        return self._meta

    @meta.setter
    def meta(self, meta: dict[str, Any] | None) -> None:
        self.told_progress = self.progress_details = None
        self.load_meta(meta)

    @property
    def has_meta(self) -> bool:
        """Whether there are any notes (asking for ``meta`` itself makes a dictionary to hold them)."""
        return bool(self._meta)

    @property
    def progress(self) -> float | None:
        """How far the atom got, 0.0 to 1.0: what it said, or else what its state implies; None if unknown."""
        told = self.told_progress
        return self.IMPLIED_PROGRESS.get(self.state or "") if told is None else told

    @progress.setter
    def progress(self, progress: float | None) -> None:
        self.told_progress = progress

    @property
    def last_results(self) -> Any:
        """The latest result."""
        return self.results

    def stored_meta(self) -> dict[str, Any] | None:
        """Join the notes and the progress, as they are stored.

        Returns:
            One dictionary, or None when there is nothing to store.
        """
        told = self.told_progress
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
            self.told_progress = meta.pop("progress", None)
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
            NotImplementedError: the other detail is of another kind.
        """
        self.state = other.state
        self.intention = other.intention
        self.failure = _failure(other.failure, deep_copy)
        self.revert_failure = _failure(other.revert_failure, deep_copy)
        self._meta = copy.deepcopy(other._meta) if deep_copy else other._meta
        self.version = copy.deepcopy(other.version) if deep_copy else other.version
        self.told_progress = other.told_progress
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


def wrong_kind(wanted: str) -> exc.NotImplementedError:
    """Make the error for merging details of two kinds.

    Args:
        wanted: the kind that can be merged.

    Returns:
        The error, to be raised.
    """
    return exc.NotImplementedError(f"Can only merge with other {wanted} details")
