"""What every backend is: a place that hands out connections.

The public verbs stand in ``connection``, once for all; a backend brings the dumb operations of ``rows``. A
connection belongs to one thread at a time; a backend may be shared, each thread with a connection of its own.
Every verb that writes is one transaction: all of it is durable when the verb returns, or none of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

from stackl_flow import codec as codecs
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.codec import TextCodec
from stackl_flow.persistence.connection import Connection
from stackl_flow.persistence.records import (
    AtomMove,
    AtomRecord,
    BookRecord,
    Changes,
    Checkpoint,
    FlowRecord,
    Transition,
)
from stackl_flow.persistence.rows import Rows

__all__ = [
    "AtomMove",
    "AtomRecord",
    "Backend",
    "BookRecord",
    "Changes",
    "Checkpoint",
    "Connection",
    "FlowRecord",
    "Rows",
    "Transition",
]


class Backend(ABC):
    """A place where flows are remembered.

    Args:
        conf: the settings, with the address under "connection".
        codec: makes text of values and values of text; the shared one if left out.
        clock: tells when rows were made.
    """

    def __init__(
        self, conf: Mapping[str, Any] | None = None, codec: TextCodec = codecs.DEFAULT, clock: Clock = SYSTEM
    ) -> None:
        self.conf = dict(conf or {})
        self.codec = codec
        self.clock = clock

    @property
    @abstractmethod
    def name(self) -> str:
        """What to call this place in messages, without any password."""

    @abstractmethod
    def get_connection(self) -> Connection:
        """Make a connection, to be used by one thread at a time.

        Returns:
            The connection; close it after use.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of all that this backend holds."""

    def joined(self, connection: Any) -> Backend:
        """Give a backend whose writes are part of a transaction of the caller's own, where that can be.

        Args:
            connection: the caller's connection, in a transaction.

        Returns:
            A backend that writes by that connection, if it leads to the same SQL database; else this one,
            whose writes are durable at once.

        Raises:
            InvalidFormat: the connection is closed, or no connection.
        """
        del connection
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
