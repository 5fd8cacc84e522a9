"""Listens to what PostgreSQL notifies, for all who wait in a process."""

from __future__ import annotations

import threading
from typing import Any, Final

import sqlalchemy as sa

from stackl_flow.kv.backends.sql.wakes import Rings

#: Seconds between two looks whether to stop.
_LISTEN: Final = 0.5


class Listener(threading.Thread):
    """Listens on a channel, and wakes all who wait in this process.

    Args:
        engine: gives connections.
        channel: the channel's name.

    Attributes:
        rings: what they wait at.
        listening: set when the first connection listens.
    """

    def __init__(self, engine: sa.Engine, channel: str) -> None:
        super().__init__(name="stackl-flow-kv-listener", daemon=True)
        self.rings = Rings()
        self.listening = threading.Event()
        self._engine = engine
        self._channel = channel
        self._stopped = threading.Event()

    def run(self) -> None:
        """Listen until stopped; a connection that was lost is made again."""
        while not self._stopped.is_set():
            try:
                self._listen()
            except sa.exc.SQLAlchemyError:
                self._stopped.wait(_LISTEN)  # whoever waits looks for themselves meanwhile
            except Exception as error:
                if not isinstance(error, self._engine.dialect.loaded_dbapi.Error):
                    raise

    def _listen(self) -> None:
        held = self._engine.raw_connection()
        raw: Any = held.driver_connection
        held.detach()  # it is ours now, and not given back
        try:
            raw.autocommit = True
            raw.execute(f"LISTEN {self._channel}")
            self.listening.set()
            self.rings.ring()  # what was committed while nobody listened
            while not self._stopped.is_set():
                for _ in raw.notifies(timeout=_LISTEN, stop_after=1):
                    self.rings.ring()
        finally:
            raw.close()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self.join(2 * _LISTEN + 1)
