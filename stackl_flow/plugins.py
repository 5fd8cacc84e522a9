"""Plugin lookup: backend names resolved to classes by built-in tables and entry points.

The built-in tables make the library work without being installed; entry points of installed packages extend
them. Nothing is imported before a name is looked up.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import metadata
from typing import Any, Final

from stackl_flow import exceptions as exc

#: The extra that installs the driver of a backend; other backends need none.
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
    """Return the plugins of a group by name; an installed one replaces a built-in one.

    Args:
        group: the entry point group.
        built_in: targets ("module:attribute") by name that exist without an installed entry point.
    """
    plugins = {name: metadata.EntryPoint(name, target, group) for name, target in built_in.items()}
    plugins.update((plugin.name, plugin) for plugin in metadata.entry_points(group=group))
    return plugins


def load_backend(name: str, url: str, group: str, built_in: Mapping[str, str]) -> Any:
    """Import the backend class registered under ``name``.

    Args:
        name: the plugin name, such as the scheme of a URL.
        url: the URL for error messages, without password.
        group: the entry point group.
        built_in: see `entry_points`.

    Raises:
        NotFound: no plugin has that name, or its driver is not installed.
    """
    plugins = entry_points(group, built_in)
    plugin = plugins.get(name)
    if plugin is None:
        close = difflib.get_close_matches(name, plugins, n=1)
        hint = f"did you mean '{close[0]}'? Known backends:" if close else "known backends:"
        raise exc.NotFound(f"unknown backend '{name}' in '{url}': {hint} {', '.join(sorted(plugins))}")
    extra = _EXTRAS.get(name)
    remedy = "install the missing package"
    if extra is not None:
        remedy = f"install the driver with pip install 'stackl-flow[{extra}]'"
    return load_plugin(plugin, f"backend '{name}' in '{url}'", remedy)


def load_plugin(plugin: metadata.EntryPoint, what: str, remedy: str) -> Any:
    """Import a plugin.

    Args:
        plugin: the plugin.
        what: what the plugin is for, to begin the error message with.
        remedy: what to do if it cannot be imported, to end the error message with.

    Raises:
        NotFound: the plugin cannot be imported.
    """
    try:
        return plugin.load()
    except (ImportError, AttributeError) as error:
        raise exc.NotFound(f"{what} cannot be imported ({error}): {remedy}", cause=error) from error


def import_object(name: str, what: str) -> Any:
    """Import an object by its name.

    Args:
        name: ``module:attribute``; the attribute may be dotted.
        what: what the object is for, to begin error messages with.

    Raises:
        NotFound: the module cannot be imported or has no such attribute.
        InvalidFormat: ``name`` has another form.
    """
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise exc.InvalidFormat(f"{what}: invalid object name '{name}': write module:attribute")
    try:
        return metadata.EntryPoint(attribute, name, "").load()
    except (ImportError, AttributeError) as error:
        raise exc.NotFound(f"{what}: cannot import '{name}' ({error})", cause=error) from error
