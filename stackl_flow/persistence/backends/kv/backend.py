"""The backend for places of items."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from stackl_flow import codec as codecs
from stackl_flow import settings
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.codec import TextCodec
from stackl_flow.kv import backends as places
from stackl_flow.kv.base import KV
from stackl_flow.persistence.backends.kv.connection import KVConnection
from stackl_flow.persistence.base import Backend


class KVBackend(Backend):
    """Keeps flows as items of a place.

    Args:
        conf: "connection" is the address of the place, such as "dir:///var/lib/app"; options stand in it or
            beside it.
        codec: makes text of values and values of text; the shared one if left out.
        clock: tells when rows were made.
        place: the place itself, instead of one made for the address; closed with the backend.

    Raises:
        InvalidFormat: the address or an option makes no sense.
    """

    def __init__(
        self,
        conf: Mapping[str, Any] | str,
        codec: TextCodec = codecs.DEFAULT,
        clock: Clock = SYSTEM,
        place: KV | None = None,
    ) -> None:
        super().__init__(settings.parse(conf).conf, codec=codec, clock=clock)
        self.kv = places.fetch(conf, clock=clock) if place is None else place
        self._last = 0
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The address, without any password."""
        return self.kv.name

    def get_connection(self) -> KVConnection:
        """Make a connection, to be used by one thread at a time.

        Returns:
            The connection; close it after use.
        """
        return KVConnection(self, self.kv, self.stamp)

    def close(self) -> None:
        """Close the place."""
        self.kv.close()

    def stamp(self) -> str:
        """Make a mark of now that sorts behind all that this backend made before.

        Returns:
            The mark: microseconds since 1970, in 17 digits.
        """
        with self._lock:
            self._last = max(self._last + 1, int(self.clock.now() * 1_000_000))
            return f"{self._last:017}"
