"""Records the calls of atoms, and the outcome of a run.

Final states alone hide errors such as a task that ran twice or a revert with a wrong value. Two runs are
equal if each atom had the same calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class PlannedError(Exception):
    """The planned failure of a task or of its revert."""


class Call(NamedTuple):
    """One call of an atom's method.

    Attributes:
        what: execute, revert, on_failure or decide.
        seen: the arguments, sorted by name, as text.
        result: of a task's execute; for a revert, the result it received; for a retry, its history.
        failures: the names in flow_failures, sorted; empty for an execute.
    """

    what: str
    seen: tuple[tuple[str, str], ...] = ()
    result: str = ""
    failures: tuple[str, ...] = ()


@dataclass(slots=True)
class Recorder:
    """The calls of one run, by atom; those of deciders by the name of their link."""

    calls: dict[str, list[Call]] = field(default_factory=dict)
    order: list[tuple[str, Call]] = field(default_factory=list)

    def record(self, name: str, call: Call) -> int:
        """Record a call.

        Returns:
            How many calls of this kind the atom has had, including this one.
        """
        mine = self.calls.setdefault(name, [])
        mine.append(call)
        self.order.append((name, call))
        return self.count(name, call.what)

    def count(self, name: str, what: str) -> int:
        """Count an atom's calls of one kind.

        Returns:
            How many there were.
        """
        return sum(1 for call in self.calls.get(name, ()) if call.what == what)

    def by_atom(self) -> dict[str, tuple[Call, ...]]:
        """Return the calls of each atom, in their order."""
        return {name: tuple(calls) for name, calls in sorted(self.calls.items())}


def arguments(seen: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Convert arguments to text for comparison.

    Returns:
        Pairs sorted by name.
    """
    return tuple(sorted((name, str(value)) for name, value in seen.items()))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a case.

    Attributes:
        flow_states: the flow's state after each `run`.
        raised: the errors of each `run`, as text; an empty tuple for none.
        atom_states: each atom's last state.
        calls: each atom's calls.
        order: all calls in their order, which may differ between equal outcomes.
        values: the values of the last run (`storage.fetch_all`), if the flow ended in SUCCESS.
    """

    flow_states: tuple[str, ...]
    raised: tuple[tuple[str, ...], ...]
    atom_states: Mapping[str, str]
    calls: Mapping[str, tuple[Call, ...]]
    values: tuple[tuple[str, tuple[str, ...]], ...] = ()
    order: tuple[tuple[str, Call], ...] = ()

    def differences(self, other: Outcome) -> list[str]:
        """Compare two outcomes.

        Returns:
            One line for each difference, this outcome on the left.
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
