"""Secrets of a flow: names of secret values, stored in its metadata, whose values are redacted in all texts.

Values are redacted as long as the engine lives that handles them. The engine itself does not take part: this
module registers a callback with it.
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


class Storage(Protocol):
    """What this module requires of an engine's storage."""

    @property
    def flow_meta(self) -> Mapping[str, Any]:
        """The flow's metadata."""

    def fetch(self, name: str) -> Any:
        """Return a value by its name."""

    def update_flow_metadata(self, update_with: Mapping[str, Any]) -> None:
        """Add to the flow's metadata."""


class Engine(Protocol):
    """What this module requires of an engine."""

    @property
    def atom_notifier(self) -> Notifier:
        """Notifies about transitions of atoms."""

    @property
    def storage(self) -> Storage:
        """The flow's storage."""


def secret_metadata(flow: Item, secrets: Any, *inputs: Any) -> dict[str, Any]:
    """Return the metadata that declares which values of a flow are secret.

    Args:
        flow: the flow.
        secrets: names of secret values, injected or provided; None if there are none.
        inputs: the flow's inputs. If any are given, names that no value has are logged as a warning.

    Returns:
        The metadata; empty if nothing is secret.

    Raises:
        TypeError: ``secrets`` are not names.
    """
    names = redaction.parse_names(secrets)
    if not names:
        return {}
    if inputs:
        _warn_about_unused(flow, names, inputs)
    results = [[str(a.name), key] for a in _atoms(flow) for name, key in a.outputs if name in names]
    return {redaction.NAMES_KEY: sorted(names), redaction.RESULTS_KEY: results}


def register_redaction(
    engine: Engine, flow: Item, detail: FlowDetail, store: Mapping[str, Any], secrets: Any
) -> None:
    """Redact a flow's secret values in all texts of this process while its engine lives.

    Args:
        engine: the engine.
        flow: its flow.
        detail: the flow's detail.
        store: the values passed to the flow.
        secrets: names of secret values besides those declared in the metadata; new ones are stored there.

    Raises:
        TypeError: ``secrets`` are not names.
    """
    names = redaction.parse_names(secrets) | redaction.secret_names(detail.meta)
    if not names:
        return
    injected = [value for atom in _atoms(flow) for value in redaction.find_values(atom.inject or {}, names)]
    redaction.register(engine, [*redaction.find_values(store, names), *injected])
    metadata = secret_metadata(flow, names)
    if any(detail.meta.get(key) != value for key, value in metadata.items()):
        engine.storage.update_flow_metadata(metadata)
    redaction.register(engine, secret_values(detail.meta, detail))
    engine.atom_notifier.register(Notifier.ANY, _SecretCollector(engine, metadata).on_transition)


def _warn_about_unused(flow: Item, names: frozenset[str], inputs: Iterable[Any]) -> None:
    """Warn about secret names that no value has: a misspelled name would leak the secret."""
    known = _keys_in(inputs)
    for atom in _atoms(flow):
        known.update(atom.rebind.values(), atom.revert_rebind.values(), atom.provides, atom.inject or ())
    for name in sorted(names - known):
        similar = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{similar[0]}'?" if similar else "only a key inside a result can have this name"
        _LOG.warning("flow '%s' has no value with the secret name '%s': %s", flow.name, name, hint)


def _keys_in(data: Any) -> set[str]:
    if isinstance(data, Mapping):
        return {key for key in data if isinstance(key, str)}.union(*map(_keys_in, data.values()))
    if isinstance(data, list | tuple):
        return set().union(*map(_keys_in, data))
    return set()


class _SecretCollector:
    """Registers the secret values that atoms provide; they are redacted as long as it lives."""

    def __init__(self, engine: Engine, metadata: Mapping[str, Any]) -> None:
        self._engine = weakref.ref(engine)
        self._names = redaction.secret_names(metadata)
        self._results = [tuple(pair) for pair in metadata[redaction.RESULTS_KEY]]
        self._has_inputs = False

    def on_transition(self, state: str, details: Mapping[str, Any]) -> None:
        if not self._has_inputs:  # before the first call
            self._has_inputs = True
            self._register_inputs()
        event = AtomTransition.from_details(state, details)
        if event.result is NO_RESULT or isinstance(event.result, Failure):
            return
        keys = [key for atom, key in self._results if atom == event.name]
        found = redaction.select_parts(event.result, keys) + redaction.find_values(event.result, self._names)
        if found:
            redaction.register(self, found)

    def _register_inputs(self) -> None:
        """Register the values that were injected after the engine was created."""
        engine = self._engine()
        if engine is None:
            return
        found = redaction.find_values(engine.storage.flow_meta, self._names)
        for name in self._names:
            with contextlib.suppress(exc.NotFound):
                found.append(engine.storage.fetch(name))
        redaction.register(self, found)


def _atoms(item: Item) -> Iterator[Atom]:
    """Iterate over the atoms of a flow and of its subflows."""
    if isinstance(item, Flow):
        if item.retry is not None:
            yield item.retry
        for inner in item:
            yield from _atoms(inner)
    else:
        yield item
