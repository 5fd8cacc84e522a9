"""The stores of a round: files, and servers that are started for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.support.chaos.round import Target

#: Boards, and a store of another kind for their flows.
FLOWS_OF: Final = {
    "sqlite": "directory",
    "directory": "sqlite",
    "redis": "postgresql",
    "etcd": "sqlite",
    "zookeeper": "postgresql",
    "postgresql": "mysql",
    "mysql": "redis",
}
#: Options that make commits of a server durable.
_OPTIONS: Final = {"redis": ("--appendfsync", "always")}
_FILES: Final = {"sqlite": "sqlite:///{}/{}.db", "directory": "dir://{}/{}"}
#: Two stores in one server.
_TWO: Final = {"redis": "{}?namespace={}", "etcd": "{}/{}", "zookeeper": "{}/{}"}


def make_target(board: str, flows: str, directory: Path, new_server: Callable[..., Any]) -> Target:
    """Make stores for board and flows.

    Args:
        board: kind of the board's store.
        flows: kind of the flows' store.
        directory: where files are made.
        new_server: starts a server of a kind, with options.
    """
    servers = {
        kind: new_server(kind, *_OPTIONS.get(kind, ()))
        for kind in dict.fromkeys([board, flows])
        if kind not in _FILES
    }

    def url(kind: str, name: str) -> str:
        if kind in _FILES:
            return _FILES[kind].format(directory, name)
        return _TWO.get(kind, "{}").format(servers[kind].url, name)

    return Target(url(board, "jobs"), url(flows, "flows"), list(servers.values()))
