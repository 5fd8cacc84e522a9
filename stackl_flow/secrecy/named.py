"""Secrets by the names of their values, in data of any shape."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from stackl_flow.secrecy.known import MASK, any_kept, redact

#: Where a flow's notes, and a job's details, name what is secret.
NAMES: Final = "secrets"

#: Where a flow's notes say which results go by such names: pairs of an atom and a place in what it gives.
RESULTS: Final = "secret_results"

#: How a tuple looks to those who read what is stored without making values of it.
_STORED_TUPLE: Final = "$tuple"
_COLLECTIONS: Final = (list, tuple, set, frozenset)
_NONE: Final[frozenset[str]] = frozenset()


def names_in(notes: Mapping[str, Any]) -> frozenset[str]:
    """Say which names a flow's notes, or a job's details, mark as secret.

    Args:
        notes: the notes or details.

    Returns:
        The names.
    """
    return names_of(notes.get(NAMES))


def names_of(given: Any) -> frozenset[str]:
    """Read what was given as the names of secrets.

    Args:
        given: names, one name, or None.

    Returns:
        The names.

    Raises:
        TypeError: these are no names; the message does not show what they are.
    """
    if not given:  # as with nearly every flow, several times over
        return _NONE
    found = [given] if isinstance(given, str) else given
    if (
        isinstance(found, Mapping)
        or not isinstance(found, Collection)
        or not all(isinstance(name, str) for name in found)
    ):
        raise TypeError(
            "secrets= takes the names of the values that are secret, such as ['password'], and not a"
            f" {type(given).__name__} of something else: the values go into store="
        )
    return frozenset(found)


def find(data: Any, names: Collection[str]) -> list[Any]:
    """Find the values that go by some names, however deep they lie in dictionaries, lists and tuples.

    Args:
        data: where to look.
        names: the names.

    Returns:
        The values.
    """
    if names and isinstance(data, Mapping):
        own = [value for name, value in data.items() if name in names]
        return own + [one for name, value in data.items() if name not in names for one in find(value, names)]
    if names and isinstance(data, list | tuple):
        return [one for value in data for one in find(value, names)]
    return []


def mask(data: Any, names: Collection[str]) -> Any:
    """Hide the values of some names, however deep they lie in dictionaries, lists and tuples.

    Args:
        data: what is about to be shown; it is not changed.
        names: whose values are not to be seen.

    Returns:
        The same with ``***`` in their place.
    """
    if isinstance(data, Mapping):
        return {key: MASK if key in names else mask(value, names) for key, value in data.items()}
    if isinstance(data, list):
        return [mask(value, names) for value in data]
    if isinstance(data, tuple):
        return tuple(mask(value, names) for value in data)
    return data


def mask_places(data: Any, places: Collection[Any]) -> Any:
    """Hide some parts of what an atom gave.

    Args:
        data: what is about to be shown; it is not changed.
        places: where it lies: numbers or keys; None for all of it.

    Returns:
        The same with ``***`` in their place.
    """
    if not places or data is None:
        return data
    if None in places:
        return MASK
    if isinstance(data, Mapping) and data.keys() == {_STORED_TUPLE}:
        return {_STORED_TUPLE: mask_places(data[_STORED_TUPLE], places)}
    if isinstance(data, Mapping) and data.keys() & places:
        return {key: MASK if key in places else value for key, value in data.items()}
    if isinstance(data, list | tuple):
        shown = [MASK if place in places else value for place, value in enumerate(data)]
        return shown if isinstance(data, list) else tuple(shown)
    return MASK  # of a kind whose parts cannot be told apart here


def parts_of(data: Any, places: Iterable[Any]) -> list[Any]:
    """Take parts out of what an atom gave.

    Args:
        data: what it gave.
        places: where they lie: numbers or keys; None for all of it.

    Returns:
        The parts that are there.
    """
    if isinstance(data, Mapping) and data.keys() == {_STORED_TUPLE}:
        return parts_of(data[_STORED_TUPLE], places)
    found = []
    for place in places:
        try:
            found.append(data if place is None else data[place])
        except (IndexError, KeyError, TypeError):
            continue  # it gave less than it was to give
    return found


def mask_marked(notes: Mapping[str, Any], atom_name: str, result: Any) -> Any:
    """Hide what the notes of a flow mark as secret in what an atom gave.

    Args:
        notes: the flow's notes.
        atom_name: the atom.
        result: what it gave; it is not changed.

    Returns:
        The same with ``***`` in their place.
    """
    names = names_in(notes)
    if not names:
        return result
    places = [place for atom, place in notes.get(RESULTS, ()) if atom == atom_name]
    return mask(mask_places(result, places), names)


def hide(data: Any) -> Any:
    """Take every secret that is kept at present out of data that is about to be shown.

    Args:
        data: the data; it is not changed.

    Returns:
        The same where it holds none; else a copy without them, in which a thing that would show one as text
        is that text.
    """
    if data is None or isinstance(data, bool) or not any_kept():
        return data
    if isinstance(data, str):
        return redact(data)
    if isinstance(data, Mapping):
        return {hide(key): hide(value) for key, value in data.items()}
    if type(data) in _COLLECTIONS:
        return type(data)(hide(one) for one in data)
    shown = f"{data} {data!r}"
    return data if redact(shown) == shown else redact(str(data))
