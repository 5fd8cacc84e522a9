"""Values by name, as somebody outside the flow sees them: all providers are one scope."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stackl_flow.engines.given import Given
from stackl_flow.engines.ledger import MISSING, Ledger
from stackl_flow.engines.scopes import Providers


class Names:
    """Finds values by name.

    Args:
        ledger: where results are.
        given: values from outside.
        providers: tells who provides what, once the flow is compiled.
    """

    def __init__(self, ledger: Ledger, given: Given, providers: Callable[[], Providers | None]) -> None:
        self._ledger = ledger
        self._given = given
        self._providers = providers

    def look_up(self, name: str) -> tuple[list[Any], list[str]]:
        """Find the values of a name; the cost does not grow with the flow.

        Args:
            name: the name.

        Returns:
            The values there are, and the atoms that could provide one.
        """
        providers = self._providers()
        atoms = [] if providers is None else providers.atoms_of(name)
        return self._values_of(name, self._given.of_flow(), providers), atoms

    def look_up_all(self) -> Iterator[tuple[str, list[Any]]]:
        """Find the values of every name.

        Returns:
            Pairs of a name and the values there are.
        """
        providers, given = self._providers(), self._given.of_flow()
        provided = () if providers is None else providers.names()
        for name in dict.fromkeys((*given, *provided)):
            yield name, self._values_of(name, given, providers)

    def _values_of(self, name: str, given: Mapping[str, Any], providers: Providers | None) -> list[Any]:
        found: list[Any] = [given[name]] if name in given else []
        if providers is None or self._ledger.plan is None:
            return found
        for number in providers.of(name):
            value = self._ledger.values[number]
            if value is MISSING:
                continue
            place = providers.place(number, name)
            try:
                found.append(value if place is None else value[place])
            except (IndexError, KeyError, ValueError, TypeError):
                continue  # it gave less than it promised
        return found
