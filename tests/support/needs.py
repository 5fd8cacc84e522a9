"""Which servers a test needs, found before any test runs."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from scripts.servers import packages
from scripts.servers.definitions import KINDS
from scripts.servers.server import ServerError

#: Fixtures that start servers named by the test: all that a test might name are needed.
_ANY_SERVER = {"new_server", "new_server_of_module", "new_cluster"}


def servers_of(item: pytest.Item) -> set[str]:
    """Name the servers that a test needs, by its fixtures, its parameters and its ``server`` markers."""
    fixtures = set(getattr(item, "fixturenames", ()))
    params = getattr(item, "callspec", None)
    named = {value for value in params.params.values() if isinstance(value, str)} if params else set()
    names = {name for name in KINDS if f"{name}_url" in fixtures or name in named}
    for marker in item.iter_markers("server"):
        names.update(marker.args)
    return names or (set(KINDS) if fixtures & _ANY_SERVER else set())


def install(items: Iterable[pytest.Item]) -> str:
    """Install the servers that the selected tests need.

    Returns:
        Why some are still missing; empty if none is.
    """
    names = set().union(*(servers_of(item) for item in items))
    try:
        packages.install([KINDS[name] for name in sorted(names)])
    except ServerError as error:
        return str(error)
    return ""
