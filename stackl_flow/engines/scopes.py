"""Which provider an atom may see.

An atom sees what runs before it, the nearest first: its own flow's earlier items (and what is inside
them), then its parent flow's, and so on outwards. The rule is TaskFlow's; the search here walks the
providers of one name backwards, so that it costs what there is to find and not the size of the flow.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import Any

from stackl_flow.engines.plan import Plan


class Providers:
    """Finds providers in a plan.

    Args:
        plan: the plan.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        # Nearly every name has one provider, for which a list of its own would be a waste.
        self._by_name: dict[str, int | list[int]] = {}
        by_name = self._by_name
        for index, atom in enumerate(plan.atoms):
            for name, _ in atom.outputs:
                known = by_name.setdefault(name, index)
                if isinstance(known, list):
                    if known[-1] != index:
                        known.append(index)
                elif known != index:
                    by_name[name] = [known, index]

    def names(self) -> Iterator[str]:
        """Go over every name that some atom provides."""
        return iter(self._by_name)

    def of(self, name: str) -> list[int]:
        """Return the atoms that provide a name, by number, in running order."""
        known = self._by_name.get(name, [])
        return known if isinstance(known, list) else [known]

    def atoms_of(self, name: str) -> list[str]:
        """Return the names of the atoms that provide a name, in running order."""
        return [self._plan.names[index] for index in self.of(name)]

    def place(self, provider: int, name: str) -> Any:
        """Say where in a provider's result a name's value is (None: all of it)."""
        for output, place in self._plan.atoms[provider].outputs:
            if output == name:
                return place
        raise KeyError(name)

    def visible(self, atom: int, name: str) -> Iterator[tuple[int, int]]:
        """Go over the providers of a name that an atom may see, nearest first.

        Args:
            atom: the atom that looks.
            name: what it looks for.

        Returns:
            Pairs of how many flows outwards (0: its own) and the provider.
        """
        known = self.of(name)
        if not known:
            return
        scopes = self._plan.scopes
        scope, level = self._plan.scope_of[atom], 0
        position = bisect.bisect_left(known, atom) - 1
        inner = -1  # the child flow of ``scope`` that holds the atom
        while position >= 0 and scope >= 0:
            provider = known[position]
            here = scopes[scope]
            if provider < here.first:
                inner, scope, level = scope, here.parent, level + 1
                continue
            if provider == here.retry or here.ordering == "total":
                yield level, provider
                position -= 1
            elif here.ordering == "none":
                # Nothing beside the atom is before it, save the retry: leap to that.
                position = min(bisect.bisect_right(known, here.first), position) - 1
                if position >= 0 and known[position] == here.retry != -1:
                    yield level, known[position]
                    position -= 1
            else:
                if self._reaches(provider, scope, atom, inner):
                    yield level, provider
                position -= 1

    def _reaches(self, provider: int, scope: int, atom: int, inner: int) -> bool:
        """Say whether a provider's item is before the atom's item in a flow of links."""
        plan = self._plan
        leave = self._leave(provider, scope)
        enter = plan.scopes[inner].begin if inner >= 0 else atom
        barrier = plan.scopes[scope].begin
        seen = {enter}
        queue = [enter]
        for node in queue:
            before = plan.preds[node]
            if leave in before:
                return True
            for previous in before:
                if previous not in seen and previous != barrier:
                    seen.add(previous)
                    queue.append(previous)
        return False

    def _leave(self, provider: int, scope: int) -> int:
        """Return the node by which one leaves the item of a flow that holds a provider."""
        plan = self._plan
        leave, child = provider, plan.scope_of[provider]
        while child != scope:
            leave, child = plan.scopes[child].end, plan.scopes[child].parent
        return leave
