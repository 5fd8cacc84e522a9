"""Servers for the benchmarks, with data that is thrown away."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from scripts.servers.definitions import KINDS
from scripts.servers.server import Server, ServerError


@contextlib.contextmanager
def a_server(name: str) -> Iterator[str | None]:
    """Give the address of a server: that of the environment, or one that is started and ended here.

    Args:
        name: its kind: "redis", "zookeeper" or "etcd".

    Yields:
        The address; None where there is no server, so that the rest can be measured all the same.
    """
    kind = KINDS[name]
    given = os.environ.get(kind.variable)
    if given:
        yield given
        return
    try:
        server = Server(kind)
    except ServerError:
        yield None
        return
    try:
        server.start()
        yield server.url
    finally:
        server.close()
