"""Database servers that wait for the disk; those of the tests need not."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from scripts.servers.definitions import KINDS
from scripts.servers.server import Server


@contextlib.contextmanager
def server(name: str, *options: str) -> Iterator[str]:
    """A server: that of the environment, or one that is started here.

    Args:
        name: its kind.
        options: what makes it flush each commit.

    Yields:
        Its address.

    Raises:
        ServerError: there is none.
    """
    kind = KINDS[name]
    if given := os.environ.get(kind.variable):
        yield given
        return
    with contextlib.closing(Server(kind, options)) as started:
        started.start()
        yield started.url
