"""What is secret in a flow: marked by name, noted with it, and kept out of texts while an engine holds it.

The engine itself knows nothing of it: this listens to it.
"""

from __future__ import annotations

import contextlib
import difflib
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.atom import Atom
from stackl_flow.events import NO_RESULT, AtomTransition
from stackl_flow.failure import Failure
from stackl_flow.notifier import Notifier
from stackl_flow.patterns.base import Flow, Item
from stackl_flow.persistence.models import FlowDetail, secret_values

_LOG = redaction.get_logger(__name__)


class Store(Protocol):
    """What is asked of an engine's storage."""

    @property
    def flow_meta(self) -> Mapping[str, Any]:
        """The notes kept with the flow."""

    def fetch(self, name: str) -> Any:
        """Return a value by its name."""

    def update_flow_metadata(self, update_with: Mapping[str, Any]) -> None:
        """Add to them."""


class Engine(Protocol):
    """What is asked of an engine."""

    @property
    def atom_notifier(self) -> Notifier:
        """Tells of the atoms' moves."""

    @property
    def storage(self) -> Store:
        """Keeps the notes."""


def secret_metadata(flow: Item, secrets: Any, *given: Any) -> dict[str, Any]:
    """Write down what is secret in a flow, in the form of notes to its detail.

    Args:
        flow: the flow.
        secrets: names of values, given or provided; None if nothing is secret.
        given: what the flow is given; where anything is, a name that nothing goes by is warned of.

    Returns:
        The notes by their names; none if nothing is secret.

    Raises:
        TypeError: ``secrets`` are no names.
    """
    names = redaction.parse_names(secrets)
    if not names:
        return {}
    if given:
        _check_used(flow, names, given)
    places = [[str(a.name), place] for a in _atoms(flow) for name, place in a.outputs if name in names]
    return {redaction.NAMES_KEY: sorted(names), redaction.RESULTS_KEY: places}


def register_redaction(
    engine: Engine, flow: Item, detail: FlowDetail, store: Mapping[str, Any], secrets: Any
) -> None:
    """Have what is secret in a flow hidden in every text of this process, while its engine lives.

    Args:
        engine: the engine.
        flow: its flow.
        detail: what is known of it.
        store: values that it was given.
        secrets: names that are secret besides those that are noted with it.

    Raises:
        TypeError: ``secrets`` are no names.
    """
    names = redaction.parse_names(secrets) | redaction.secret_names(detail.meta)
    if not names:
        return
    own = [value for atom in _atoms(flow) for value in redaction.find_values(atom.inject or {}, names)]
    redaction.register(engine, [*redaction.find_values(store, names), *own])
    notes = secret_metadata(flow, names)
    if any(detail.meta.get(name) != note for name, note in notes.items()):
        engine.storage.update_flow_metadata(notes)
    redaction.register(engine, secret_values(detail.meta, detail))
    engine.atom_notifier.register(Notifier.ANY, _Ear(engine, notes).hear)


def _check_used(flow: Item, names: frozenset[str], given: Iterable[Any]) -> None:
    """Warn of names that nothing goes by: a slip of the pen would let the secret out."""
    known = _names_in(given)
    for atom in _atoms(flow):
        known.update(atom.rebind.values(), atom.revert_rebind.values(), atom.provides, atom.inject or ())
    for name in sorted(names - known):
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean '{near[0]}'?" if near else "only a key inside a result may yet be called so"
        _LOG.warning("no value of flow '%s' goes by the secret name '%s': %s", flow.name, name, meant)


def _names_in(data: Any) -> set[str]:
    if isinstance(data, Mapping):
        return {name for name in data if isinstance(name, str)}.union(*map(_names_in, data.values()))
    if isinstance(data, list | tuple):
        return set().union(*map(_names_in, data))
    return set()


class _Ear:
    """Hears what atoms provide, and has what is secret of it hidden as long as it lives itself.

    Args:
        engine: whom it hears.
        notes: what is secret.
    """

    def __init__(self, engine: Engine, notes: Mapping[str, Any]) -> None:
        self._engine = weakref.ref(engine)
        self._names = redaction.secret_names(notes)
        self._places = [tuple(pair) for pair in notes[redaction.RESULTS_KEY]]
        self._heard = False

    def _begin(self) -> None:
        """Have hidden what was given after the engine was made; this comes before the first call."""
        self._heard = True
        engine = self._engine()
        if engine is None:
            return
        found = redaction.find_values(engine.storage.flow_meta, self._names)
        for name in self._names:
            with contextlib.suppress(exc.NotFound):
                found.append(engine.storage.fetch(name))
        redaction.register(self, found)

    def hear(self, state: str, details: Mapping[str, Any]) -> None:
        """Take a move of an atom."""
        if not self._heard:
            self._begin()
        told = AtomTransition.from_details(state, details)
        if told.result is NO_RESULT or isinstance(told.result, Failure):
            return
        places = [place for atom, place in self._places if atom == told.name]
        found = redaction.select_parts(told.result, places) + redaction.find_values(told.result, self._names)
        if found:
            redaction.register(self, found)


def _atoms(item: Item) -> Iterator[Atom]:
    """Go over the atoms of a flow and of the flows in it."""
    if isinstance(item, Flow):
        if item.retry is not None:
            yield item.retry
        for inner in item:
            yield from _atoms(inner)
    else:
        yield item
