"""Formats failures together with the atoms that ran before the failed one, with secret values masked.

``mask`` and ``MASK`` are those of ``redaction``, offered here as well.
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

__all__ = [
    "MASK", "MAX_PREDECESSORS", "FailureFormatter", "mask", "mask_arguments", "mask_result", "redact_result",
]  # fmt: skip

#: How many preceding atoms and flows are shown by default.
MAX_PREDECESSORS: Final = 100


# ------------------------------------------------------------------ what is required of an engine


class Scope(Protocol):
    """A flow in a plan: its name, and the nodes where it begins and ends."""

    @property
    def name(self) -> str:
        """The flow's name."""

    @property
    def begin(self) -> int:
        """The node where it begins."""

    @property
    def end(self) -> int:
        """The node where it ends."""


class Plan(Protocol):
    """A compiled flow."""

    @property
    def atoms(self) -> Sequence[Atom]:
        """The atoms, by number."""

    @property
    def index(self) -> Mapping[str, int]:
        """Their numbers, by name."""

    @property
    def predecessors(self) -> Sequence[Sequence[int]]:
        """For each node, those directly before it."""

    @property
    def scopes(self) -> Sequence[Scope]:
        """The flows."""


class Storage(Protocol):
    """What a formatter requires of an engine's storage."""

    def get_atom_intention(self, atom_name: str) -> str:
        """Return an atom's intention."""

    def get_atom_state(self, atom_name: str) -> str:
        """Return an atom's state."""

    def get_execute_result(self, atom_name: str) -> Any:
        """Return an atom's result."""

    def fetch_mapped_args(
        self,
        args_mapping: Mapping[str, str],
        atom_name: str | None = None,
        scope_walker: Any = None,
        optional_args: Iterable[str] | None = None,
    ) -> dict[str, Any]:
        """Return an atom's arguments."""


class Engine(Protocol):
    """What a formatter requires of an engine."""

    @property
    def storage(self) -> Storage | None:
        """The flow's storage."""

    @property
    def compilation(self) -> Plan | None:
        """The plan, or None before ``compile``."""


# ------------------------------------------------------------------ masking


def mask_result(atom: Atom, result: Any, keys: Collection[str]) -> Any:
    """Return a copy of an atom's result with ``***`` for the values of some names.

    Args:
        atom: the atom.
        result: its result.
        keys: names in ``provides``, or keys inside the result.
    """
    parts = [key for name, key in atom.outputs if name in keys]
    return mask(redaction.mask_parts(result, parts), keys)


def mask_arguments(atom: Atom, arguments: Mapping[str, Any], keys: Collection[str]) -> Any:
    """Return a copy of an atom's arguments with ``***`` for the values of some names.

    Args:
        atom: the atom.
        arguments: values by argument.
        keys: arguments, the names that are looked up for them, or keys inside the values.
    """
    names = atom.rebind
    masked = {argument for argument in arguments if names.get(argument, argument) in keys}
    return mask(arguments, masked.union(keys))


def redact_result(engine: Any, atom_name: str, result: Any) -> Any:
    """Return a copy of an atom's result with ``***`` for the secrets of its flow.

    A failure is returned as it is: its text is redacted when it is formatted.

    Args:
        engine: any engine, also one without a storage.
        atom_name: the atom.
        result: its result.
    """
    if isinstance(result, Failure):
        return result
    return redaction.redact_data(redaction.mask_result(_flow_metadata(engine), atom_name, result))


def _flow_metadata(engine: Any) -> Mapping[str, Any]:
    metadata: Mapping[str, Any] = getattr(getattr(engine, "storage", None), "flow_meta", None) or {}
    return metadata


# ------------------------------------------------------------------ predecessors of an atom


class Node(NamedTuple):
    """An atom or flow that precedes a failed atom.

    Attributes:
        item: the atom, or the flow in the plan.
        number: its node in the plan.
        kind: "atom" or "flow".
    """

    item: Any
    number: int
    kind: str

    @property
    def title(self) -> str:
        """Kind and name."""
        return f"{self.kind.capitalize()} '{self.item.name}'"


class _Predecessors:
    """The atoms and flows before a failed atom, nearest first; the nodes where flows end are skipped.

    Attributes:
        total: how many there are.
        shown: numbers of the nearest ones, at most ``limit``.
    """

    def __init__(self, plan: Plan, start: int, limit: int) -> None:
        self._plan = plan
        self._flows = {scope.begin: scope for scope in plan.scopes}
        self._start = start
        seen = {start: None}
        queue = [start]
        for number in queue:
            for before in self._directly_before(number):
                if before not in seen:
                    seen[before] = None
                    queue.append(before)
        self.total = len(queue) - 1
        self.shown = frozenset(queue[1 : limit + 1])

    def _directly_before(self, number: int) -> list[int]:
        count = len(self._plan.atoms)
        found: dict[int, None] = {}
        pending = list(reversed(self._plan.predecessors[number]))
        while pending:
            before = pending.pop()
            if before < count or before in self._flows:
                found[before] = None
            else:
                pending.extend(reversed(self._plan.predecessors[before]))
        return list(found)

    def _node(self, number: int) -> Node:
        if number in self._flows:
            return Node(self._flows[number], number, "flow")
        return Node(self._plan.atoms[number], number, "atom")

    def tree(self) -> Iterator[tuple[str, Node, bool]]:
        """Iterate over what is shown, as the lines of a tree.

        Yields:
            The indentation, the node, and whether it was shown before (then its predecessors are left out).
        """
        seen: set[int] = set()
        stack = [
            ("  ", "  ", before)
            for before in reversed(self._directly_before(self._start))
            if before in self.shown
        ]
        while stack:
            indent, indent_below, number = stack.pop()
            repeated = number in seen
            seen.add(number)
            yield indent, self._node(number), repeated
            if not repeated:
                further = [before for before in self._directly_before(number) if before in self.shown]
                for position, before in enumerate(reversed(further)):
                    stack.append(
                        (f"{indent_below}|__", indent_below + ("|  " if position else "   "), before)
                    )


