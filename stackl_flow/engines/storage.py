"""Storage: a program's access to a flow: states, results, failures, metadata, values by name.

The names are TaskFlow's. Everything is answered from the journal and written through it.
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

_STATES_WITH_RESULT: Final = (st.SUCCESS, st.REVERTING, st.FAILURE)
_STATES_WITH_REVERT_RESULT: Final = (st.REVERTED, st.REVERT_FAILURE)
_CALLED_STATES: Final = frozenset({st.RUNNING, st.REVERTING})
_ACTIVE_STATES: Final = frozenset({st.RUNNING, st.SUSPENDING})


def _first(values: list[Any]) -> Any:
    return values[0]


def _one_or_all(values: list[Any]) -> Any:
    return values if len(values) > 1 else values[0]


class Storage:
    """The stored state of one flow.

    Methods that take the name of an atom raise ``NotFound`` if the flow has no such atom (yet).

    Args:
        journal: records what happens in the flow.
        injected: values injected into the flow.
        providers: returns the providers once the flow is compiled.
    """

    def __init__(
        self, journal: Journal, injected: InjectedValues, providers: Callable[[], Providers | None]
    ) -> None:
        self._journal = journal
        self._injected = injected
        self._resolver = Resolver(journal, injected, providers)

    # ------------------------------------------------------------------ the flow

    @property
    def flow_name(self) -> str:
        """The flow's name."""
        return self._journal.flow.name

    @property
    def flow_uuid(self) -> str:
        """The flow's UUID."""
        return self._journal.flow.uuid

    @property
    def flow_meta(self) -> dict[str, Any]:
        """The flow's metadata."""
        return self._journal.flow.meta

    @property
    def backend(self) -> Any:
        """The backend in which the flow is stored, or None."""
        return self._journal.backend

    def get_flow_state(self) -> str:
        """Return the flow's state."""
        return self._journal.flow.state or st.PENDING

    def change_flow_state(self, state: str) -> tuple[bool, str]:
        """Change and store the flow's state.

        Returns:
            Whether the state changed, and the previous state.

        Raises:
            InvalidState: the transition is not allowed.
        """
        change = self._journal.change_flow_state(state)
        self._journal.commit()
        return change

    def update_flow_metadata(self, update_with: Mapping[str, Any]) -> None:
        """Add to the flow's metadata."""
        self._journal.update_metadata(update_with)
        self._commit_if_inactive()

    def _commit_if_inactive(self) -> None:
        """Commit now what no later step of a run would write, and keep no connection open for it."""
        if self.get_flow_state() not in _ACTIVE_STATES:
            self._journal.commit()
            self._journal.close()

    # ------------------------------------------------------------------ atoms

    def _detail(self, atom_name: str) -> AtomDetail:
        detail = self._journal.by_name.get(atom_name)
        if detail is None:
            raise exc.NotFound(f"Unknown atom name '{atom_name}' in flow '{self._journal.flow.name}'")
        return detail

    def get_atom_uuid(self, atom_name: str) -> str:
        """Return an atom's UUID."""
        return self._detail(atom_name).uuid

    def get_atom_state(self, atom_name: str) -> str:
        """Return an atom's state."""
        return self._detail(atom_name).state or st.PENDING

    def is_atom_queued(self, atom_name: str) -> bool:
        """Return whether an atom's call waits in an executor, as far as that is known."""
        detail = self._detail(atom_name)
        is_called = detail.state in _CALLED_STATES and type(detail) is not RetryDetail
        return is_called and self._journal.queues and detail.started_at is None

    def get_atom_intention(self, atom_name: str) -> str:
        """Return an atom's intention: what the engine is going to do with it."""
        return self._detail(atom_name).intention or st.EXECUTE

    def set_atom_intention(self, atom_name: str, intention: str) -> None:
        """Set an atom's intention; written with the flow's next commit.

        Raises:
            InvalidFormat: unknown intention.
        """
        if intention not in st.INTENTIONS:
            raise exc.InvalidFormat(
                f"unknown intention {intention!r}: expected one of {', '.join(st.INTENTIONS)}"
            )
        detail = self._detail(atom_name)
        detail.intention = intention
        self._journal.save_atom(detail)

    def get_atoms_states(self, atom_names: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Return state and intention of several atoms, by name."""
        return {n: (self.get_atom_state(n), self.get_atom_intention(n)) for n in atom_names}

    def get_task_progress(self, task_name: str) -> float:
        """Return a task's progress, from 0.0 to 1.0; 0.0 if none was reported."""
        return self._detail(task_name).progress or 0.0

    def get_task_progress_details(self, task_name: str) -> dict[str, Any] | None:
        """Return the details that a task reported last, with the progress at that time, or None."""
        details: dict[str, Any] | None = self._detail(task_name).progress_details
        return details

    def update_atom_metadata(self, atom_name: str, update_with: Mapping[str, Any]) -> None:
        """Add to an atom's metadata; while the flow runs it is written with the next commit."""
        self._journal.save_atom(self._detail(atom_name), update_with)
        self._commit_if_inactive()

    # ------------------------------------------------------------------ results

    def get_execute_result(self, atom_name: str) -> Any:
        """Return the result of an atom's ``execute``.

        Returns:
            The result, or the failure. For a retry, all results so far, each with the failures that followed.

        Raises:
            NotFound: there is no result: the atom has not run, was ignored or was reverted.
        """
        detail = self._detail(atom_name)
        if detail.failure is not None:
            return detail.failure
        if detail.state not in _STATES_WITH_RESULT:
            raise self._no_result(detail, "execution")
        return detail.results

    get = get_execute_result
    """Another name of `get_execute_result`, as in TaskFlow."""

    def get_revert_result(self, atom_name: str) -> Any:
        """Return the result of an atom's ``revert``, or the failure.

        Raises:
            NotFound: there is no result: the atom was not reverted.
        """
        detail = self._detail(atom_name)
        if detail.revert_failure is not None:
            return detail.revert_failure
        if detail.state not in _STATES_WITH_REVERT_RESULT:
            raise self._no_result(detail, "revert")
        return detail.revert_results

    @staticmethod
    def _no_result(detail: AtomDetail, method: str) -> exc.NotFound:
        reason = "it was ignored" if detail.state == st.IGNORE else f"it is {detail.state}"
        return exc.NotFound(f"Result for atom '{detail.name}' {method} is not known ({reason})")

    def has_failures(self) -> bool:
        """Return whether any atom failed."""
        return bool(self._journal.failed)

    def get_execute_failures(self) -> dict[str, Failure]:
        """Return the failures of ``execute``, by atom name; an atom that succeeded later has none."""
        failed = self._failed_in_order()
        return {detail.name: detail.failure for detail in failed if detail.failure is not None}

    get_failures = get_execute_failures
    """Another name of `get_execute_failures`, as in TaskFlow."""

    def get_revert_failures(self) -> dict[str, Failure]:
        """Return the failures of ``revert``, by atom name."""
        failed = self._failed_in_order()
        return {d.name: d.revert_failure for d in failed if d.revert_failure is not None}

    def _failed_in_order(self) -> list[AtomDetail]:
        failed = self._journal.failed
        plan = self._journal.plan
        if plan is None:
            return list(failed.values())
        return [failed[name] for name in sorted(failed, key=lambda name: plan.index.get(name, len(plan)))]

    def get_retry_history(self, retry_name: str) -> History:
        """Return the attempts of a retry.

        Raises:
            NotFound: the flow has no such retry.
        """
        detail = self._detail(retry_name)
        if not isinstance(detail, RetryDetail):
            raise exc.NotFound(f"atom '{retry_name}' is a task: only retries have a history")
        return History(detail.results, failure=detail.failure)

    def get_retry_histories(self) -> list[tuple[str, History]]:
        """Return the name and the attempts of every retry."""
        return [
            (detail.name, History(detail.results, failure=detail.failure))
            for detail in self._journal.flow
            if isinstance(detail, RetryDetail)
        ]

    # ------------------------------------------------------------------ values by name

    def inject(self, pairs: Mapping[str, Any], transient: bool = False) -> None:
        """Inject values into the flow.

        Args:
            pairs: values by name.
            transient: keep them in this process only, for objects that cannot be stored.

        Raises:
            NotSerializable: a value has no JSON form and is not transient.
        """
        self._injected.inject(pairs, transient=transient)

    def inject_atom_args(self, atom_name: str, pairs: Mapping[str, Any], transient: bool = True) -> None:
        """Inject values into one atom; arguments as for ``inject``."""
        self._detail(atom_name)
        self._injected.inject_into_atom(atom_name, pairs, transient=transient)

    def fetch(self, name: str, many_handler: Callable[[list[Any]], Any] | None = None) -> Any:
        """Return a value by its name.

        Args:
            name: the name.
            many_handler: selects from, or joins, the values of several providers; the first if left out.

        Raises:
            NotFound: the name has no value (yet).
        """
        values, providers = self._resolver.find(name)
        if not values:
            if not providers:
                raise exc.NotFound(f"Name {name!r} is not mapped as a produced output by any providers")
            raise exc.NotFound(
                f"Unable to find result {name!r}, searched {len(providers)} providers: {providers}"
            )
        return (many_handler or _first)(values)

    def fetch_all(self, many_handler: Callable[[list[Any]], Any] | None = None) -> dict[str, Any]:
        """Return all values so far, by name; ``many_handler`` as for ``fetch``, a list of all if left out."""
        select = many_handler or _one_or_all
        return {name: select(values) for name, values in self._resolver.find_all() if values}

    def fetch_mapped_args(
        self,
        args_mapping: Mapping[str, str],
        atom_name: str | None = None,
        scope_walker: Iterable[Iterable[str]] | None = None,
        optional_args: Iterable[str] | None = None,
    ) -> dict[str, Any]:
        """Return the arguments that an atom gets, or would get.

        Args:
            args_mapping: the name to look up for each argument, such as an atom's ``rebind``.
            atom_name: the atom whose injected values and visible providers count; the flow's values and all
                providers if left out.
            scope_walker: names of the visible providers, nearest first, in groups; worked out if left out.
            optional_args: arguments that are left out if they have no provider.

        Raises:
            NotFound: an argument has no value (yet), or the flow has no such atom (yet).
        """
        own = {} if atom_name is None else self._injected.of_detail(self._detail(atom_name))
        visible = self._resolver.visible_providers(atom_name, scope_walker)
        return self._resolver.resolve_arguments(args_mapping, own, visible, frozenset(optional_args or ()))

    def fetch_unsatisfied_args(
        self,
        atom_name: str,
        args_mapping: Mapping[str, str],
        scope_walker: Iterable[Iterable[str]] | None = None,
        optional_args: Iterable[str] | None = None,
    ) -> set[str]:
        """Return the arguments of an atom that have no provider, whether or not it has run.

        The arguments are those of ``fetch_mapped_args``.
        """
        injected = {*self._injected.of_flow(), *self._injected.of_detail(self._detail(atom_name))}
        visible = self._resolver.visible_providers(atom_name, scope_walker)
        required = {argument: name for argument, name in args_mapping.items() if name not in injected}
        unsatisfied = {argument for argument, name in required.items() if not list(visible(name))}
        return unsatisfied.difference(optional_args or ())
