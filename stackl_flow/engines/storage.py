"""What a program may ask of, and give to, a flow: states, results, failures, values by name.

The names are TaskFlow's. Everything is answered from the journal; nothing here is written except through it.

What came of a flow's atoms: results, failures and the histories of retries, by atom name.

The part of ``Storage`` that only reads; the names are TaskFlow's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.engines.journal import Journal
from stackl_flow.engines.values import InjectedValues, Providers, Resolver
from stackl_flow.failure import Failure
from stackl_flow.persistence.models import AtomDetail, RetryDetail
from stackl_flow.retry import History

_EXECUTED: Final = (st.SUCCESS, st.REVERTING, st.FAILURE)
_REVERTED: Final = (st.REVERTED, st.REVERT_FAILURE)


class Results:
    """Answers what came of each atom.

    Args:
        journal: where it is all written down.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def _detail(self, atom_name: str) -> AtomDetail:
        detail = self._journal.by_name.get(atom_name)
        if detail is None:
            raise exc.NotFound(f"Unknown atom name '{atom_name}' in flow '{self._journal.flow.name}'")
        return detail

    def get_execute_result(self, atom_name: str) -> Any:
        """Return what an atom's ``execute`` gave.

        Args:
            atom_name: its name.

        Returns:
            The result, or the failure; of a retry all results so far, each with the failures that followed.

        Raises:
            NotFound: there is none: it did not run yet, was ignored, or was undone.
        """
        detail = self._detail(atom_name)
        if detail.failure is not None:
            return detail.failure
        if detail.state not in _EXECUTED:
            raise self._unknown(detail, "execution")
        return detail.results

    get = get_execute_result

    def get_revert_result(self, atom_name: str) -> Any:
        """Return what an atom's ``revert`` gave.

        Args:
            atom_name: its name.

        Returns:
            The result, or the failure.

        Raises:
            NotFound: there is none.
        """
        detail = self._detail(atom_name)
        if detail.revert_failure is not None:
            return detail.revert_failure
        if detail.state not in _REVERTED:
            raise self._unknown(detail, "revert")
        return detail.revert_results

    @staticmethod
    def _unknown(detail: AtomDetail, what: str) -> exc.NotFound:
        why = " (as it was ignored)" if detail.state == st.IGNORE else f" (it is {detail.state})"
        return exc.NotFound(f"Result for atom '{detail.name}' {what} is not known{why}")

    def get_execute_failures(self) -> dict[str, Failure]:
        """Return the failures of ``execute``, by atom name; one that later succeeded has none."""
        found = self._in_order()
        return {detail.name: detail.failure for detail in found if detail.failure is not None}

    get_failures = get_execute_failures

    def get_revert_failures(self) -> dict[str, Failure]:
        """Return the failures of ``revert``, by atom name."""
        found = self._in_order()
        return {d.name: d.revert_failure for d in found if d.revert_failure is not None}

    def _in_order(self) -> list[AtomDetail]:
        failed = self._journal.failed
        plan = self._journal.plan
        if plan is None:
            return list(failed.values())
        return [failed[name] for name in sorted(failed, key=lambda name: plan.index.get(name, len(plan)))]

    def has_failures(self) -> bool:
        """Say whether anything failed."""
        return bool(self._journal.failed)

    def get_retry_history(self, retry_name: str) -> History:
        """Return what a retry has tried.

        Args:
            retry_name: its name.

        Returns:
            The history.

        Raises:
            NotFound: the flow has no such retry.
        """
        detail = self._detail(retry_name)
        if not isinstance(detail, RetryDetail):
            raise exc.NotFound(f"atom '{retry_name}' is a task: only retries have a history")
        return History(detail.results, failure=detail.failure)

    def get_retry_histories(self) -> list[tuple[str, History]]:
        """Return what every retry has tried, by name."""
        return [
            (detail.name, History(detail.results, failure=detail.failure))
            for detail in self._journal.flow
            if isinstance(detail, RetryDetail)
        ]


_UNDER_WAY = frozenset({st.RUNNING, st.SUSPENDING})


def _first(values: list[Any]) -> Any:
    return values[0]


def _one_or_all(values: list[Any]) -> Any:
    return values if len(values) > 1 else values[0]


