"""What is secret in a stored flow: its notes name it, and say which results go by such names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stackl_flow import secrecy
from stackl_flow.persistence.atoms import RetryDetail
from stackl_flow.persistence.details import AtomDetail


def values_of(notes: Mapping[str, Any], atoms: Iterable[AtomDetail]) -> list[Any]:
    """Find the secrets in what is stored of a flow.

    Args:
        notes: the flow's notes.
        atoms: the details of its atoms.

    Returns:
        The values that are marked, wherever they were given or provided.
    """
    names = secrecy.names_in(notes)
    if not names:
        return []
    places: dict[str, list[Any]] = {}
    for atom, place in notes.get(secrecy.RESULTS, ()):
        places.setdefault(atom, []).append(place)
    found = secrecy.find(notes, names)
    for detail in atoms:
        found += secrecy.find(detail.meta, names)
        for result in _results(detail):
            found += secrecy.find(result, names)
            found += secrecy.parts_of(result, places.get(detail.name, ()))
    return found


def without_secrets(text: str, notes: Mapping[str, Any], atoms: Iterable[AtomDetail]) -> str:
    """Take the secrets of a flow out of a text about it.

    Args:
        text: the text.
        notes: the flow's notes.
        atoms: the details of its atoms.

    Returns:
        The text with ``***`` in their place.
    """
    with secrecy.keeping(values_of(notes, atoms)):
        return secrecy.redact(text)


def _results(detail: AtomDetail) -> list[Any]:
    """List what an atom gave: of a retry, in each of its attempts."""
    if isinstance(detail, RetryDetail):
        return [value for value, _ in detail.results]
    return [] if detail.results is None else [detail.results]
