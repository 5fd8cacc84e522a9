"""TaskFlow's `taskflow.storage`: ours, and the ways to write into it that TaskFlow offers besides.

An engine of ours writes by its ledger. Programs and tests written for TaskFlow also write by hand, mostly to
set the stage: to make a flow look as if its process had died in the middle of something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final, Self

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.engines import storage
from stackl_flow.engines.given import META_INJECTED, Given
from stackl_flow.engines.ledger import Ledger, _value_of
from stackl_flow.engines.options import Options
from stackl_flow.engines.scopes import Providers
from stackl_flow.failure import Failure
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import AtomDetail, FlowDetail, RetryDetail, TaskDetail

META_PROGRESS: Final = "progress"
META_PROGRESS_DETAILS: Final = "progress_details"

Pairs = Mapping[str, Any] | Iterable[tuple[str, Any]]


class Storage(storage.Storage):
    """Answers for one flow, and lets itself be written.

    Args:
        flow_detail: the flow.
        backend: where it is stored; None keeps it in this process.
        scope_fetcher: has no meaning here: who sees what is known from the plan.
    """

    #: Stands for the values injected into the whole flow, where TaskFlow has an atom of this name.
    injector_name: ClassVar[str] = "_TaskFlow_INJECTOR"

    def __init__(
        self,
        flow_detail: FlowDetail,
        backend: Backend | None = None,
        scope_fetcher: Callable[[str], Any] | None = None,
    ) -> None:
        del scope_fetcher
        told = Options.read({})
        ledger = Ledger(flow_detail, backend, told.clock, told.owner)
        super().__init__(ledger, Given(ledger), lambda: None)

    @classmethod
    def of(cls, ledger: Ledger, given: Given, providers: Callable[[], Providers | None]) -> Self:
        """Make the storage of an engine.

        Args:
            ledger: the engine's.
            given: values from outside.
            providers: tells who provides what, once the flow is compiled.

        Returns:
            The storage.
        """
        made = cls.__new__(cls)
        storage.Storage.__init__(made, ledger, given, providers)
        return made

    @property
    def _flowdetail(self) -> FlowDetail:
        # TaskFlow's own name: its users have no other way from an engine to what it knows of the flow.
        return self._ledger.flow

    # ------------------------------------------------------------- writing

    def _write(self, detail: AtomDetail) -> None:
        """Have the ledger notice what was changed behind its back, and store it."""
        ledger = self._ledger
        if detail.failure is None and detail.revert_failure is None:
            ledger.failed.pop(detail.name, None)
        else:
            ledger.failed[detail.name] = detail
        number = None if ledger.plan is None else ledger.plan.index.get(detail.name)
        if number is not None:
            ledger.values[number] = _value_of(detail)
        ledger.touch(detail)
        ledger.commit()

    def _retry(self, retry_name: str) -> RetryDetail:
        detail = self._detail(retry_name)
        if not isinstance(detail, RetryDetail):
            raise TypeError(f"Atom '{retry_name}' is not of the expected type: it is a task, not a retry")
        return detail

    def _task(self, task_name: str) -> TaskDetail:
        detail = self._detail(task_name)
        if not isinstance(detail, TaskDetail):
            raise TypeError(f"Atom '{task_name}' is not of the expected type: it is a retry, not a task")
        return detail

    def set_flow_state(self, state: str) -> None:
        """Put the flow into a state, whatever state it is in.

        Args:
            state: a word of ``states``.
        """
        self._ledger.flow.state = state
        self._ledger._page.flow_moved = True  # noqa: SLF001  the ledger's own verb refuses moves that are not allowed
        self._ledger.commit()

    def set_atom_state(self, atom_name: str, state: str) -> None:
        """Put an atom into a state, whatever state it is in.

        Args:
            atom_name: its name.
            state: a word of ``states``.
        """
        detail = self._detail(atom_name)
        if detail.state != state:
            detail.state = state
            self._write(detail)

    def save(self, atom_name: str, result: Any, state: str = st.SUCCESS) -> None:
        """Put an atom into a state with a result.

        Args:
            atom_name: its name, or ``injector_name`` for the values injected into the flow.
            result: the result, or the failure.
            state: a word of ``states``.
        """
        if atom_name == self.injector_name:
            self.update_flow_metadata({META_INJECTED: dict(result)})
            return
        detail = self._detail(atom_name)
        if detail.put(state, result):
            self._write(detail)

    def reset(self, atom_name: str, state: str = st.PENDING) -> None:
        """Have an atom forget what it gave, unless it is in that state already.

        Args:
            atom_name: its name.
            state: the state to stand in from now on.
        """
        if atom_name == self.injector_name:
            return
        detail = self._detail(atom_name)
        if detail.state != state:
            detail.reset(state)
            self._write(detail)

    def save_retry_failure(self, retry_name: str, failed_atom_name: str, failure: Failure) -> None:
        """Note with a retry's latest attempt that an atom failed.

        Args:
            retry_name: the retry.
            failed_atom_name: the atom; only its first failure is kept.
            failure: what went wrong.

        Raises:
            StorageFailure: the retry made no attempt yet.
        """
        detail = self._retry(retry_name)
        if not detail.results:
            raise exc.StorageFailure(
                f"Unable to note that '{failed_atom_name}' failed: retry '{retry_name}' made no attempt yet"
            )
        if failed_atom_name not in detail.last_failures:
            detail.last_failures[failed_atom_name] = failure
            self._write(detail)

    def cleanup_retry_history(self, retry_name: str, state: str) -> None:
        """Have a retry forget its attempts.

        Args:
            retry_name: the retry.
            state: the state to stand in from now on.
        """
        detail = self._retry(retry_name)
        detail.state = state
        detail.results = []
        self._write(detail)

    def set_task_progress(
        self, task_name: str, progress: float, details: Mapping[str, Any] | None = None
    ) -> None:
        """Note how far a task has come.

        Args:
            task_name: its name.
            progress: from 0.0 to 1.0.
            details: what there is to say besides; None leaves what was said before.
        """
        detail = self._task(task_name)
        detail.progress = progress
        if details is not None:
            told = {"at_progress": progress, "details": dict(details)}
            detail.progress_details = told if details else None
        self._write(detail)

    # ------------------------------------------------------------- as ours, with more ways to give pairs

    def update_atom_metadata(self, atom_name: str, update_with: Pairs | None) -> None:
        """Add to the notes kept with an atom.

        Args:
            atom_name: its name.
            update_with: notes by name, or pairs, or nothing.
        """
        super().update_atom_metadata(atom_name, dict(update_with or ()))
        self._ledger.commit()

    def inject(self, pairs: Pairs, transient: bool = False) -> None:
        """Give values to the whole flow.

        Args:
            pairs: values by name, or pairs.
            transient: keep them in this process only.
        """
        super().inject(dict(pairs), transient)
