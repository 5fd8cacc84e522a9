"""PostgreSQL's own ways with a place of items.

A commit locks the one row of ``kv_state``, so that commits come one after another; it notifies a channel, on
which one thread of each place listens for all who wait there. Leases go by the server's clock, which is asked
when the place is opened and then followed by this machine's monotonic one. ``timeout`` (10) is how many
seconds to wait for a connection.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.backends.sql.dialect import Dialect, Gone, Wakes
from stackl_flow.kv.backends.sql.wakes import Rings
from stackl_flow.settings import Place

_CHANNEL: Final = "stackl_flow_kv"
#: A number of our own, so that one process at a time makes the tables.
_MAKING: Final = 6_712_940_385
_LOCK: Final = tables.READ_STATE.with_for_update()
_CLOCK: Final = sa.text("SELECT extract(epoch FROM clock_timestamp())")
_NOTIFY: Final = sa.text(f"SELECT pg_notify('{_CHANNEL}', '')")
#: Seconds after which the server's clock is asked again, and between two looks whether to stop listening.
_ASK_AGAIN: Final = 300.0
_LISTEN: Final = 0.5

# What the server undid, so that it may be sent again: serialization failures, deadlocks, a shutdown.
_UNDONE: Final = frozenset({"40001", "40P01", "57P01", "57P02", "57P03", "55006"})
_REMEDIES: Final = {
    "28": "refused us: check user and password",
    "3D": "does not exist: create the database first",
    "42501": "may not be used: give the user the right to make tables in its schema, and to write them",
    "53": "is full, or has too many connections: free some",
    "25006": "is read-only: give the address of the primary server",
}


class PostgreSQL(Dialect):
    """A database of a PostgreSQL server.

    Args:
        place: its address and options.
    """

    keeps_receipts = True

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        given = place.take(timeout=float).given
        try:
            self._url = sa.make_url(place.address).set(drivername="postgresql+psycopg")
        except (sa.exc.ArgumentError, ValueError) as error:
            raise exc.InvalidFormat(
                f"'{self.name}' is no address: write postgresql://user:password@host:port/database",
                cause=error,
            ) from error
        self._timeout = int(given.get("timeout", 10.0)) or 1
        self._engine: sa.Engine | None = None
        self._listener: Listener | None = None
        self._starting = threading.Lock()
        self._clock = (0.0, 0.0)

    def create_engine(self) -> sa.Engine:
        """Make the SQLAlchemy engine; nothing is opened yet.

        Returns:
            The engine.
        """
        # A single question needs no transaction of its own.
        self._engine = sa.create_engine(
            self._url,
            isolation_level="AUTOCOMMIT",
            pool_size=20,
            connect_args={"connect_timeout": self._timeout},
            hide_parameters=True,
        )
        return self._engine

    @contextmanager
    def opening(self, connection: sa.Connection) -> Iterator[None]:
        """Hold a transaction in which the tables are made, by one process at a time.

        Args:
            connection: the connection.

        Yields:
            Nothing.
        """
        connection.execution_options(isolation_level="READ COMMITTED")
        with connection.begin():
            connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_MAKING})"))
            yield

    def opened(self, engine: sa.Engine) -> None:
        """Ask the server for the time.

        Args:
            engine: the engine.
        """
        with engine.connect() as connection:
            asked = SYSTEM.monotonic()
            told = float(connection.execute(_CLOCK).scalar_one())
            # Between question and answer: half of the time that it took.
            self._clock = (told, (asked + SYSTEM.monotonic()) / 2)

    def now(self, clock: Clock) -> float:  # noqa: ARG002  the server's counts
        """Tell the server's time.

        Args:
            clock: not asked.

        Returns:
            The time, in seconds since 1970.
        """
        if SYSTEM.monotonic() - self._clock[1] > _ASK_AGAIN and self._engine is not None:
            self.opened(self._engine)
        told, at = self._clock
        return told + SYSTEM.monotonic() - at

    @contextmanager
    def transaction(self, connection: sa.Connection, *, write: bool) -> Iterator[None]:
        """Hold a transaction: kept at the end, undone when the block raises.

        Args:
            connection: the connection.
            write: nobody else writes beside it; else it sees one moment.

        Yields:
            Nothing.
        """
        connection.execution_options(isolation_level="READ COMMITTED" if write else "REPEATABLE READ")
        with connection.begin():
            if write:
                self.lock(connection)
            yield

    def lock(self, connection: sa.Connection) -> None:
        """Keep others from writing until a transaction ends.

        Args:
            connection: the connection, in a transaction.
        """
        connection.execute(_LOCK)

    def announce(self, connection: sa.Connection) -> None:
        """Notify the channel; the server tells it at the commit.

        Args:
            connection: the connection.
        """
        connection.execute(_NOTIFY)

    def waiting(self) -> AbstractContextManager[Wakes]:
        """Give something to wait at; the thread that listens is started when it is first needed.

        Returns:
            The context.
        """
        with self._starting:
            if self._engine is not None and (self._listener is None or not self._listener.is_alive()):
                self._listener = Listener(self._engine)
                self._listener.start()
                self._listener.listening.wait(self._timeout)
            listener = self._listener
        if listener is None:
            raise exc.StorageFailure(f"'{self.name}' is not open")
        return listener.rings.waiting()

    def translate(self, error: sa.exc.SQLAlchemyError) -> exc.StorageFailure:
        """Make an error of ours of one of PostgreSQL's.

        Args:
            error: SQLAlchemy's error.

        Returns:
            An error that names the place and what to do.
        """
        origin = getattr(error, "orig", None) or error
        state = getattr(origin, "sqlstate", None) or ""
        silent = isinstance(error, sa.exc.OperationalError) and not state
        remedy = next((remedy for begins, remedy in _REMEDIES.items() if state.startswith(begins)), "failed")
        if getattr(error, "connection_invalidated", False) or silent or state in _UNDONE:
            text = str(origin)
            wrong = next((told for words, told in _AT_THE_DOOR.items() if words in text), None)
            if wrong is None:
                remedy = "cannot be reached: see that the server runs and listens there"
                return Gone(f"'{self.name}' {remedy} ({origin})", cause=origin)
            remedy = wrong
        return exc.StorageFailure(f"'{self.name}' {remedy} ({origin})", cause=origin)

    def close(self) -> None:
        """Stop listening."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.stop()


# Errors before there is a connection come without a state.
_AT_THE_DOOR: Final = {
    "authentication failed": _REMEDIES["28"],
    "no password supplied": _REMEDIES["28"],
    "does not exist": _REMEDIES["3D"],
}


class Listener(threading.Thread):
    """Listens on the channel, and wakes all who wait in this process.

    Args:
        engine: gives connections.

    Attributes:
        rings: what they wait at.
        listening: set when the first connection listens.
    """

    def __init__(self, engine: sa.Engine) -> None:
        super().__init__(name="stackl-flow-kv-listener", daemon=True)
        self.rings = Rings()
        self.listening = threading.Event()
        self._engine = engine
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
            raw.execute(f"LISTEN {_CHANNEL}")
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
