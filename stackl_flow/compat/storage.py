"""TaskFlow's `taskflow.storage`: the storage of an engine, and TaskFlow's methods to write to it.

An engine of this library writes through its journal. Programs and tests written for TaskFlow also write
directly, mostly to prepare a state, such as that of a flow whose process died.
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
from stackl_flow.compat.storage_writers import (
    BackendWriter,
    JournalWriter,
    Lock,
    Scopes,
    StorageWriter,
    detail_class,
)
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
    """The values and states of one flow, with methods to change them.

    Args:
        flow_detail: the flow.
        backend: where the flow is stored; None: only in this process.
        scope_fetcher: returns the names of the atoms that are visible to an atom; by default none.

    Attributes:
        injector_name: the name of the atom that, in TaskFlow, has the values injected into the flow.
    """

    injector_name: ClassVar[str] = "_TaskFlow_INJECTOR"

    def __init__(
        self,
        flow_detail: FlowDetail,
        backend: Backend | None = None,
        scope_fetcher: Callable[[str], Scopes | None] | None = None,
    ) -> None:
        journal = Journal(flow_detail, None, SYSTEM, owner="")
        writer = BackendWriter(journal, backend, scope_fetcher)
        self._initialize(writer, journal, InjectedValues(journal), lambda: writer.providers)

    @classmethod
    def for_engine(
        cls, journal: Journal, injected: InjectedValues, providers: Callable[[], Providers | None]
    ) -> Self:
        """Create the storage of an engine.

        Args:
            journal: the journal of the engine.
            injected: the injected values.
            providers: returns the providers of names, once the flow is compiled.
        """
        instance = cls.__new__(cls)
        instance._initialize(JournalWriter(journal), journal, injected, providers)  # noqa: SLF001
        return instance

    def _initialize(
        self,
        writer: StorageWriter,
        journal: Journal,
        injected: InjectedValues,
        providers: Callable[[], Providers | None],
    ) -> None:
        super().__init__(journal, injected, providers)
        self._writer = writer
        self._lock = Lock()

    @property
    def lock(self) -> Lock:
        """The lock that is held during writes."""
        return self._lock

    @property
    def backend(self) -> Any:
        """The backend; without one, an in-memory backend with a copy of the flow."""
        return self._writer.backend or self._memory_backend

    @cached_property
    def _memory_backend(self) -> MemoryBackend:
        return MemoryBackend({"deep_copy": False}, flow_detail=self._journal.flow)

    @property
    def _flowdetail(self) -> FlowDetail:
        # TaskFlow's name; its users have no other access to the flow detail of an engine.
        return self._journal.flow

    # ------------------------------------------------------------- the flow

    def set_flow_state(self, state: str) -> None:
        """Set the state of the flow, without checking the transition."""
        with self._lock.write_lock():
            self._writer.save_flow(state)

    def change_flow_state(self, state: str) -> tuple[bool, str]:
        """Change the state of the flow and store it.

        Returns:
            Whether the state changed, and the previous state.

        Raises:
            InvalidState: the transition is not allowed.
        """
        with self._lock.write_lock():
            change = super().change_flow_state(state)
            self._writer.save_flow()
            return change

    def update_flow_metadata(self, update_with: Pairs | None) -> None:
        """Add to the metadata of the flow."""
        with self._lock.write_lock():
            super().update_flow_metadata(dict(update_with or ()))
            self._writer.save_flow()

    def inject(self, pairs: Pairs, transient: bool = False) -> None:
        """Inject values into the flow.

        Args:
            pairs: values by name, or pairs.
            transient: keep them in this process only.
        """
        with self._lock.write_lock():
            super().inject(dict(pairs), transient)
            if not transient:
                self._writer.save_flow()

    # ------------------------------------------------------------- atoms

    def ensure_atoms(self, atoms: Iterable[Atom]) -> list[str]:
        """Create the details of atoms that have none, and return the UUIDs of all.

        Raises:
            TypeError: an object is neither a task nor a retry.
            ValueError: an atom has no name.
            Duplicate: a task has the name of a retry, or vice versa.
        """
        with self._lock.write_lock():
            all_atoms = list(atoms)
            added: dict[str, AtomDetail] = {}
            for atom in all_atoms:
                kind = detail_class(atom)
                existing = self._journal.by_name.get(str(atom.name)) or added.get(str(atom.name))
                if existing is None:
                    detail = added[str(atom.name)] = kind(str(atom.name), new_uuid())
                    detail.state, detail.version = st.PENDING, get_version_string(atom)
                elif not isinstance(existing, kind):
                    raise exc.Duplicate(
                        f"Atom detail '{atom.name}' already exists in flow detail '{self.flow_name}',"
                        f" and is not a {kind.__name__}"
                    )
            self._writer.add(list(added.values()), all_atoms)
            return [self.get_atom_uuid(str(atom.name)) for atom in all_atoms]

    def ensure_atom(self, atom: Atom) -> str:
        """Create the detail of an atom unless it exists, and return its UUID."""
        return self.ensure_atoms([atom])[0]

    @contextmanager
    def _changing(self, atom_name: str, kind: type[AtomDetail] = AtomDetail) -> Iterator[Any]:
        """Yield a copy of an atom's detail to be changed, and store it; nothing changes if that fails."""
        with self._lock.write_lock():
            detail = self._detail(atom_name)
            if not isinstance(detail, kind):
                raise TypeError(f"Atom '{atom_name}' is not of the expected type: {kind.__name__}")
            changed = detail.copy()
            yield changed
            self._writer.save_atom(detail, changed)

    def set_atom_state(self, atom_name: str, state: str) -> None:
        """Set the state of an atom, without checking the transition."""
        if self._detail(atom_name).state != state:
            with self._changing(atom_name) as detail:
                detail.state = state

    def set_atom_intention(self, atom_name: str, intention: str) -> None:
        """Set the intention of an atom, one of ``states.INTENTIONS``."""
        if self._detail(atom_name).intention != intention:
            with self._changing(atom_name) as detail:
                detail.intention = intention

    def save(self, atom_name: str, result: Any, state: str = st.SUCCESS) -> None:
        """Set the state and the result of an atom.

        Args:
            atom_name: the name of the atom, or ``injector_name`` for the values injected into the flow.
            result: the result or failure.
            state: the state.
        """
        if atom_name == self.injector_name:
            self.update_flow_metadata({META_INJECTED: dict(result)})
            return
        with self._changing(atom_name) as detail:
            detail.put(state, result)

    def reset(self, atom_name: str, state: str = st.PENDING) -> None:
        """Clear the result of an atom and set its state, unless it is in that state already."""
        if atom_name != self.injector_name and self._detail(atom_name).state != state:
            with self._changing(atom_name) as detail:
                detail.reset(state)

    def save_retry_failure(self, retry_name: str, failed_atom_name: str, failure: Failure) -> None:
        """Add the failure of an atom to the last attempt of a retry.

        Args:
            retry_name: the name of the retry.
            failed_atom_name: the name of the atom; only its first failure is stored.
            failure: the failure.

        Raises:
            StorageFailure: the retry has no attempts.
        """
        with self._changing(retry_name, RetryDetail) as detail:
            if not detail.results:
                raise exc.StorageFailure(
                    f"cannot store the failure of '{failed_atom_name}': retry '{retry_name}' has no attempts"
                )
            detail.last_failures.setdefault(failed_atom_name, failure)

    def cleanup_retry_history(self, retry_name: str, state: str) -> None:
        """Clear the attempts of a retry and set its state."""
        with self._changing(retry_name, RetryDetail) as detail:
            detail.state, detail.results = state, []

    def set_task_progress(
        self, task_name: str, progress: float, details: Mapping[str, Any] | None = None
    ) -> None:
        """Store the progress of a task.

        Args:
            task_name: the name of the task.
            progress: from 0.0 to 1.0.
            details: further values; None leaves the stored ones.
        """
        with self._changing(task_name, TaskDetail) as detail:
            detail.progress = progress
            if details is not None:
                stored = {"at_progress": progress, "details": dict(details)}
                detail.progress_details = stored if details else None

    def update_atom_metadata(self, atom_name: str, update_with: Pairs | None) -> None:
        """Add to the metadata of an atom."""
        metadata = dict(update_with or ())
        if metadata:
            with self._changing(atom_name) as detail:
                detail.meta = {**detail.meta, **metadata}

    def inject_atom_args(self, atom_name: str, pairs: Pairs, transient: bool = True) -> None:
        """Inject values into one atom.

        Args:
            atom_name: the name of the atom.
            pairs: values by name, or pairs.
            transient: keep them in this process only.
        """
        with self._lock.write_lock():
            super().inject_atom_args(atom_name, dict(pairs), transient)
            if not transient:
                detail = self._detail(atom_name)
                self._writer.save_atom(detail, detail)
