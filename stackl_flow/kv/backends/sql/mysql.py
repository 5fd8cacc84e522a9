"""The ways of MariaDB and MySQL, through PyMySQL, with a place of items.

A commit locks the one row of ``kv_state``, so that commits come one after another. There is no LISTEN: a
waiter looks ten times a second whether anything was committed; what this process commits wakes it at once.
Keys are ASCII in a binary collation. Options: ``ssl_ca``, ``ssl_cert``, ``ssl_key`` (files),
``ssl_verify_cert`` and ``ssl_verify_identity`` (yes or no).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import pymysql
import sqlalchemy as sa
from pymysql.constants import CR, ER, SERVER_STATUS

from stackl_flow import exceptions as exc
from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.backends.sql.dialect import Wakes
from stackl_flow.kv.backends.sql.order import Asked, Order
from stackl_flow.kv.backends.sql.server import ServerDialect
from stackl_flow.kv.backends.sql.wakeups import Rings
from stackl_flow.urls import BackendURL

#: A name of our own and how many seconds to wait for it, so that one process at a time makes the tables.
_MAKING: Final = "stackl_flow_kv"
_PATIENCE: Final = 60
#: A write that changes nothing: unlike that to a question, its answer tells whether there is a transaction.
_LOCK: Final = sa.text("UPDATE kv_state SET revision = revision")
_RAISE: Final = sa.text("UPDATE kv_state SET revision = LAST_INSERT_ID(revision + 1)")
#: MariaDB's word for a connection that somebody killed; PyMySQL has none.
_KILLED: Final = 1927
#: Their word for a connection that has to have TLS and has none.
_INSECURE: Final = 3159

_DENIED: Final = "refused us: check user and password, and what the user may do in this database"
_GONE: Final = "cannot be reached: see that the server runs and listens there"
_FULL: Final = "is full, or has too many connections: free some"
_TLS: Final = "failed in TLS: switch it on at the server, or check ?ssl_ca= and the other files"


_REMEDIES: Final = {
    str(code): remedy
    for remedy, codes in {
        _DENIED: (ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR),
        "does not exist: create the database first": (ER.BAD_DB_ERROR,),
        "is locked by a transaction that somebody holds open: see SHOW PROCESSLIST": (ER.LOCK_WAIT_TIMEOUT,),
        _FULL: (ER.CON_COUNT_ERROR, ER.DISK_FULL, ER.RECORD_FILE_FULL),
        "is read-only: give the address of the primary server": (ER.OPTION_PREVENTS_STATEMENT,),
        "refused a value as too large: raise max_allowed_packet, or keep it elsewhere": (
            ER.NET_PACKET_TOO_LARGE,
        ),
        _TLS: (CR.CR_SSL_CONNECTION_ERROR, _INSECURE),
    }.items()
    for code in codes
}
_AT_THE_DOOR: Final = {
    "SSL": _TLS,
    "certificate": _TLS,
    "Name or service not known": "cannot be found: check the name of the host",
    "name resolution": "cannot be found: check the name of the host",
}


class _OneByOne(Order):
    """Commits one after another, by a lock on the row of the count."""

    def lock(self, connection: sa.Connection, asked: Asked, *, joined: bool) -> None:  # noqa: ARG002  all of it
        """Keep others from writing until a transaction ends.

        Args:
            connection: the connection, in a transaction.
            asked: what is to be looked at, and written.
            joined: whether the transaction is the caller's own.
        """
        connection.execute(_LOCK)

    def count(self, connection: sa.Connection, token: str) -> int:
        """Count a commit.

        Args:
            connection: the connection, in a transaction.
            token: what the commit is to be known by when its answer is lost; empty for nothing.

        Returns:
            The version of all that is put in it.
        """
        version = int(connection.execute(_RAISE).lastrowid)
        if token:
            connection.execute(tables.RECEIPT, [{"token": token, "version": version}])
        return version


class MySQL(ServerDialect):
    """A database of a MariaDB or MySQL server.

    Args:
        place: its address and options.
    """

    driver = "mysql+pymysql"
    look_again = 0.1
    # The caller's transaction sees what was there when it began, unless it locks what it reads.
    latest = True
    clock = "SELECT UNIX_TIMESTAMP(SYSDATE(6))"
    remedies = _REMEDIES
    at_the_door = _AT_THE_DOOR
    undone = frozenset(
        str(code)
        for code in (
            ER.LOCK_DEADLOCK, ER.SERVER_SHUTDOWN, CR.CR_CONN_HOST_ERROR, CR.CR_SERVER_GONE_ERROR,
            CR.CR_SERVER_LOST, CR.CR_SERVER_LOST_EXTENDED, _KILLED,
        )
    )  # fmt: skip

    def __init__(self, place: BackendURL) -> None:
        super().__init__(
            place, ssl_ca=str, ssl_cert=str, ssl_key=str, ssl_verify_cert=bool, ssl_verify_identity=bool
        )
        self._rings = Rings()
        self.order = _OneByOne()

    def create_engine(self) -> sa.Engine:
        """Make the SQLAlchemy engine; nothing is opened yet.

        Returns:
            The engine.
        """
        engine = super().create_engine()
        sa.event.listen(engine, "do_connect", self._dial)
        sa.event.listen(engine, "connect", self._set_up)
        return engine

    def _dial(self, dialect: Any, _: object, words: Any, options: Any) -> Any:
        try:
            return dialect.connect(*words, **options)
        except OSError as error:  # what PyMySQL leaves as it is: files of TLS that cannot be read
            raise pymysql.err.OperationalError(CR.CR_SSL_CONNECTION_ERROR, str(error)) from error

    def _set_up(self, raw: Any, _: object) -> None:
        with raw.cursor() as cursor:
            # No hour comes twice in the server's time; gaps between rows are not locked.
            cursor.execute("SET time_zone = '+00:00'")
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")

    @contextmanager
    def opening(self, connection: sa.Connection) -> Iterator[None]:
        """Make the tables, one process at a time; each is committed by itself there.

        Args:
            connection: the connection.

        Yields:
            Nothing.

        Raises:
            StorageFailure: another process does not come to its end.
        """
        got = connection.exec_driver_sql(f"SELECT GET_LOCK('{_MAKING}', {_PATIENCE})").scalar_one()
        if not got:
            raise exc.StorageFailure(f"'{self.name}' is being made by another process: wait for it")
        try:
            yield
        finally:
            connection.exec_driver_sql(f"SELECT RELEASE_LOCK('{_MAKING}')").scalar_one()

    @contextmanager
    def transaction(self, connection: sa.Connection, *, write: bool) -> Iterator[None]:
        """Hold a transaction: kept at the end, undone when the block raises.

        Args:
            connection: the connection.
            write: what it reads is what is there now; else it sees one moment.

        Yields:
            Nothing.
        """
        if not write:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        moment = " WITH CONSISTENT SNAPSHOT, READ ONLY"
        connection.exec_driver_sql(f"START TRANSACTION{'' if write else moment}")
        try:
            yield
        except BaseException:
            if not connection.invalidated:
                connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")

    def announce(self, connection: sa.Connection) -> None:  # noqa: ARG002  others look for themselves
        """Wake those who wait in this process.

        Args:
            connection: not needed.
        """
        self._rings.ring()

    def waiting(self) -> AbstractContextManager[Wakes]:
        """Give something to wait at.

        Returns:
            The context.
        """
        return self._rings.waiting()

    def code(self, error: BaseException) -> str:
        """Give the server's code for an error.

        Args:
            error: the driver's error.

        Returns:
            Its number; empty if there is none.
        """
        if isinstance(error, pymysql.err.InterfaceError):  # the connection was closed
            return str(CR.CR_SERVER_GONE_ERROR)
        first = next(iter(error.args), None)
        return str(first) if isinstance(first, int) and first else ""

    def in_transaction(self, raw: Any) -> bool:
        """Say whether what is written on a connection waits for a commit.

        Args:
            raw: the driver's connection; something was written on it.

        Returns:
            True if so; also for a driver that cannot be asked.
        """
        status = getattr(raw, "server_status", None)
        return status is None or bool(status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)
