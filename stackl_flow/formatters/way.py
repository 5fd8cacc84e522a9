"""The way to an atom, backwards through a plan."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from stackl_flow.formatters import ports


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

    def __init__(self, plan: ports.Plan, start: int, limit: int) -> None:
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
        waiting = list(reversed(self._plan.preds[node]))
        while waiting:
            near = waiting.pop()
            if near < known or near in self._begins:
                found[near] = None
            else:
                waiting.extend(reversed(self._plan.preds[near]))
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