# ------------------------------------------------------------------ failures

Matcher = Callable[[Node], bool]


class FailureFormatter:
    """Formats a failure together with the atoms that ran before the failed one.

    Each atom is shown with its state and intention, and with its inputs and result unless those are hidden.
    An atom that precedes the failure on several paths is shown in full once. (The format is TaskFlow's.)

    Args:
        engine: the engine of the failed atom.
        hide_inputs_outputs_of: names of atoms whose inputs and results are not shown.
        mask_inputs_keys: names whose values are masked in inputs.
        mask_outputs_keys: names whose values are masked in results.
        max_predecessors: how many atoms and flows are shown, nearest first.
    """

    # Programs that subclass TaskFlow's formatter use this name.
    _mask_keys = staticmethod(mask)

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

    def format(self, fail: Failure, atom_matcher: Matcher) -> tuple[ExcInfo | None, str]:
        """Format a failure.

        Args:
            fail: the failure.
            atom_matcher: called with nodes, whose ``item`` is an atom; returns whether it is the failed one.

        Returns:
            Type, exception and traceback for a logger, or None if they are not available or contain a secret;
            and further text, which contains the traceback in that case. The predecessors are listed only as
            long as the atom's intention is EXECUTE: once its flow is being reverted, they no longer have the
            states that they had when it failed.
        """
        exc_info = fail.exc_info
        if exc_info is not None and redaction.text_to_log(exc_info) is not None:
            exc_info = None
        parts = [] if exc_info is not None else [f"{fail.pformat(traceback=True)}\n"]
        storage, plan = self._engine.storage, self._engine.compilation
        if storage is not None and plan is not None:
            number = _first_match(plan, atom_matcher)
            if number is not None and _is_to_execute(storage, plan.atoms[number]):
                parts.append(self._format_predecessors(storage, plan, number))
        return exc_info, redaction.redact("".join(parts))

    def _format_predecessors(self, storage: Storage, plan: Plan, number: int) -> str:
        predecessors = _Predecessors(plan, number, self._max_predecessors)
        lines = [f"{predecessors.total} predecessors (most recent first):"]
        for indent, node, repeated in predecessors.tree():
            text = f"{node.title} (shown above)" if repeated else self._format_node(storage, node)
            lines.append(indent + text)
        omitted = predecessors.total - len(predecessors.shown)
        if omitted:
            lines.append(f"  and {omitted} further back")
        return "\n".join(lines)

    def _format_node(self, storage: Storage, node: Node) -> str:
        if node.kind == "flow":
            return node.title
        attributes = dict(self._attributes(storage, node.item))
        return f"{node.title} {attributes}" if attributes else node.title

    def _attributes(self, storage: Storage, atom: Atom) -> Iterator[tuple[str, Any]]:
        """Iterate over an atom's attributes; those that are not known are left out."""
        name, secret_names = str(atom.name), redaction.secret_names(_flow_metadata(self._engine))
        yield from _known("intention", storage.get_atom_intention, name)
        yield from _known("state", storage.get_atom_state, name)
        if name in self._hide_inputs_outputs_of:
            return
        inputs = functools.partial(storage.fetch_mapped_args, atom.rebind, optional_args=atom.optional)
        for key, value in _known("requires", inputs, atom_name=name):
            masked = mask_arguments(atom, value, self._mask_inputs_keys | secret_names)
            yield key, redaction.redact_data(masked)
        for key, value in _known("provides", storage.get_execute_result, name):
            masked = mask_result(atom, value, self._mask_outputs_keys | secret_names)
            yield key, redaction.redact_data(masked)


def _known(key: str, query: Callable[..., Any], *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
    """Yield a key and the result of a query, unless there is none."""
    try:
        yield key, query(*args, **kwargs)
    except (exc.StorageFailure, exc.NotFound):
        return


def _first_match(plan: Plan, atom_matcher: Matcher) -> int | None:
    nodes = (Node(atom, number, "atom") for number, atom in enumerate(plan.atoms))
    return next((node.number for node in nodes if atom_matcher(node)), None)


def _is_to_execute(storage: Storage, atom: Atom) -> bool:
    return dict(_known("intention", storage.get_atom_intention, str(atom.name))) == {"intention": st.EXECUTE}
