"""The formatter of failures: the atoms before the one that failed, with what they got and what they gave."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import secrecy
from stackl_flow import states as st
from stackl_flow.atom import Atom
from stackl_flow.failure import ExcInfo, Failure
from stackl_flow.formatters.masking import mask, mask_arguments, mask_result, notes_of
from stackl_flow.formatters.ports import Engine, Plan, Storage
from stackl_flow.formatters.way import Node, Way

#: How many atoms and flows before the one that failed are shown unless it is said otherwise.
MAX_PREDECESSORS: Final = 100

Matcher = Callable[[Node], bool]


class FailureFormatter:
    """Tells of a failure together with the atoms that came before the one that failed.

    Each atom is shown with its state and intention, and with what it was given and what it gave unless that
    is hidden. What lies on several ways to the failure is shown in full once. (The form is TaskFlow's.)

    Args:
        engine: whose atom failed.
        hide_inputs_outputs_of: names of atoms of which neither inputs nor outputs are shown.
        mask_inputs_keys: names whose values are masked in inputs.
        mask_outputs_keys: names whose values are masked in outputs.
        max_predecessors: how many are shown, nearest first.
    """

    def __init__(
        self,
        engine: Engine,
        hide_inputs_outputs_of: Iterable[str] = (),
        mask_inputs_keys: Iterable[str] = (),
        mask_outputs_keys: Iterable[str] = (),
        max_predecessors: int = MAX_PREDECESSORS,
    ) -> None:
        self._engine = engine
        self._hide_inputs_outputs_of = frozenset(hide_inputs_outputs_of)
        self._mask_inputs_keys = frozenset(mask_inputs_keys)
        self._mask_outputs_keys = frozenset(mask_outputs_keys)
        self._max_predecessors = max_predecessors

    # Where programs that subclass TaskFlow's formatter find it.
    _mask_keys = staticmethod(mask)

    def format(self, fail: Failure, atom_matcher: Matcher) -> tuple[ExcInfo | None, str]:
        """Tell of a failure.

        Args:
            fail: the failure.
            atom_matcher: called with nodes, whose ``item`` is an atom, until it says that one is the atom
                that failed.

        Returns:
            Type, error and traceback for a logger, or None if they are gone or would show a secret; and what
            else there is to say, which holds the traceback as text in that case. The predecessors are told
            only of an atom that is still meant to execute: once its flow is being undone they are not what
            they were when it failed.
        """
        exc_info = None if secrecy.shows(fail.exc_info) else fail.exc_info
        parts = [] if exc_info is not None else [f"{fail.pformat(traceback=True)}\n"]
        storage, plan = self._engine.storage, self._engine.compilation
        if storage is not None and plan is not None:
            number = _first_match(plan, atom_matcher)
            if number is not None and _is_to_execute(storage, plan.atoms[number]):
                parts.append(self._predecessors(storage, plan, number))
        return exc_info, secrecy.redact("".join(parts))

    def _predecessors(self, storage: Storage, plan: Plan, number: int) -> str:
        way = Way(plan, number, self._max_predecessors)
        lines = [f"{way.total} predecessors (most recent first):"]
        for lead, near, again in way.walk():
            node = way.node(near)
            text = f"{_title(node)} (shown above)" if again else self._format_node(storage, node)
            lines.append(lead + text)
        left_out = way.total - len(way.shown)
        if left_out:
            lines.append(f"  and {left_out} further back")
        return "\n".join(lines)

    def _format_node(self, storage: Storage, node: Node) -> str:
        """Write one atom or flow."""
        if node.kind == "flow":
            return _title(node)
        found = dict(self._attributes(storage, node.item))
        return f"{_title(node)} {found}" if found else _title(node)

    def _attributes(self, storage: Storage, atom: Atom) -> Iterator[tuple[str, Any]]:
        """Find what there is to say of an atom; what is not known is left out."""
        name, marked = str(atom.name), secrecy.names_in(notes_of(self._engine))
        yield from _known("intention", storage.get_atom_intention, name)
        yield from _known("state", storage.get_atom_state, name)
        if name in self._hide_inputs_outputs_of:
            return
        inputs = functools.partial(storage.fetch_mapped_args, atom.rebind, optional_args=atom.optional)
        for key, value in _known("requires", inputs, atom_name=name):
            yield key, secrecy.hide(mask_arguments(atom, value, self._mask_inputs_keys | marked))
        for key, value in _known("provides", storage.get_execute_result, name):
            yield key, secrecy.hide(mask_result(atom, value, self._mask_outputs_keys | marked))


def _title(node: Node) -> str:
    return f"{node.kind.capitalize()} '{node.item.name}'"


def _known(key: str, ask: Callable[..., Any], *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
    try:
        yield key, ask(*args, **kwargs)
    except (exc.StorageFailure, exc.NotFound):
        return


def _first_match(plan: Plan, atom_matcher: Matcher) -> int | None:
    nodes = (Node(atom, number, "atom") for number, atom in enumerate(plan.atoms))
    return next((node.number for node in nodes if atom_matcher(node)), None)


def _is_to_execute(storage: Storage, atom: Atom) -> bool:
    return dict(_known("intention", storage.get_atom_intention, str(atom.name))) == {"intention": st.EXECUTE}
