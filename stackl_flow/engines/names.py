"""Values by name, as an atom sees them, and as somebody outside does, to whom all providers are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from stackl_flow import exceptions as exc
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

    def mapped(
        self,
        arguments: Mapping[str, str],
        own: Mapping[str, Any],
        visible: Callable[[str], Iterable[int]],
        optional: AbstractSet[str],
    ) -> dict[str, Any]:
        """Find the value of each argument.

        Args:
            arguments: the name looked up for each.
            own: values that come before all others.
            visible: tells who can be seen to provide a name, by number, nearest first.
            optional: arguments that are left out if nobody is seen to provide them.

        Returns:
            The values by argument.

        Raises:
            NotFound: nobody provides one of them, or not yet.
        """
        given = self._given.of_flow()
        found: dict[str, Any] = {}
        for argument, name in arguments.items():
            if name in own or name in given:
                found[argument] = own[name] if name in own else given[name]
                continue
            providers = list(visible(name))
            for value in self._provided(name, providers):
                found[argument] = value
                break
            else:
                if providers or argument not in optional:
                    raise exc.NotFound(
                        f"Mapped argument {argument!r} <= {name!r} was not produced by any accessible"
                        f" provider ({len(providers)} possible providers were scanned)"
                    )
        return found

    def sight(
        self, atom_name: str | None, scopes: Iterable[Iterable[str]] | None = None
    ) -> Callable[[str], Iterable[int]]:
        """Say who can be seen to provide a name.

        Args:
            atom_name: the atom that looks; all providers if left out.
            scopes: names of those that can be seen, nearest first, in groups; worked out if left out.

        Returns:
            A function from a name to the numbers of its providers, nearest first.
        """
        providers, plan = self._providers(), self._ledger.plan
        if providers is None or plan is None:
            return lambda _: ()
        if scopes is not None:
            order = [plan.index[near] for scope in scopes for near in scope if near in plan.index]
            return lambda name: sorted(set(providers.of(name)).intersection(order), key=order.index)
        if atom_name is None:
            return providers.of
        atom = plan.index[atom_name]
        return lambda name: [provider for _, provider in providers.visible(atom, name)]

    def _values_of(self, name: str, given: Mapping[str, Any], providers: Providers | None) -> list[Any]:
        found: list[Any] = [given[name]] if name in given else []
        if providers is not None and self._ledger.plan is not None:
            found.extend(self._provided(name, providers.of(name)))
        return found

    def _provided(self, name: str, numbers: Iterable[int]) -> Iterator[Any]:
        """Go over what those atoms have provided under a name."""
        providers = self._providers()
        for number in numbers:
            value = self._ledger.values[number]
            if value is MISSING or providers is None:
                continue
            place = providers.place(number, name)
            try:
                yield value if place is None else value[place]
            except (IndexError, KeyError, ValueError, TypeError):
                continue  # it gave less than it promised