class Storage(Results):
    """Answers for one flow.

    Args:
        journal: where it is all written down.
        given: values from outside.
        providers: tells who provides what, once the flow is compiled.
    """

    def __init__(
        self, journal: Journal, given: InjectedValues, providers: Callable[[], Providers | None]
    ) -> None:
        super().__init__(journal)
        self._given = given
        self._names = Resolver(journal, given, providers)

    # ------------------------------------------------------------- the flow

    @property
    def flow_name(self) -> str:
        """The flow's name."""
        return self._journal.flow.name

    @property
    def flow_uuid(self) -> str:
        """The flow's identity."""
        return self._journal.flow.uuid

    @property
    def flow_meta(self) -> dict[str, Any]:
        """The notes kept with the flow."""
        return self._journal.flow.meta

    @property
    def backend(self) -> Any:
        """Where the flow is stored, or None."""
        return self._journal.backend

    def get_flow_state(self) -> str:
        """Return the flow's state."""
        return self._journal.flow.state or st.PENDING

    def change_flow_state(self, state: str) -> tuple[bool, str]:
        """Move the flow, and write that down.

        Args:
            state: where it goes.

        Returns:
            Whether it moved, and where it was.

        Raises:
            InvalidState: the move is not allowed.
        """
        moved = self._journal.move_flow(state)
        self._journal.commit()
        return moved

    def update_flow_metadata(self, update_with: Mapping[str, Any]) -> None:
        """Add to the notes kept with the flow.

        Args:
            update_with: notes by name.
        """
        self._journal.update_meta(update_with)
        self._settle()

    def _settle(self) -> None:
        """Write at once what no move of a run will take along, and keep no connection for it."""
        if self.get_flow_state() not in _UNDER_WAY:
            self._journal.commit()
            self._journal.close()

    # ------------------------------------------------------------- atoms

    def get_atom_uuid(self, atom_name: str) -> str:
        """Return an atom's identity.

        Args:
            atom_name: its name.

        Returns:
            The uuid.

        Raises:
            NotFound: the flow has no such atom (yet).
        """
        return self._detail(atom_name).uuid

    def get_atom_state(self, atom_name: str) -> str:
        """Return an atom's state.

        Args:
            atom_name: its name.

        Returns:
            A word of ``states``.

        Raises:
            NotFound: the flow has no such atom (yet).
        """
        return self._detail(atom_name).state or st.PENDING

    def get_atom_intention(self, atom_name: str) -> str:
        """Return what the engine means to do with an atom.

        Args:
            atom_name: its name.

        Returns:
            One of ``states.INTENTIONS``.

        Raises:
            NotFound: the flow has no such atom (yet).
        """
        return self._detail(atom_name).intention or st.EXECUTE

    def set_atom_intention(self, atom_name: str, intention: str) -> None:
        """Say what is to be done with an atom; written with the flow's next move.

        Args:
            atom_name: its name.
            intention: one of ``states.INTENTIONS``.

        Raises:
            NotFound: the flow has no such atom (yet).
            InvalidFormat: there is no such intention.
        """
        if intention not in st.INTENTIONS:
            raise exc.InvalidFormat(f"no intention {intention!r}: give one of {', '.join(st.INTENTIONS)}")
        detail = self._detail(atom_name)
        detail.intention = intention
        self._journal.touch(detail)

    def get_atoms_states(self, atom_names: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Return state and intention of several atoms.

        Args:
            atom_names: their names.

        Returns:
            The pairs by name.

        Raises:
            NotFound: the flow has no such atom (yet).
        """
        return {n: (self.get_atom_state(n), self.get_atom_intention(n)) for n in atom_names}

    def get_task_progress(self, task_name: str) -> float:
        """Return how far a task has come, from 0.0 to 1.0.

        Args:
            task_name: its name.

        Returns:
            The progress, 0.0 if nothing is known.
        """
        return self._detail(task_name).progress or 0.0

    def get_task_progress_details(self, task_name: str) -> dict[str, Any] | None:
        """Return what a task said of its progress besides.

        Args:
            task_name: its name.

        Returns:
            The details and the progress at which they were given, or None.
        """
        details: dict[str, Any] | None = self._detail(task_name).progress_details
        return details

    def update_atom_metadata(self, atom_name: str, update_with: Mapping[str, Any]) -> None:
        """Add to the notes kept with an atom; while the flow runs they are written with its next move.

        Args:
            atom_name: its name.
            update_with: notes by name.
        """
        self._journal.touch(self._detail(atom_name), update_with)
        self._settle()

    # ------------------------------------------------------------- values by name

    def inject(self, pairs: Mapping[str, Any], transient: bool = False) -> None:
        """Give values to the whole flow.

        Args:
            pairs: values by name.
            transient: keep them in this process only, for things that cannot be stored.

        Raises:
            NotSerializable: a value has no JSON form and is not transient.
        """
        self._given.give(pairs, transient=transient)

    def inject_atom_args(self, atom_name: str, pairs: Mapping[str, Any], transient: bool = True) -> None:
        """Give values to one atom.

        Args:
            atom_name: its name.
            pairs: values by name.
            transient: keep them in this process only.

        Raises:
            NotFound: the flow has no such atom (yet).
        """
        self._detail(atom_name)
        self._given.give_to(atom_name, pairs, transient=transient)

    def fetch(self, name: str, many_handler: Callable[[list[Any]], Any] | None = None) -> Any:
        """Return a value by its name.

        Args:
            name: the name.
            many_handler: picks from, or joins, the values of several providers; the first if left out.

        Returns:
            The value.

        Raises:
            NotFound: nobody provides it, or not yet.
        """
        found, providers = self._names.look_up(name)
        if not found:
            if not providers:
                raise exc.NotFound(f"Name {name!r} is not mapped as a produced output by any providers")
            raise exc.NotFound(
                f"Unable to find result {name!r}, searched {len(providers)} providers: {providers}"
            )
        return (many_handler or _first)(found)

    def fetch_all(self, many_handler: Callable[[list[Any]], Any] | None = None) -> dict[str, Any]:
        """Return all values known so far, by name.

        Args:
            many_handler: as for ``fetch``; a list of all if left out.

        Returns:
            The values.
        """
        pick = many_handler or _one_or_all
        return {name: pick(found) for name, found in self._names.look_up_all() if found}

    def fetch_mapped_args(
        self,
        args_mapping: Mapping[str, str],
        atom_name: str | None = None,
        scope_walker: Iterable[Iterable[str]] | None = None,
        optional_args: Iterable[str] | None = None,
    ) -> dict[str, Any]:
        """Return the values that an atom is, or would be, handed.

        Args:
            args_mapping: for each argument the name to look up, such as an atom's ``rebind``.
            atom_name: the atom whose own values count, and whose place in the flow says what can be seen;
                values of the flow and of all providers if left out.
            scope_walker: names of the providers that can be seen, nearest first, in groups; worked out if
                left out.
            optional_args: arguments that are left out if nobody provides them.

        Returns:
            The values by argument.

        Raises:
            NotFound: nobody provides one of them, or not yet; or the flow has no such atom (yet).
        """
        own = {} if atom_name is None else self._given.of_detail(self._detail(atom_name))
        seen = self._names.sight(atom_name, scope_walker)
        return self._names.mapped(args_mapping, own, seen, frozenset(optional_args or ()))

    def fetch_unsatisfied_args(
        self,
        atom_name: str,
        args_mapping: Mapping[str, str],
        scope_walker: Iterable[Iterable[str]] | None = None,
        optional_args: Iterable[str] | None = None,
    ) -> set[str]:
        """Say which arguments of an atom nobody will provide.

        Args:
            atom_name: the atom.
            args_mapping: for each argument the name to look up.
            scope_walker: names of the providers that can be seen, nearest first, in groups; worked out if
                left out.
            optional_args: arguments that need not be provided.

        Returns:
            The arguments; whether a provider has run already does not matter.

        Raises:
            NotFound: the flow has no such atom (yet).
        """
        given = {*self._given.of_flow(), *self._given.of_detail(self._detail(atom_name))}
        seen = self._names.sight(atom_name, scope_walker)
        needed = {argument: name for argument, name in args_mapping.items() if name not in given}
        return {argument for argument, name in needed.items() if not list(seen(name))} - {
            *(optional_args or ())
        }
