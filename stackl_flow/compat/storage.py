"""TaskFlow's `taskflow.storage`: ours, and the ways to write into it that TaskFlow offers besides.

An engine of ours writes by its journal. Programs and tests written for TaskFlow also write by hand, mostly to
set the stage: to make a flow look as if its process had died in the middle of something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar, Final, Self

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.atom import Atom
from stackl_flow.clock import SYSTEM
from stackl_flow.compat.persistence.backends.impl_memory import MemoryBackend
from stackl_flow.compat.storage_writers import ByHand, Desk, Lock, OfEngine, Scopes, kind_of
from stackl_flow.compat.utils.misc import get_version_string
from stackl_flow.engines import storage
from stackl_flow.engines.journal import Journal
from stackl_flow.engines.values import META_INJECTED, InjectedValues, Providers
from stackl_flow.failure import Failure
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import AtomDetail, FlowDetail, RetryDetail, TaskDetail, new_uuid

META_PROGRESS: Final = "progress"
META_PROGRESS_DETAILS: Final = "progress_details"
#: States in which an atom may have a result.
STATES_WITH_RESULTS: Final = tuple(
    sorted((st.SUCCESS, st.FAILURE, st.REVERTING, st.REVERTED, st.REVERT_FAILURE))
)

Pairs = Mapping[str, Any] | Iterable[tuple[str, Any]]


class Storage(storage.Storage):
    """Answers for one flow, and lets itself be written.

    Args:
        flow_detail: the flow.
        backend: where it is stored; None keeps it in this process.
        scope_fetcher: tells of an atom's name which others it can see; none if left out.
    """

    #: Stands for the values injected into the whole flow, where TaskFlow has an atom of this name.
    injector_name: ClassVar[str] = "_TaskFlow_INJECTOR"

    def __init__(
        self,
        flow_detail: FlowDetail,
        backend: Backend | None = None,
        scope_fetcher: Callable[[str], Scopes | None] | None = None,
    ) -> None:
        journal = Journal(flow_detail, None, SYSTEM, owner="")
        desk = ByHand(journal, backend, scope_fetcher)
        self._set_up(desk, journal, InjectedValues(journal), lambda: desk.providers)

    @classmethod
    def for_engine(
        cls, journal: Journal, injected: InjectedValues, providers: Callable[[], Providers | None]
    ) -> Self:
        """Make the storage of an engine.

        Args:
            journal: the engine's.
            injected: injected values.
            providers: tells who provides what, once the flow is compiled.

        Returns:
            The storage.
        """
        made = cls.__new__(cls)
        made._set_up(OfEngine(journal), journal, injected, providers)  # noqa: SLF001  our own
        return made

    def _set_up(
        self,
        desk: Desk,
        journal: Journal,
        injected: InjectedValues,
        providers: Callable[[], Providers | None],
    ) -> None:
        super().__init__(journal, injected, providers)
        self._desk = desk
        self._lock = Lock()

    @property
    def lock(self) -> Lock:
        """What is held while something is written by hand."""
        return self._lock

    @property
    def backend(self) -> Any:
        """Where the flow is stored; where that is nowhere, a backend in memory that shows it."""
        return self._desk.backend or self._shown

    @cached_property
    def _shown(self) -> MemoryBackend:
        return MemoryBackend({"deep_copy": False}, flow_detail=self._journal.flow)

    @property
    def _flowdetail(self) -> FlowDetail:
        # TaskFlow's own name: its users have no other way from an engine to what it knows of the flow.
        return self._journal.flow

    # ------------------------------------------------------------- the flow

    def set_flow_state(self, state: str) -> None:
        """Put the flow into a state, whatever state it is in.

        Args:
            state: a word of ``states``.
        """
        with self._lock.write_lock():
            self._desk.keep_flow(state)

    def change_flow_state(self, state: str) -> tuple[bool, str]:
        """Move the flow, and write that down.

        Args:
            state: where it goes.

        Returns:
            Whether it moved, and where it was.

        Raises:
            InvalidState: the move is not allowed.
        """
        with self._lock.write_lock():
            moved = super().change_flow_state(state)
            self._desk.keep_flow()
            return moved

    def update_flow_metadata(self, update_with: Pairs | None) -> None:
        """Add to the notes kept with the flow.

        Args:
            update_with: notes by name, or pairs, or nothing.
        """
        with self._lock.write_lock():
            super().update_flow_metadata(dict(update_with or ()))
            self._desk.keep_flow()

    def inject(self, pairs: Pairs, transient: bool = False) -> None:
        """Give values to the whole flow.

        Args:
            pairs: values by name, or pairs.
            transient: keep them in this process only.
        """
        with self._lock.write_lock():
            super().inject(dict(pairs), transient)
            if not transient:
                self._desk.keep_flow()

    # ------------------------------------------------------------- atoms

    def ensure_atoms(self, atoms: Iterable[Atom]) -> list[str]:
        """See that each atom has a detail.

        Args:
            atoms: tasks and retries.

        Returns:
            The identities of their details.

        Raises:
            TypeError: something is neither a task nor a retry.
            ValueError: one has no name.
            Duplicate: a task has the name of a retry, or the other way round.
        """
        with self._lock.write_lock():
            wanted = list(atoms)
            fresh: dict[str, AtomDetail] = {}
            for atom in wanted:
                kind = kind_of(atom)
                known = self._journal.by_name.get(str(atom.name)) or fresh.get(str(atom.name))
                if known is None:
                    detail = fresh[str(atom.name)] = kind(str(atom.name), new_uuid())
                    detail.state, detail.version = st.PENDING, get_version_string(atom)
                elif not isinstance(known, kind):
                    raise exc.Duplicate(
                        f"Atom detail '{atom.name}' already exists in flow detail '{self.flow_name}',"
                        f" and is no {kind.__name__}"
                    )
            self._desk.add(list(fresh.values()), wanted)
            return [self.get_atom_uuid(str(atom.name)) for atom in wanted]

    def ensure_atom(self, atom: Atom) -> str:
        """See that an atom has a detail.

        Args:
            atom: a task or a retry.

        Returns:
            The identity of its detail.
        """
        return self.ensure_atoms([atom])[0]

    @contextmanager
    def _changing(self, atom_name: str, kind: type[AtomDetail] = AtomDetail) -> Iterator[Any]:
        """Give an atom's detail to be changed, and store it; nothing has changed if that fails."""
        with self._lock.write_lock():
            detail = self._detail(atom_name)
            if not isinstance(detail, kind):
                raise TypeError(f"Atom '{atom_name}' is not of the expected type: {kind.__name__}")
            changed = detail.copy()
            yield changed
            self._desk.keep(detail, changed)

    def set_atom_state(self, atom_name: str, state: str) -> None:
        """Put an atom into a state, whatever state it is in.

        Args:
            atom_name: its name.
            state: a word of ``states``.
        """
        if self._detail(atom_name).state != state:
            with self._changing(atom_name) as detail:
                detail.state = state

    def set_atom_intention(self, atom_name: str, intention: str) -> None:
        """Say what is to be done with an atom.

        Args:
            atom_name: its name.
            intention: one of ``states.INTENTIONS``.
        """
        if self._detail(atom_name).intention != intention:
            with self._changing(atom_name) as detail:
                detail.intention = intention

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
        with self._changing(atom_name) as detail:
            detail.put(state, result)

    def reset(self, atom_name: str, state: str = st.PENDING) -> None:
        """Have an atom forget what it gave, unless it is in that state already.

        Args:
            atom_name: its name.
            state: the state to stand in from now on.
        """
        if atom_name != self.injector_name and self._detail(atom_name).state != state:
            with self._changing(atom_name) as detail:
                detail.reset(state)

    def save_retry_failure(self, retry_name: str, failed_atom_name: str, failure: Failure) -> None:
        """Note with a retry's latest attempt that an atom failed.

        Args:
            retry_name: the retry.
            failed_atom_name: the atom; only its first failure is kept.
            failure: what went wrong.

        Raises:
            StorageFailure: the retry made no attempt yet.
        """
        with self._changing(retry_name, RetryDetail) as detail:
            if not detail.results:
                raise exc.StorageFailure(
                    f"Unable to note that '{failed_atom_name}' failed:"
                    f" retry '{retry_name}' made no attempt yet"
                )
            detail.last_failures.setdefault(failed_atom_name, failure)

    def cleanup_retry_history(self, retry_name: str, state: str) -> None:
        """Have a retry forget its attempts.

        Args:
            retry_name: the retry.
            state: the state to stand in from now on.
        """
        with self._changing(retry_name, RetryDetail) as detail:
            detail.state, detail.results = state, []

    def set_task_progress(
        self, task_name: str, progress: float, details: Mapping[str, Any] | None = None
    ) -> None:
        """Note how far a task has come.

        Args:
            task_name: its name.
            progress: from 0.0 to 1.0.
            details: what there is to say besides; None leaves what was said before.
        """
        with self._changing(task_name, TaskDetail) as detail:
            detail.progress = progress
            if details is not None:
                told = {"at_progress": progress, "details": dict(details)}
                detail.progress_details = told if details else None

    def update_atom_metadata(self, atom_name: str, update_with: Pairs | None) -> None:
        """Add to the notes kept with an atom.

        Args:
            atom_name: its name.
            update_with: notes by name, or pairs, or nothing.
        """
        notes = dict(update_with or ())
        if notes:
            with self._changing(atom_name) as detail:
                detail.meta = {**detail.meta, **notes}

    def inject_atom_args(self, atom_name: str, pairs: Pairs, transient: bool = True) -> None:
        """Give values to one atom.

        Args:
            atom_name: its name.
            pairs: values by name, or pairs.
            transient: keep them in this process only.
        """
        with self._lock.write_lock():
            super().inject_atom_args(atom_name, dict(pairs), transient)
            if not transient:
                detail = self._detail(atom_name)
                self._desk.keep(detail, detail)
