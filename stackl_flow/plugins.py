"""Plug tables: names of backends that become classes when they are first asked for.

A table is made of what this package brings itself, so that it works uninstalled, and of the entry points of
all installed packages, so that others can add to it. Nothing is imported before it is needed.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import metadata
from typing import Any, Final

from stackl_flow import exceptions as exc

#: The extra that brings what a name needs; the names that are not here need nothing that an extra brings.
_EXTRAS: Final = {
    "mariadb": "mysql",
    "mysql": "mysql",
    "postgresql": "postgresql",
    "redis": "redis",
    "rediss": "redis",
    "unix": "redis",
    "zookeeper": "zookeeper",
}


def entry_points(group: str, built_in: Mapping[str, str]) -> dict[str, metadata.EntryPoint]:
    """Make the table of a group.

    Args:
        group: the group of entry points.
        built_in: targets ("module:name") that are known without being installed, by name.

    Returns:
        The entry points by name; an installed one goes before a built-in one.
    """
    plugs = {name: metadata.EntryPoint(name, target, group) for name, target in built_in.items()}
    plugs.update((plug.name, plug) for plug in metadata.entry_points(group=group))
    return plugs


def load_backend(name: str, shown: str, group: str, built_in: Mapping[str, str]) -> Any:
    """Import what a name stands for.

    Args:
        name: the name.
        shown: the address it came from, as it may be shown in messages.
        group: the group of entry points.
        built_in: as for ``entry_points``.

    Returns:
        What the entry point names, usually a class.

    Raises:
        NotFound: the name is in no table, or a package that it needs is not installed.
    """
    plugs = entry_points(group, built_in)
    plug = plugs.get(name)
    if plug is None:
        near = difflib.get_close_matches(name, plugs, n=1)
        meant = f"did you mean '{near[0]}'? Known are" if near else "known are"
        raise exc.NotFound(
            f"Could not find backend '{name}' (of '{shown}'): {meant} {', '.join(sorted(plugs))}"
        )
    try:
        return plug.load()
    except ImportError as error:
        extra = _EXTRAS.get(name)
        remedy = "install that package"
        if extra is not None:
            remedy = f"install the extra for it, pip install 'stackl-flow[{extra}]'"
        raise exc.NotFound(
            f"backend '{name}' (of '{shown}') cannot be imported ({error}): {remedy}", cause=error
        ) from error


def import_object(name: str, what: str) -> Any:
    """Import a thing by its name.

    Args:
        name: "module:name".
        what: what it is, for messages.

    Returns:
        The thing.

    Raises:
        NotFound: there is none of that name, or its module cannot be imported.
        InvalidFormat: that is no such name.
    """
    module, colon, path = name.partition(":")
    if not (colon and module and path):
        raise exc.InvalidFormat(f"{what}: '{name}' is no name of a thing: write module:name")
    try:
        return metadata.EntryPoint(path, name, "").load()
    except (ImportError, AttributeError) as error:
        raise exc.NotFound(f"{what}: cannot import '{name}' ({error})", cause=error) from error
