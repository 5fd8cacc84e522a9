"""The two kinds of atom detail: of a task and of a retry."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final, Self

from stackl_flow import exceptions as exc
from stackl_flow import states
from stackl_flow.failure import Failure
from stackl_flow.persistence.details import KINDS, AtomDetail, RetryResults, wrong_kind


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
            NotImplementedError: the other detail is not a task's.
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
            NotImplementedError: the other detail is not a retry's.
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
