"""Names to values: what each method of each atom is handed.

Where a value comes from is worked out once, before the flow runs, which is also when a missing one is
noticed; what is left for each call is a look-up by number. The order of search is TaskFlow's: values given
to the atom, then those given to the flow, then the nearest provider.

Which provider an atom may see.

An atom sees what runs before it, the nearest first: its own flow's earlier items (and what is inside
them), then its parent flow's, and so on outwards. The rule is TaskFlow's; the search here walks the
providers of one name backwards, so that it costs what there is to find and not the size of the flow.

Values by name, as an atom sees them, and as somebody outside does, to whom all providers are alike.

Values that are given to a flow, or to one of its atoms, from outside.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.atom import Bindings
from stackl_flow.engines.journal import MISSING, Journal
from stackl_flow.engines.plan import Plan
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import AtomDetail
from stackl_flow.states import IGNORE


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


META_INJECTED: Final = "injected"

_NOTHING: Final[Mapping[str, Any]] = {}


class InjectedValues:
    """Keeps given values: in the flow's notes, which are stored, or in this process only.

    Args:
        journal: where the notes are.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._transient: dict[str, Any] = {}
        self._transient_of: dict[str, dict[str, Any]] = {}
        self._early: dict[str, Any] = {}

    def of_flow(self) -> Mapping[str, Any]:
        """Return what every atom may see; values of this process beat the stored ones."""
        stored: Mapping[str, Any] = self._journal.flow.meta.get(META_INJECTED, _NOTHING)
        if not (self._early or self._transient):
            return stored
        return {**stored, **self._early, **self._transient}

    def of_atom(self, atom: int) -> Mapping[str, Any]:
        """Return what only one atom may see.

        Args:
            atom: its number.

        Returns:
            Values by name; those of this process beat the stored ones.
        """
        return self.of_detail(self._journal.details[atom])

    def of_detail(self, detail: AtomDetail) -> Mapping[str, Any]:
        """Return what only one atom may see.

        Args:
            detail: its detail.

        Returns:
            Values by name; those of this process beat the stored ones.
        """
        stored = detail.meta.get(META_INJECTED) if detail.has_meta else None
        passing = self._transient_of.get(detail.name)
        if not stored:
            return passing or _NOTHING
        return {**stored, **passing} if passing else stored

    def give(self, pairs: Mapping[str, Any], *, transient: bool) -> None:
        """Give values to the whole flow.

        Args:
            pairs: values by name.
            transient: keep them in this process only.

        Raises:
            NotSerializable: a value has no JSON form and is to be stored.
        """
        if transient:
            self._transient.update(pairs)
            return
        self._check(pairs)
        if self._journal.backend is not None and self._journal.plan is None:
            self._early.update(pairs)  # the flow is not owned yet, and may be read anew until then
        else:
            self._store(pairs)

    def give_own(self, plan: Plan, *, transient: bool) -> None:
        """Give every atom what it was made with.

        Args:
            plan: gives the atoms.
            transient: as for ``give_to``.
        """
        for atom, name in zip(plan.atoms, plan.names, strict=True):
            if atom.inject:
                self.give_to(name, atom.inject, transient=transient)

    def give_to(self, atom_name: str, pairs: Mapping[str, Any], *, transient: bool) -> None:
        """Give values to one atom.

        Args:
            atom_name: its name.
            pairs: values by name.
            transient: keep them in this process only; otherwise they are written with the next move.

        Raises:
            NotSerializable: a value has no JSON form and is to be stored.
        """
        if transient:
            self._transient_of.setdefault(atom_name, {}).update(pairs)
            return
        self._check(pairs)
        detail = self._journal.by_name[atom_name]
        self._journal.touch(detail, {META_INJECTED: {**detail.meta.get(META_INJECTED, {}), **pairs}})

    def settle(self) -> None:
        """Have what was given before the flow was owned written with the next entry."""
        if self._early:
            meta = {**self._journal.flow.meta, **self._noted(self._early)}
            self._early = {}
            self._journal.note(meta)

    def _store(self, pairs: Mapping[str, Any]) -> None:
        self._journal.update_meta(self._noted(pairs))

    def _noted(self, pairs: Mapping[str, Any]) -> dict[str, Any]:
        return {META_INJECTED: {**self._journal.flow.meta.get(META_INJECTED, _NOTHING), **pairs}}

    def _check(self, pairs: Mapping[str, Any]) -> None:
        if self._journal.backend is not None:
            check_storable(pairs, self._journal.flow.name, self._journal.backend)


def check_storable(pairs: Mapping[str, Any], flow_name: str, backend: Backend) -> None:
    """Check that values given to a flow have a stored form.

    Args:
        pairs: the values by name.
        flow_name: the flow, for the message.
        backend: where they are to be stored.

    Raises:
        NotSerializable: a value has no JSON form.
    """
    for name, value in pairs.items():
        try:
            backend.codec.encode(value)
        except exc.NotSerializable as error:
            raise exc.NotSerializable(
                f"value '{name}' given to flow '{flow_name}': {error};"
                f" or inject it with transient=True, which keeps it in this process only",
                cause=error.cause,
            ) from error


_LOG = redaction.get_logger(__name__)

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
        journal: where results are.
        given: values from outside.
    """

    def __init__(self, plan: Plan, journal: Journal, given: InjectedValues) -> None:
        self._plan = plan
        self._journal = journal
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
            sources, lacking = self._sources(number, atom.execute_bindings, flow_names)
            bound.append(sources)
            if lacking:
                troubles.append((number, "execute", lacking))
            if atom.revert_bindings.required and atom.revert_bindings != atom.execute_bindings:
                _, lacking = self._sources(number, atom.revert_bindings, flow_names)
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
        self, number: int, bindings: Bindings, flow_names: Mapping[str, Any]
    ) -> tuple[tuple[Source, ...], list[str]]:
        own = self._given.of_atom(number)
        found: list[Source] = []
        lacking: list[str] = []
        required = len(bindings.required)
        for order, (argument, name) in enumerate(bindings.required + bindings.optional):
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
        if atom.revert_bindings == atom.execute_bindings:
            return self._look_up(number, self._bound[number])
        flow_names = self._given.of_flow()
        return self._look_up(number, self._sources(number, atom.revert_bindings, flow_names)[0])

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
        values = self._journal.values
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
            value = self._journal.values[provider]
            if value is MISSING:
                if self._journal.state_of(provider) == IGNORE:
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


class Resolver:
    """Finds values by name.

    Args:
        journal: where results are.
        given: values from outside.
        providers: tells who provides what, once the flow is compiled.
    """

    def __init__(
        self, journal: Journal, given: InjectedValues, providers: Callable[[], Providers | None]
    ) -> None:
        self._journal = journal
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
        providers, plan = self._providers(), self._journal.plan
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
        if providers is not None and self._journal.plan is not None:
            found.extend(self._provided(name, providers.of(name)))
        return found

    def _provided(self, name: str, numbers: Iterable[int]) -> Iterator[Any]:
        """Go over what those atoms have provided under a name."""
        providers = self._providers()
        for number in numbers:
            value = self._journal.values[number]
            if value is MISSING or providers is None:
                continue
            place = providers.place(number, name)
            try:
                yield value if place is None else value[place]
            except (IndexError, KeyError, ValueError, TypeError):
                continue  # it gave less than it promised
