"""Resolves names to values: the arguments of every call, and what a program fetches by name.

Where an argument comes from is worked out once, before the flow runs, which is also when a missing one is
noticed; each call then looks its arguments up by number. The order of search is TaskFlow's: values injected
into the atom, then those injected into the flow, then the nearest visible provider.

An atom sees the providers that run before it, nearest first: the earlier items of its own flow and what is
inside them, then those of its parent flow, and so on outwards. The rule is TaskFlow's; here the search walks
the providers of one name backwards, so that its cost depends on their number and not on the size of the flow.
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
from stackl_flow.error_text import short_name
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import AtomDetail
from stackl_flow.states import IGNORE

_LOG = redaction.get_logger(__name__)

#: Key of injected values in the metadata of flows and atoms.
META_INJECTED: Final = "injected"

_NO_VALUES: Final[Mapping[str, Any]] = {}
#: What indexing a result that does not hold what ``provides`` names may raise: its class decides.
_LOOKUP_ERRORS: Final = Exception


class Providers:
    """The atoms that provide each name, in a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        # Nearly every name has one provider: a list for each would be a waste.
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
        """Iterate over every name that some atom provides."""
        return iter(self._by_name)

    def of(self, name: str) -> list[int]:
        """Return the atoms that provide a name, by number, in running order."""
        known = self._by_name.get(name, [])
        return known if isinstance(known, list) else [known]

    def atom_names_of(self, name: str) -> list[str]:
        """Return the names of the atoms that provide a name, in running order."""
        return [self._plan.names[index] for index in self.of(name)]

    def key_in_result(self, provider: int, name: str) -> Any:
        """Return the index or key of a name's value in a provider's result (None: the whole result)."""
        for output, key in self._plan.atoms[provider].outputs:
            if output == name:
                return key
        raise KeyError(name)

    def visible(self, atom: int, name: str) -> Iterator[tuple[int, int]]:
        """Iterate over the providers of a name that are visible to an atom, nearest first.

        Yields:
            How many flows outwards the provider is (0: the atom's own flow), and its number.
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
            current = scopes[scope]
            if provider < current.first:
                inner, scope, level = scope, current.parent, level + 1
                continue
            if provider == current.retry or current.ordering == "total":
                yield level, provider
                position -= 1
            elif current.ordering == "none":
                # Nothing beside the atom runs before it, except the retry: skip to that.
                position = min(bisect.bisect_right(known, current.first), position) - 1
                if position >= 0 and known[position] == current.retry != -1:
                    yield level, known[position]
                    position -= 1
            else:
                if self._is_before(provider, scope, atom, inner):
                    yield level, provider
                position -= 1

    def _is_before(self, provider: int, scope: int, atom: int, inner: int) -> bool:
        """Return whether a provider's item is before the atom's item in a graph flow."""
        plan = self._plan
        last = self._last_node(provider, scope)
        first = plan.scopes[inner].begin if inner >= 0 else atom
        barrier = plan.scopes[scope].begin
        seen = {first}
        queue = [first]
        for node in queue:
            before = plan.predecessors[node]
            if last in before:
                return True
            for previous in before:
                if previous not in seen and previous != barrier:
                    seen.add(previous)
                    queue.append(previous)
        return False

    def _last_node(self, provider: int, scope: int) -> int:
        """Return the last node of the item of a flow that holds a provider."""
        plan = self._plan
        last, child = provider, plan.scope_of[provider]
        while child != scope:
            last, child = plan.scopes[child].end, plan.scopes[child].parent
        return last


class InjectedValues:
    """Values injected into a flow or into one of its atoms.

    They are stored in the metadata, or kept in this process only (transient), which take precedence.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._transient: dict[str, Any] = {}
        self._transient_of_atoms: dict[str, dict[str, Any]] = {}
        self._unowned: dict[str, Any] = {}

    def of_flow(self) -> Mapping[str, Any]:
        """Return the values that every atom sees."""
        stored: Mapping[str, Any] = self._journal.flow.meta.get(META_INJECTED, _NO_VALUES)
        if not (self._unowned or self._transient):
            return stored
        return {**stored, **self._unowned, **self._transient}

    def of_atom(self, number: int) -> Mapping[str, Any]:
        """Return the values that only one atom sees."""
        return self.of_detail(self._journal.details[number])

    def of_detail(self, detail: AtomDetail) -> Mapping[str, Any]:
        """Return the values that only one atom sees, by its detail."""
        stored = detail.meta.get(META_INJECTED) if detail.has_meta else None
        transient = self._transient_of_atoms.get(detail.name)
        if not stored:
            return transient or _NO_VALUES
        return {**stored, **transient} if transient else stored

    def inject(self, pairs: Mapping[str, Any], *, transient: bool) -> None:
        """Inject values into the flow.

        Raises:
            NotSerializable: a value is to be stored and has no JSON form.
        """
        if transient:
            self._transient.update(pairs)
            return
        self._check_storable(pairs)
        if self._journal.backend is not None and self._journal.plan is None:
            self._unowned.update(pairs)  # the stored flow is read again when it is owned
        else:
            self._journal.update_metadata(self._metadata_with(pairs))

    def inject_into_atom(self, atom_name: str, pairs: Mapping[str, Any], *, transient: bool) -> None:
        """Inject values into one atom; stored values are written with the next commit.

        Raises:
            NotSerializable: a value is to be stored and has no JSON form.
        """
        if transient:
            self._transient_of_atoms.setdefault(atom_name, {}).update(pairs)
            return
        self._check_storable(pairs)
        detail = self._journal.by_name[atom_name]
        self._journal.save_atom(detail, {META_INJECTED: {**detail.meta.get(META_INJECTED, {}), **pairs}})

    def inject_defaults(self, plan: Plan, *, transient: bool) -> None:
        """Inject into every atom what it was created with (``inject=``)."""
        for atom, name in zip(plan.atoms, plan.names, strict=True):
            if atom.inject:
                self.inject_into_atom(name, atom.inject, transient=transient)

    def store_unowned(self) -> None:
        """Have the values that were injected before the flow was owned written with the next commit."""
        if self._unowned:
            values = self._metadata_with(self._unowned)[META_INJECTED]
            self._unowned = {}
            self._journal.set_metadata(META_INJECTED, values)

    def _metadata_with(self, pairs: Mapping[str, Any]) -> dict[str, Any]:
        return {META_INJECTED: {**self._journal.flow.meta.get(META_INJECTED, _NO_VALUES), **pairs}}

    def _check_storable(self, pairs: Mapping[str, Any]) -> None:
        if self._journal.backend is not None:
            check_storable(pairs, self._journal.flow.name, self._journal.backend)


