"""Values that are not to be seen, hidden before they are shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from stackl_flow.atom import Atom

#: What stands in place of a value that is not to be seen.
MASK: Final = "***"


def mask(data: Any, keys: Collection[str]) -> Any:
    """Hide the values of some keys, however deep they lie in dictionaries, lists and tuples.

    Args:
        data: what is about to be shown; it is not changed.
        keys: whose values are not to be seen.

    Returns:
        The same with ``***`` in their place.
    """
    if isinstance(data, Mapping):
        return {key: MASK if key in keys else mask(value, keys) for key, value in data.items()}
    if isinstance(data, list):
        return [mask(value, keys) for value in data]
    if isinstance(data, tuple):
        return tuple(mask(value, keys) for value in data)
    return data


def mask_result(atom: Atom, result: Any, keys: Collection[str]) -> Any:
    """Hide what an atom provides under some names, and the values of keys of those names.

    Args:
        atom: the atom.
        result: what it gave; it is not changed.
        keys: whose values are not to be seen.

    Returns:
        The same with ``***`` in their place.
    """
    places = [place for name, place in atom.save_as.items() if name in keys]
    if None in places:
        return MASK
    if places and isinstance(result, (list, tuple)):
        shown = [MASK if place in places else value for place, value in enumerate(result)]
        return mask(type(result)(shown) if type(result) in (list, tuple) else tuple(shown), keys)
    return mask(result, keys)


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
