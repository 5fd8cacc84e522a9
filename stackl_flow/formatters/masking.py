"""Values that are not to be seen, hidden before they are shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from stackl_flow import secrecy
from stackl_flow.atom import Atom
from stackl_flow.failure import Failure
from stackl_flow.secrecy import MASK, mask

__all__ = ["MASK", "mask", "mask_arguments", "mask_result", "notes_of", "shown_result"]


def mask_result(atom: Atom, result: Any, keys: Collection[str]) -> Any:
    """Hide what an atom provides under some names, and the values of keys of those names.

    Args:
        atom: the atom.
        result: what it gave; it is not changed.
        keys: whose values are not to be seen.

    Returns:
        The same with ``***`` in their place.
    """
    places = [place for name, place in atom.outputs if name in keys]
    return mask(secrecy.mask_places(result, places), keys)


def mask_arguments(atom: Atom, arguments: Mapping[str, Any], keys: Collection[str]) -> Any:
    """Hide what an atom is given under some names, and the values of keys of those names.

    Args:
        atom: the atom.
        arguments: values by argument; they are not changed.
        keys: whose values are not to be seen: arguments, or the names looked up for them.

    Returns:
        The same with ``***`` in their place.
    """
    names = atom.rebind
    hidden = {argument for argument in arguments if names.get(argument, argument) in keys}
    return mask(arguments, hidden.union(keys))


def notes_of(engine: Any) -> Mapping[str, Any]:
    """Read the notes of an engine's flow.

    Args:
        engine: any engine, also one that keeps no notes.

    Returns:
        The notes.
    """
    notes: Mapping[str, Any] = getattr(getattr(engine, "storage", None), "flow_meta", None) or {}
    return notes


def shown_result(engine: Any, atom_name: str, result: Any) -> Any:
    """Return what an atom gave as it may be shown: without what is marked as secret.

    Args:
        engine: whose flow the atom is in.
        atom_name: the atom.
        result: what it gave; it is not changed. A failure has texts of its own, which show none.

    Returns:
        The same with ``***`` in place of secrets.
    """
    if isinstance(result, Failure):
        return result
    return secrecy.hide(secrecy.mask_marked(notes_of(engine), atom_name, result))
