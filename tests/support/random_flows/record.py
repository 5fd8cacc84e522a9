"""What atoms were asked to do, and what they were shown.

Final states alone hide a lot: a task run twice, a revert that saw the wrong value. So each atom built from
a spec writes down every call, and two runs are the same run when each atom's own calls are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class FlowBoom(Exception):
    """Raised by a task or a revert whose spec says that it fails."""


class Call(NamedTuple):
    """One call of an atom's method.

    Attributes:
        what: execute, revert, on_failure or decide.
        seen: the arguments, sorted by name, as text.
        result: for a task's execute, what it did; for its revert, the result it was shown; for a retry, its
            history.
        failures: the names in flow_failures, sorted; empty for an execute.
    """

    what: str
    seen: tuple[tuple[str, str], ...] = ()
    result: str = ""
    failures: tuple[str, ...] = ()


@dataclass(slots=True)
class Recorder:
    """The calls of one run, by atom; deciders stand under the names of their link."""

    calls: dict[str, list[Call]] = field(default_factory=dict)
    order: list[tuple[str, Call]] = field(default_factory=list)

    def note(self, name: str, call: Call) -> int:
        """Write a call down.

        Args:
            name: the atom.
            call: what it was asked.

        Returns:
            How many calls of this kind the atom has had, this one included.
        """
        mine = self.calls.setdefault(name, [])
        mine.append(call)
        self.order.append((name, call))
        return self.count(name, call.what)

    def count(self, name: str, what: str) -> int:
        """Count an atom's calls of one kind.

        Args:
            name: the atom.
            what: the kind.

        Returns:
            How many there were.
        """
        return sum(1 for call in self.calls.get(name, ()) if call.what == what)

    def by_atom(self) -> dict[str, tuple[Call, ...]]:
        """Return every atom's calls in the order it got them."""
        return {name: tuple(calls) for name, calls in sorted(self.calls.items())}


def arguments(seen: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Turn a call's arguments into text that can be compared.

    Args:
        seen: argument names and values.

    Returns:
        Pairs sorted by name.
    """
    return tuple(sorted((name, str(value)) for name, value in seen.items()))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended.

    Attributes:
        flow_states: the flow's state after each `run`.
        raised: what each `run` raised, as text; an empty tuple for one that raised nothing.
        atom_states: each atom's last state.
        calls: each atom's calls.
        order: all calls in the order they were made; it may differ between equal outcomes.
        values: what the last run has to show (`storage.fetch_all`), when the flow ended in SUCCESS.
    """

    flow_states: tuple[str, ...]
    raised: tuple[tuple[str, ...], ...]
    atom_states: Mapping[str, str]
    calls: Mapping[str, tuple[Call, ...]]
    values: tuple[tuple[str, tuple[str, ...]], ...] = ()
    order: tuple[tuple[str, Call], ...] = ()

    def differences(self, other: Outcome) -> list[str]:
        """Say how two outcomes differ.

        Args:
            other: what to compare with.

        Returns:
            One line a difference, mine on the left; empty when they are the same.
        """
        lines = []
        for part in ("flow_states", "raised", "values"):
            mine, theirs = getattr(self, part), getattr(other, part)
            if mine != theirs:
                lines.append(f"{part}: {mine} != {theirs}")
        for part in ("atom_states", "calls"):
            mine, theirs = getattr(self, part), getattr(other, part)
            lines += [
                f"{part} of {name}: {mine.get(name)} != {theirs.get(name)}"
                for name in sorted({*mine, *theirs})
                if mine.get(name) != theirs.get(name)
            ]
        return lines
