"""A failure told together with what led to it.

The formatter of failures: the atoms before the one that failed, with what they got and what they gave.

Values that are not to be seen, hidden before they are shown.

What a formatter asks of an engine, so that it can tell of any that answers.

The way to an atom, backwards through a plan.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow import states as st
from stackl_flow.atom import Atom
from stackl_flow.failure import ExcInfo, Failure
from stackl_flow.redaction import MASK, mask

__all__ = ["MASK", "mask", "mask_arguments", "mask_result", "notes_of", "shown_result"]


def mask_result(atom: Atom, result: Any, keys: Collection[str]) -> Any:
    """Hide what an atom provides under some names, and the values of keys of those names.

    Args:
        atom: the atom.
        result: what it gave; it is not changed.
        keys: whose values are not to be seen.

    Returns:
        The same with ``***`` in their place.
    """
    places = [place for name, place in atom.outputs if name in keys]
    return mask(redaction.mask_parts(result, places), keys)


def mask_arguments(atom: Atom, arguments: Mapping[str, Any], keys: Collection[str]) -> Any:
    """Hide what an atom is given under some names, and the values of keys of those names.

    Args:
        atom: the atom.
        arguments: values by argument; they are not changed.
        keys: whose values are not to be seen: arguments, or the names looked up for them.

    Returns:
        The same with ``***`` in their place.
    """
    names = atom.rebind
    hidden = {argument for argument in arguments if names.get(argument, argument) in keys}
    return mask(arguments, hidden.union(keys))


def notes_of(engine: Any) -> Mapping[str, Any]:
    """Read the notes of an engine's flow.

    Args:
        engine: any engine, also one that keeps no notes.

    Returns:
        The notes.
    """
    notes: Mapping[str, Any] = getattr(getattr(engine, "storage", None), "flow_meta", None) or {}
    return notes


def shown_result(engine: Any, atom_name: str, result: Any) -> Any:
    """Return what an atom gave as it may be shown: without what is marked as secret.

    Args:
        engine: whose flow the atom is in.
        atom_name: the atom.
        result: what it gave; it is not changed. A failure has texts of its own, which show none.

    Returns:
        The same with ``***`` in place of secrets.
    """
    if isinstance(result, Failure):
        return result
    return redaction.redact_data(redaction.mask_result(notes_of(engine), atom_name, result))


class Scope(Protocol):
    """What is asked of a flow in a plan: its name, and the numbers of the nodes where it begins and ends."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def begin(self) -> int:
        """Where it begins."""

    @property
    def end(self) -> int:
        """Where it ends."""


class Plan(Protocol):
    """What is asked of a compiled flow."""

    @property
    def atoms(self) -> Sequence[Atom]:
        """The atoms, by number."""

    @property
    def index(self) -> Mapping[str, int]:
        """Their numbers, by name."""

    @property
    def predecessors(self) -> Sequence[Sequence[int]]:
        """For each node, the numbers of those right before it."""

    @property
    def scopes(self) -> Sequence[Scope]:
        """The flows."""


class Storage(Protocol):
    """What is asked of an engine's storage."""

    def get_atom_intention(self, atom_name: str) -> str:
        """Return what is meant to be done with an atom."""

    def get_atom_state(self, atom_name: str) -> str:
        """Return its state."""

    def get_execute_result(self, atom_name: str) -> Any:
        """Return what it gave."""

    def fetch_mapped_args(
        self,
        args_mapping: Mapping[str, str],
        atom_name: str | None = None,
        scope_walker: Any = None,
        optional_args: Iterable[str] | None = None,
    ) -> dict[str, Any]:
        """Return what it is given."""


class Engine(Protocol):
    """What is asked of an engine."""

    @property
    def storage(self) -> Storage | None:
        """Answers what there is to know of the flow."""

    @property
    def compilation(self) -> Plan | None:
        """The plan, or None before ``compile``."""


__all__ = ["FailureFormatter"]


class Node(NamedTuple):
    """An atom or a flow on the way to a failure.

    Args:
        item: the atom, or the flow in the plan.
        number: its node in the plan.
        kind: "atom" or "flow".
    """

    item: Any
    number: int
    kind: str


class Way:
    """The way to a failed atom, backwards: its predecessors, those of these, and so on.

    Where flows end is passed over. What lies on several ways is counted once.

    Args:
        plan: the plan.
        start: the failed atom's number.
        limit: how many of the nearest are shown.
    """

    def __init__(self, plan: Plan, start: int, limit: int) -> None:
        self._plan = plan
        self._begins = {scope.begin: scope for scope in plan.scopes}
        found = {start: None}
        queue = [start]
        for node in queue:
            for before in self.before(node):
                if before not in found:
                    found[before] = None
                    queue.append(before)
        self.start = start
        self.total = len(queue) - 1
        self.shown = frozenset(queue[1 : limit + 1])

    def before(self, node: int) -> list[int]:
        """Say which atoms and flows come right before one."""
        known = len(self._plan.atoms)
        found: dict[int, None] = {}
        waiting = list(reversed(self._plan.predecessors[node]))
        while waiting:
            near = waiting.pop()
            if near < known or near in self._begins:
                found[near] = None
            else:
                waiting.extend(reversed(self._plan.predecessors[near]))
        return list(found)

    def node(self, number: int) -> Node:
        """Say what stands under a number."""
        if number in self._begins:
            return Node(self._begins[number], number, "flow")
        return Node(self._plan.atoms[number], number, "atom")

    def walk(self) -> Iterator[tuple[str, int, bool]]:
        """Go over what is shown, nearest first.

        Yields:
            What stands before it on its line, its number, and whether it was told before.
        """
        told: set[int] = set()
        stack = [("  ", "  ", near) for near in reversed(self.before(self.start)) if near in self.shown]
        while stack:
            lead, below, number = stack.pop()
            again = number in told
            told.add(number)
            yield lead, number, again
            if not again:
                further = [near for near in self.before(number) if near in self.shown]
                for place, near in enumerate(reversed(further)):
                    stack.append((f"{below}|__", below + ("|  " if place else "   "), near))


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
        exc_info = None if redaction.contains_secret(fail.exc_info) else fail.exc_info
        parts = [] if exc_info is not None else [f"{fail.pformat(traceback=True)}\n"]
        storage, plan = self._engine.storage, self._engine.compilation
        if storage is not None and plan is not None:
            number = _first_match(plan, atom_matcher)
            if number is not None and _is_to_execute(storage, plan.atoms[number]):
                parts.append(self._predecessors(storage, plan, number))
        return exc_info, redaction.redact("".join(parts))

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
        name, marked = str(atom.name), redaction.secret_names(notes_of(self._engine))
        yield from _known("intention", storage.get_atom_intention, name)
        yield from _known("state", storage.get_atom_state, name)
        if name in self._hide_inputs_outputs_of:
            return
        inputs = functools.partial(storage.fetch_mapped_args, atom.rebind, optional_args=atom.optional)
        for key, value in _known("requires", inputs, atom_name=name):
            yield key, redaction.redact_data(mask_arguments(atom, value, self._mask_inputs_keys | marked))
        for key, value in _known("provides", storage.get_execute_result, name):
            yield key, redaction.redact_data(mask_result(atom, value, self._mask_outputs_keys | marked))


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