def check_storable(pairs: Mapping[str, Any], flow_name: str, backend: Backend) -> None:
    """Check that the codec of a backend can encode values.

    Raises:
        NotSerializable: a value has no JSON form.
    """
    for name, value in pairs.items():
        try:
            backend.codec.encode(value)
        except exc.NotSerializable as error:
            raise exc.NotSerializable(
                f"value '{name}' of flow '{flow_name}': {error};"
                f" or inject it with transient=True, which keeps it in this process only",
                cause=error.cause,
            ) from error


#: A source instead of an atom's number: values injected into the atom, or into the flow.
FROM_ATOM: Final = -1
FROM_FLOW: Final = -2

#: Where an argument comes from: the argument, the number of the provider or one of the two above, the key in
#: its result, and the name. A plain tuple, because the garbage collector stops tracking those.
Source = tuple[str, int, Any, str]

#: How many atoms are searched for a misspelled name.
_SPELLING_LIMIT: Final = 1000


class ArgumentBinder:
    """Binds the arguments of atoms to their sources, and looks them up for each call."""

    def __init__(self, plan: Plan, journal: Journal, injected: InjectedValues) -> None:
        self._plan = plan
        self._journal = journal
        self._injected = injected
        self._providers = Providers(plan)
        self._sources: list[tuple[Source, ...]] = []

    @property
    def providers(self) -> Providers:
        """The providers in this plan."""
        return self._providers

    def bind(self) -> None:
        """Work out where every argument comes from.

        Raises:
            MissingDependencies: a required argument has no source.
        """
        plan = self._plan
        flow_names = self._injected.of_flow()
        sources_of: list[tuple[Source, ...]] = []
        missing_of: list[tuple[int, str, list[str]]] = []
        for number, atom in enumerate(plan.atoms):
            sources, missing = self._find_sources(number, atom.execute_bindings, flow_names)
            sources_of.append(sources)
            if missing:
                missing_of.append((number, "execute", missing))
            if atom.revert_bindings.required and atom.revert_bindings != atom.execute_bindings:
                _, missing = self._find_sources(number, atom.revert_bindings, flow_names)
                if missing:
                    missing_of.append((number, "revert", missing))
        if missing_of:
            raise self._missing_dependencies(missing_of)
        self._sources = sources_of

    def _find_sources(
        self, number: int, bindings: Bindings, flow_names: Mapping[str, Any]
    ) -> tuple[tuple[Source, ...], list[str]]:
        """Return the sources of an atom's arguments, and the required names that have none."""
        atom_names = self._injected.of_atom(number)
        sources: list[Source] = []
        missing: list[str] = []
        required = len(bindings.required)
        for order, (argument, name) in enumerate(bindings.required + bindings.optional):
            if name in atom_names:
                sources.append((argument, FROM_ATOM, None, name))
            elif name in flow_names:
                sources.append((argument, FROM_FLOW, None, name))
            else:
                nearest = next(self._providers.visible(number, name), None)
                if nearest is not None:
                    key = self._providers.key_in_result(nearest[1], name)
                    sources.append((argument, nearest[1], key, name))
                elif order < required:
                    missing.append(name)
        return tuple(sources), missing

    def _missing_dependencies(self, missing_of: list[tuple[int, str, list[str]]]) -> exc.MissingDependencies:
        cause: exc.MissingDependencies | None = None
        names: set[str] = set()
        is_lone_task = len(missing_of) == 1 and not self._plan.scopes
        for number, method, missing in missing_of:
            atom = self._plan.atoms[number]
            hint = self._hint(missing) if is_lone_task else ""
            cause = exc.MissingDependencies(atom, missing, cause=cause, method=method, hint=hint)
            names.update(missing)
        if is_lone_task and cause is not None:
            return cause
        hint = self._hint(names)
        return exc.MissingDependencies(f"flow '{self._plan.name}'", names, cause=cause, hint=hint)

    def _hint(self, missing: Iterable[str]) -> str:
        """Suggest a remedy: providers that run too late, and similar names."""
        atoms = self._plan.atoms[:_SPELLING_LIMIT]
        providers = {name: atom.name for atom in reversed(atoms) for name, _ in atom.outputs}
        known = {*map(str, self._injected.of_flow()), *providers}
        hints: list[str] = []
        for name in sorted(missing):
            if name in providers:
                hints.append(f"; '{providers[name]}' provides {name!r}, but does not run before the atom")
                continue
            similar = get_close_matches(name, known, n=1)
            hints += [f"; did you mean {found!r} instead of {name!r}?" for found in similar]
        return "".join(hints)

    def for_execute(self, number: int) -> dict[str, Any]:
        """Return the arguments of an atom's ``execute``.

        Raises:
            ValueNotProvided: a provider did not provide a value.
        """
        return self._look_up(number, self._sources[number])

    def for_revert(self, number: int) -> dict[str, Any]:
        """Return the arguments of an atom's ``revert``, without result and failures.

        Raises:
            ValueNotProvided: a provider did not provide a value.
        """
        atom = self._plan.atoms[number]
        if atom.revert_bindings == atom.execute_bindings:
            return self._look_up(number, self._sources[number])
        sources, _ = self._find_sources(number, atom.revert_bindings, self._injected.of_flow())
        return self._look_up(number, sources)

    def check_outputs(self, number: int, result: Any) -> None:
        """Warn if a result does not hold everything that ``provides`` names, as TaskFlow does."""
        for name, key in self._plan.atoms[number].outputs:
            if key is None:
                continue
            try:
                result[key]
            except _LOOKUP_ERRORS:
                _LOG.warning(
                    "atom '%s' should provide '%s' as result[%r], but its result does not contain it: %s",
                    self._plan.names[number], name, key, short_name(type(result)),
                )  # fmt: skip

    def _look_up(self, number: int, sources: tuple[Source, ...]) -> dict[str, Any]:
        values = self._journal.values
        arguments = {}
        for source in sources:
            argument, provider, key, name = source
            if provider >= 0:
                value = values[provider]
                if value is MISSING:
                    value = self._look_further(number, name)
                elif key is not None:
                    try:
                        value = value[key]
                    except _LOOKUP_ERRORS:
                        value = self._look_further(number, name)
                arguments[argument] = value
            elif provider == FROM_ATOM:
                arguments[argument] = self._injected.of_atom(number)[name]
            else:
                arguments[argument] = self._injected.of_flow()[name]
        return arguments

    def _look_further(self, number: int, name: str) -> Any:
        """Try the other providers in the scope, as the nearest was ignored or its result is incomplete."""
        level = None
        tried: list[str] = []
        for provider_level, provider in self._providers.visible(number, name):
            if level is not None and provider_level != level:
                break
            tried.append(self._plan.names[provider])
            value = self._journal.values[provider]
            if value is MISSING:
                if self._journal.state_of(provider) == IGNORE:
                    continue
                break
            level = provider_level
            key = self._providers.key_in_result(provider, name)
            try:
                return value if key is None else value[key]
            except _LOOKUP_ERRORS:
                continue
        raise exc.ValueNotProvided(
            f"atom '{self._plan.names[number]}' requires {name!r}, which {tried} should have provided but did"
            f" not: an ignored atom provides nothing, and a result must contain what `provides` names"
        )


