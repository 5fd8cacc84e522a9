"""Values by name, as somebody outside the flow sees them: all providers are one scope."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stackl_flow.atom import Atom
from stackl_flow.engines.given import Given
from stackl_flow.engines.ledger import MISSING, Ledger

Places = Mapping[str, list[tuple[str, Any]]]


class Names:
    """Finds values by name.

    Args:
        ledger: where results are.
        given: values from outside.
        atoms: gives the flow's atoms by name, as far as they are known yet.
    """

    def __init__(self, ledger: Ledger, given: Given, atoms: Callable[[], Mapping[str, Atom]]) -> None:
        self._ledger = ledger
        self._given = given
        self._atoms = atoms

    def look_up(self, name: str) -> tuple[list[Any], list[str]]:
        """Find the values of a name.

        Args:
            name: the name.

        Returns:
            The values there are, and the atoms that could provide one.
        """
        places = self._places()
        return self._values_of(name, places), [atom_name for atom_name, _ in places.get(name, ())]

    def look_up_all(self) -> Iterator[tuple[str, list[Any]]]:
        """Find the values of every name.

        Returns:
            Pairs of a name and the values there are.
        """
        places = self._places()
        for name in dict.fromkeys((*self._given.of_flow(), *places)):
            yield name, self._values_of(name, places)

    def _places(self) -> Places:
        """For each name, the atoms that provide it and where in their results it is."""
        places: dict[str, list[tuple[str, Any]]] = {}
        for atom_name, atom in self._atoms().items():
            for name, place in atom.outputs:
                places.setdefault(name, []).append((atom_name, place))
        return places

    def _values_of(self, name: str, places: Places) -> list[Any]:
        given = self._given.of_flow()
        found: list[Any] = [given[name]] if name in given else []
        plan = self._ledger.plan
        if plan is None:
            return found
        for atom_name, place in places.get(name, ()):
            value = self._ledger.values[plan.index[atom_name]]
            if value is MISSING:
                continue
            try:
                found.append(value if place is None else value[place])
            except (IndexError, KeyError, ValueError, TypeError):
                continue  # it gave less than it promised
        return found
