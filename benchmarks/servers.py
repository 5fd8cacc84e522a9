"""Servers for the benchmarks: from the environment, or started here with temporary data."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from scripts.servers.definitions import KINDS
from scripts.servers.server import Server, ServerError


@contextlib.contextmanager
def server(name: str, *options: str) -> Iterator[str]:
    """Run a server and yield its URL; ``options`` are added to its command.

    Raises:
        ServerError: it is not installed.
    """
    kind = KINDS[name]
    if given := os.environ.get(kind.variable):
        yield given
        return
    with contextlib.closing(Server(kind, options)) as started:
        started.start()
        yield started.url


@contextlib.contextmanager
def server_if_installed(name: str) -> Iterator[str | None]:
    """Run a server and yield its URL; None if it is not installed, so that the rest can be measured."""
    with contextlib.ExitStack() as stack:
        try:
            url: str | None = stack.enter_context(server(name))
        except ServerError:
            url = None
        yield url