class Resolver:
    """Finds values by name for queries from outside the flow.

    Args:
        journal: holds the results.
        injected: injected values.
        providers: returns the providers once the flow is compiled.
    """

    def __init__(
        self, journal: Journal, injected: InjectedValues, providers: Callable[[], Providers | None]
    ) -> None:
        self._journal = journal
        self._injected = injected
        self._providers = providers

    def find(self, name: str) -> tuple[list[Any], list[str]]:
        """Find the values of a name; the cost does not grow with the flow.

        Returns:
            The values there are, and the atoms that could provide one.
        """
        providers = self._providers()
        atoms = [] if providers is None else providers.atom_names_of(name)
        return self._values_of(name, self._injected.of_flow(), providers), atoms

    def find_all(self) -> Iterator[tuple[str, list[Any]]]:
        """Iterate over every name and the values it has."""
        providers, injected = self._providers(), self._injected.of_flow()
        provided = () if providers is None else providers.names()
        for name in dict.fromkeys((*injected, *provided)):
            yield name, self._values_of(name, injected, providers)

    def resolve_arguments(
        self,
        arguments: Mapping[str, str],
        atom_values: Mapping[str, Any],
        visible: Callable[[str], Iterable[int]],
        optional: AbstractSet[str],
    ) -> dict[str, Any]:
        """Find the value of each argument.

        Args:
            arguments: the name to look up for each argument.
            atom_values: values that take precedence over all others.
            visible: returns the visible providers of a name; see ``visible_providers``.
            optional: arguments that are left out if they have no provider.

        Raises:
            NotFound: an argument has no value (yet).
        """
        injected = self._injected.of_flow()
        found: dict[str, Any] = {}
        for argument, name in arguments.items():
            if name in atom_values or name in injected:
                found[argument] = atom_values[name] if name in atom_values else injected[name]
                continue
            providers = list(visible(name))
            for value in self._provided_values(name, providers):
                found[argument] = value
                break
            else:
                if providers or argument not in optional:
                    raise exc.NotFound(
                        f"Mapped argument {argument!r} <= {name!r} was not produced by any accessible"
                        f" provider ({len(providers)} possible providers were scanned)"
                    )
        return found

    def visible_providers(
        self, atom_name: str | None, scopes: Iterable[Iterable[str]] | None = None
    ) -> Callable[[str], Iterable[int]]:
        """Return a function from a name to the numbers of its visible providers, nearest first.

        Args:
            atom_name: the atom to which they are visible; all providers if left out.
            scopes: names of the visible atoms, nearest first, in groups; worked out if left out.
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

    def _values_of(self, name: str, injected: Mapping[str, Any], providers: Providers | None) -> list[Any]:
        values: list[Any] = [injected[name]] if name in injected else []
        if providers is not None and self._journal.plan is not None:
            values.extend(self._provided_values(name, providers.of(name)))
        return values

    def _provided_values(self, name: str, numbers: Iterable[int]) -> Iterator[Any]:
        providers = self._providers()
        for number in numbers:
            value = self._journal.values[number]
            if value is MISSING or providers is None:
                continue
            key = providers.key_in_result(number, name)
            try:
                yield value if key is None else value[key]
            except _LOOKUP_ERRORS:
                continue  # the result holds less than it should
