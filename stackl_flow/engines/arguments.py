"""Names to values: what each method of each atom is handed.

Where a value comes from is worked out once, before the flow runs, which is also when a missing one is
noticed; what is left for each call is a look-up by number. The order of search is TaskFlow's: values given
to the atom, then those given to the flow, then the nearest provider.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import secrecy
from stackl_flow.atom import Takes
from stackl_flow.engines.given import Given
from stackl_flow.engines.ledger import MISSING, Ledger
from stackl_flow.engines.plan import Plan
from stackl_flow.engines.scopes import Providers
from stackl_flow.states import IGNORE

_LOG = secrecy.logger(__name__)

OF_ATOM: Final = -1
OF_FLOW: Final = -2
_LOOKED_AT: Final = 1000

# Where one argument comes from: the argument, an atom's number or one of the two below, where in
# its result, and the name looked up. A plain tuple: the garbage collector lets go of those.
Source = tuple[str, int, Any, str]


class Arguments:
    """Finds the arguments of each call.

    Args:
        plan: the plan.
        ledger: where results are.
        given: values from outside.
    """

    def __init__(self, plan: Plan, ledger: Ledger, given: Given) -> None:
        self._plan = plan
        self._ledger = ledger
        self._given = given
        self._providers = Providers(plan)
        self._bound: list[tuple[Source, ...]] = []

    @property
    def providers(self) -> Providers:
        """Who provides what in this plan."""
        return self._providers

    def bind(self) -> None:
        """Work out where every argument comes from.

        Raises:
            MissingDependencies: nobody provides something that is needed.
        """
        plan = self._plan
        flow_names = self._given.of_flow()
        bound: list[tuple[Source, ...]] = []
        troubles: list[tuple[int, str, list[str]]] = []
        for number, atom in enumerate(plan.atoms):
            sources, lacking = self._sources(number, atom.takes, flow_names)
            bound.append(sources)
            if lacking:
                troubles.append((number, "execute", lacking))
            if atom.revert_takes.required and atom.revert_takes != atom.takes:
                _, lacking = self._sources(number, atom.revert_takes, flow_names)
                if lacking:
                    troubles.append((number, "revert", lacking))
        if troubles:
            raise self._lacking(troubles)
        self._bound = bound

    def _lacking(self, troubles: list[tuple[int, str, list[str]]]) -> exc.MissingDependencies:
        cause: exc.MissingDependencies | None = None
        names: set[str] = set()
        lone = len(troubles) == 1 and not self._plan.scopes
        for number, method, lacking in troubles:
            atom = self._plan.atoms[number]
            hint = self._misspelt(lacking) if lone else ""
            cause = exc.MissingDependencies(atom, lacking, cause=cause, method=method, hint=hint)
            names.update(lacking)
        if lone and cause is not None:
            return cause
        hint = self._misspelt(names)
        return exc.MissingDependencies(f"flow '{self._plan.name}'", names, cause=cause, hint=hint)

    def _misspelt(self, lacking: Iterable[str]) -> str:
        """Look for what may have been meant; nobody reads through the names of a million atoms."""
        atoms = self._plan.atoms[:_LOOKED_AT]
        givers = {name: atom.name for atom in reversed(atoms) for name, _ in atom.outputs}
        there = {*map(str, self._given.of_flow()), *givers}
        hints: list[str] = []
        for name in sorted(lacking):
            if name in givers:
                hints.append(f"; '{givers[name]}' provides {name!r}, but does not stand before who needs it")
                continue
            near = get_close_matches(name, there, n=1)
            hints += [f"; there is {found!r}: was {name!r} meant to be that?" for found in near]
        return "".join(hints)

    def _sources(
        self, number: int, takes: Takes, flow_names: Mapping[str, Any]
    ) -> tuple[tuple[Source, ...], list[str]]:
        own = self._given.of_atom(number)
        found: list[Source] = []
        lacking: list[str] = []
        required = len(takes.required)
        for order, (argument, name) in enumerate(takes.required + takes.optional):
            if name in own:
                found.append((argument, OF_ATOM, None, name))
            elif name in flow_names:
                found.append((argument, OF_FLOW, None, name))
            else:
                nearest = next(self._providers.visible(number, name), None)
                if nearest is not None:
                    place = self._providers.place(nearest[1], name)
                    found.append((argument, nearest[1], place, name))
                elif order < required:
                    lacking.append(name)
        return tuple(found), lacking

    def for_execute(self, number: int) -> dict[str, Any]:
        """Find what an atom's ``execute`` is handed.

        Args:
            number: the atom.

        Returns:
            Values by argument.

        Raises:
            NotFound: a provider did not provide after all.
        """
        return self._look_up(number, self._bound[number])

    def for_revert(self, number: int) -> dict[str, Any]:
        """Find what an atom's ``revert`` is handed, besides its result and the failures.

        Args:
            number: the atom.

        Returns:
            Values by argument.

        Raises:
            NotFound: a provider did not provide after all.
        """
        atom = self._plan.atoms[number]
        if atom.revert_takes == atom.takes:
            return self._look_up(number, self._bound[number])
        flow_names = self._given.of_flow()
        return self._look_up(number, self._sources(number, atom.revert_takes, flow_names)[0])

    def check_outputs(self, number: int, result: Any) -> None:
        """Warn when a result does not hold all that it was to hold, as TaskFlow does.

        Args:
            number: the atom that gave it.
            result: what it gave.
        """
        for name, place in self._plan.atoms[number].outputs:
            if place is None:
                continue
            try:
                result[place]
            except (IndexError, KeyError, ValueError, TypeError):
                _LOG.warning(
                    "atom '%s' was to provide '%s' as result[%r], but its result has none: %s",
                    self._plan.names[number], name, place, type(result).__name__,
                )  # fmt: skip

    def _look_up(self, number: int, sources: tuple[Source, ...]) -> dict[str, Any]:
        values = self._ledger.values
        found = {}
        for source in sources:
            argument, provider, place, name = source
            if provider >= 0:
                value = values[provider]
                if value is MISSING:
                    value = self._from_another(number, source)
                elif place is not None:
                    value = self._part_of(number, source, value)
                found[argument] = value
            elif provider == OF_ATOM:
                found[argument] = self._given.of_atom(number)[name]
            else:
                found[argument] = self._given.of_flow()[name]
        return found

    def _part_of(self, number: int, source: Source, value: Any) -> Any:
        try:
            return value[source[2]]
        except (IndexError, KeyError, ValueError, TypeError):
            return self._from_another(number, source)

    def _from_another(self, number: int, source: Source) -> Any:
        """Look further: a provider that was ignored, or gave too little, may not be the only one."""
        level = None
        tried: list[str] = []
        for further, provider in self._providers.visible(number, source[3]):
            if level is not None and further != level:
                break
            tried.append(self._plan.names[provider])
            value = self._ledger.values[provider]
            if value is MISSING:
                if self._ledger.state_of(provider) == IGNORE:
                    continue
                break
            level = further
            place = self._providers.place(provider, source[3])
            try:
                return value if place is None else value[place]
            except (IndexError, KeyError, ValueError, TypeError):
                continue
        raise exc.NotFound(
            f"atom '{self._plan.names[number]}' needs {source[3]!r}, which {tried} should have provided but"
            f" did not: an ignored atom provides nothing, and a result must hold what `provides` names"
        )
