"""Writers of TaskFlow's storage: to the journal of an engine, or directly to a backend."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any, Final, Protocol

from stackl_flow import exceptions as exc
from stackl_flow.atom import Atom
from stackl_flow.engines.journal import Journal
from stackl_flow.engines.plan import Plan
from stackl_flow.engines.values import Providers
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import AtomDetail, FlowDetail, RetryDetail, TaskDetail
from stackl_flow.retry import Retry
from stackl_flow.task import Task

#: The names of the atoms that are visible to an atom, grouped by scope, nearest first.
Scopes = Iterable[Iterable[str]]

#: Stands for atoms whose outputs are unknown.
_NO_OUTPUTS: Final[Any] = SimpleNamespace(outputs=())


class StorageWriter(Protocol):
    """Stores changes."""

    @property
    def backend(self) -> Backend | None:
        """The backend, or None."""

    def add(self, details: Sequence[AtomDetail], atoms: Iterable[Atom]) -> None:
        """Store new atoms.

        Args:
            details: the details of the new atoms.
            atoms: these atoms, and others that exist already.
        """

    def save_atom(self, detail: AtomDetail, changed: AtomDetail) -> None:
        """Store an atom.

        Args:
            detail: the atom before the change.
            changed: the atom after the change.
        """

    def save_flow(self, state: str | None = None) -> None:
        """Store the flow's metadata and, unless it is None, its new state."""


class JournalWriter:
    """Writes to the journal of an engine.

    Args:
        journal: the journal.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def backend(self) -> Backend | None:
        """The backend, or None."""
        return self._journal.backend

    def add(self, details: Sequence[AtomDetail], atoms: Iterable[Atom]) -> None:
        """Reject new atoms.

        Raises:
            InvalidState: some are new.
        """
        del atoms
        if details:
            names = [detail.name for detail in details]
            raise exc.InvalidState(
                f"flow '{self._journal.flow.name}' has no atoms {names}: add them to the flow"
            )

    def save_atom(self, detail: AtomDetail, changed: AtomDetail) -> None:
        """Store an atom with a checkpoint of the engine."""
        self._journal.replace_atom(detail, changed)
        self._journal.save_atom(detail)
        self._journal.commit()

    def save_flow(self, state: str | None = None) -> None:
        """Store the flow's new state, unless it is None; the journal itself stores metadata."""
        if state is not None:
            self._journal.force_flow_state(state)
        self._journal.commit()


class BackendWriter:
    """Writes to a backend without an engine.

    Args:
        journal: the journal for lookups, without a backend.
        backend: the backend, or None.
        scope_fetcher: returns the atoms that are visible to an atom.
    """

    def __init__(
        self,
        journal: Journal,
        backend: Backend | None,
        scope_fetcher: Callable[[str], Scopes | None] | None,
    ) -> None:
        self._journal = journal
        self.backend = backend
        self._scope_fetcher = scope_fetcher
        self._atoms: dict[str, Atom] = {}
        self._register(())

    def add(self, details: Sequence[AtomDetail], atoms: Iterable[Atom]) -> None:
        """Store new atoms, and register the outputs of all given atoms."""
        if details:
            changes = self._journal.flow.copy(retain_contents=False)
            for detail in details:
                changes.add(detail)
            self._store(changes)
            for detail in details:
                self._journal.flow.add(detail)
        self._register(atoms)

    def _register(self, atoms: Iterable[Atom]) -> None:
        journal = self._journal
        self._atoms.update((str(atom.name), atom) for atom in atoms)
        names = tuple(detail.name for detail in journal.flow)
        atoms_by_number = tuple(self._atoms.get(name, _NO_OUTPUTS) for name in names)
        index = {name: number for number, name in enumerate(names)}
        plan = Plan(journal.flow.name, atoms_by_number, names, index, (), (), (), (), (), (), {})
        journal.index_atoms(plan)
        self.providers = _ScopedProviders(plan, self._scope_fetcher)

    def save_atom(self, detail: AtomDetail, changed: AtomDetail) -> None:
        """Store an atom; nothing changes if that fails."""
        if self.backend is not None:
            with self.backend.get_connection() as conn:
                conn.update_atom_details(changed)
        self._journal.replace_atom(detail, changed)

    def save_flow(self, state: str | None = None) -> None:
        """Store the flow's metadata and, unless it is None, its new state."""
        flow = self._journal.flow
        changes = flow.copy(retain_contents=False)
        changes.state = flow.state if state is None else state
        self._store(changes)
        flow.state = changes.state

    def _store(self, changes: FlowDetail) -> None:
        if self.backend is not None:
            with self.backend.get_connection() as conn:
                conn.update_flow_details(changes)


class _ScopedProviders(Providers):
    """Providers whose visibility is determined by a scope fetcher."""

    def __init__(self, plan: Plan, scope_fetcher: Callable[[str], Scopes | None] | None) -> None:
        super().__init__(plan)
        self._scope_fetcher = scope_fetcher

    def visible(self, atom: int, name: str) -> Iterator[tuple[int, int]]:
        fetch = self._scope_fetcher
        scopes = None if fetch is None else fetch(self._plan.names[atom])
        providers = self.of(name)
        for level, scope in enumerate(scopes or ()):
            numbers = [self._plan.index[other] for other in scope if other in self._plan.index]
            yield from ((level, number) for number in numbers if number in providers)


class Lock:
    """TaskFlow's reader-writer lock; readers exclude each other, too."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def write_lock(self) -> AbstractContextManager[bool]:
        """Return the lock as a context manager."""
        return self._lock

    read_lock = write_lock


def detail_class(atom: Atom) -> type[AtomDetail]:
    """Return the class of the detail of an atom.

    Raises:
        TypeError: the atom is neither a task nor a retry.
        ValueError: the atom has no name.
    """
    for atom_class, kind in ((Task, TaskDetail), (Retry, RetryDetail)):
        if isinstance(atom, atom_class):
            if not atom.name:
                raise ValueError(f"{atom_class.__name__} name must be non-empty")
            return kind
    raise TypeError(f"Unknown atom '{atom}' ({type(atom)}) requested to ensure")
