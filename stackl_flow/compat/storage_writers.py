"""Where TaskFlow's storage writes what it is told: in an engine's journal, or straight into a backend."""

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

#: Names of the atoms that an atom can see, nearest first, in groups.
Scopes = Iterable[Iterable[str]]

_SILENT: Final[Any] = SimpleNamespace(outputs=())


class Desk(Protocol):
    """Takes down what has changed."""

    @property
    def backend(self) -> Backend | None:
        """Where that is stored, or None."""

    def add(self, details: Sequence[AtomDetail], atoms: Iterable[Atom]) -> None:
        """Store new atoms.

        Args:
            details: the details of those that are new.
            atoms: those, and others that are known already.
        """

    def keep(self, detail: AtomDetail, changed: AtomDetail) -> None:
        """Store an atom.

        Args:
            detail: the atom, as it was.
            changed: as it is to be.
        """

    def keep_flow(self, state: str | None = None) -> None:
        """Store the flow's own state and notes.

        Args:
            state: its new state; None leaves it.
        """


class OfEngine:
    """Writes into the journal of an engine, behind its back.

    Args:
        journal: the journal.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def backend(self) -> Backend | None:
        """Where the flow is stored, or None."""
        return self._journal.backend

    def add(self, details: Sequence[AtomDetail], atoms: Iterable[Atom]) -> None:
        """Refuse new atoms: an engine knows its own.

        Args:
            details: the details of those that are new.
            atoms: those, and others that are known already.

        Raises:
            InvalidState: some are new.
        """
        del atoms
        if details:
            names = [detail.name for detail in details]
            raise exc.InvalidState(f"flow '{self._journal.flow.name}' has no atoms {names}: add them to it")

    def keep(self, detail: AtomDetail, changed: AtomDetail) -> None:
        """Store an atom with the engine's own checkpoint.

        Args:
            detail: the atom, as it was.
            changed: as it is to be.
        """
        self._journal.replace_atom(detail, changed)
        self._journal.save_atom(detail)
        self._journal.commit()

    def keep_flow(self, state: str | None = None) -> None:
        """Store the flow's own state; its notes are written by the journal's own verbs.

        Args:
            state: its new state; None leaves it.
        """
        if state is not None:
            self._journal.force_flow_state(state)
        self._journal.commit()


class ByHand:
    """Writes straight into a backend, without any engine.

    Args:
        journal: where it is all looked up; it has no backend.
        backend: where to write, or None.
        scope_fetcher: tells what an atom can see.
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
        self._know(())

    def add(self, details: Sequence[AtomDetail], atoms: Iterable[Atom]) -> None:
        """Store new atoms, and learn what atoms provide.

        Args:
            details: the details of those that are new.
            atoms: those, and others that are known already.
        """
        if details:
            page = self._journal.flow.copy(retain_contents=False)
            for detail in details:
                page.add(detail)
            self._store(page)
            for detail in details:
                self._journal.flow.add(detail)
        self._know(atoms)

    def _know(self, atoms: Iterable[Atom]) -> None:
        journal = self._journal
        self._atoms.update((str(atom.name), atom) for atom in atoms)
        names = tuple(detail.name for detail in journal.flow)
        known = tuple(self._atoms.get(name, _SILENT) for name in names)
        index = {name: number for number, name in enumerate(names)}
        plan = Plan(journal.flow.name, known, names, index, (), (), (), (), (), (), {})
        journal.index_atoms(plan)
        self.providers = _Seen(plan, self._scope_fetcher)

    def keep(self, detail: AtomDetail, changed: AtomDetail) -> None:
        """Store an atom; if that fails, nothing has changed here either.

        Args:
            detail: the atom, as it was.
            changed: as it is to be.
        """
        if self.backend is not None:
            with self.backend.get_connection() as conn:
                conn.update_atom_details(changed)
        self._journal.replace_atom(detail, changed)

    def keep_flow(self, state: str | None = None) -> None:
        """Store the flow's own state and notes.

        Args:
            state: its new state; None leaves it.
        """
        flow = self._journal.flow
        page = flow.copy(retain_contents=False)
        page.state = flow.state if state is None else state
        self._store(page)
        flow.state = page.state

    def _store(self, page: FlowDetail) -> None:
        if self.backend is not None:
            with self.backend.get_connection() as conn:
                conn.update_flow_details(page)


class _Seen(Providers):
    """Knows who provides what, and has somebody else say who can see whom."""

    def __init__(self, plan: Plan, scope_fetcher: Callable[[str], Scopes | None] | None) -> None:
        super().__init__(plan)
        self._scope_fetcher = scope_fetcher

    def visible(self, atom: int, name: str) -> Iterator[tuple[int, int]]:
        fetch = self._scope_fetcher
        scopes = None if fetch is None else fetch(self._plan.names[atom])
        known = self.of(name)
        for level, scope in enumerate(scopes or ()):
            numbers = [self._plan.index[near] for near in scope if near in self._plan.index]
            yield from ((level, number) for number in numbers if number in known)


class Lock:
    """One lock under the two names of TaskFlow's: here readers keep the others out as well."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def write_lock(self) -> AbstractContextManager[bool]:
        """Give what keeps all others out, for a ``with``."""
        return self._lock

    read_lock = write_lock


def kind_of(atom: Atom) -> type[AtomDetail]:
    """Find the class of an atom's detail.

    Args:
        atom: a task or a retry.

    Returns:
        The class.

    Raises:
        TypeError: it is neither.
        ValueError: it has no name.
    """
    for of, kind in ((Task, TaskDetail), (Retry, RetryDetail)):
        if isinstance(atom, of):
            if not atom.name:
                raise ValueError(f"{of.__name__} name must be non-empty")
            return kind
    raise TypeError(f"Unknown atom '{atom}' ({type(atom)}) requested to ensure")
