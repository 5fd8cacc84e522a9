"""The ways of MariaDB and MySQL, through PyMySQL: the one file where their own SQL may stand.

Options beside those of every server: ``ssl_ca``, ``ssl_cert``, ``ssl_key`` (files), ``ssl_verify_cert`` and
``ssl_verify_identity`` (yes or no), as in ``mysql://user@host/db?ssl_ca=ca.pem&ssl_verify_identity=yes``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pymysql
import sqlalchemy as sa
from pymysql.constants import CR, ER

from stackl_flow import exceptions as exc
from stackl_flow.persistence.backends.sql.server import ServerDialect
from stackl_flow.urls import BackendURL

#: A name of our own and how many seconds to wait for it, so that one process at a time changes the tables.
_MIGRATING: Final = "stackl_flow_migrate"
_PATIENCE: Final = 60

_DENIED: Final = "refused us: check user and password, and what the user may do in this database"
_GONE: Final = "cannot be reached: see that the server runs and listens at this host and port"
_FULL: Final = "has too many connections: close some, or raise max_connections"
_UNDONE: Final = "undid the write in favour of another's: do it again"
_DISK: Final = "is full, or its disk is: free some space; what was stored before is safe"
_TLS: Final = "failed in TLS: switch it on at the server, or check ?ssl_ca= and the other files"
#: MariaDB's word for a connection that somebody killed; PyMySQL has none.
_KILLED: Final = 1927
_REMEDIES: Final = {
    ER.ACCESS_DENIED_ERROR: _DENIED,
    ER.DBACCESS_DENIED_ERROR: _DENIED,
    ER.TABLEACCESS_DENIED_ERROR: _DENIED,
    ER.BAD_DB_ERROR: "does not exist: check its name, or create it first (CREATE DATABASE)",
    ER.LOCK_DEADLOCK: _UNDONE,
    ER.LOCK_WAIT_TIMEOUT: "is locked by somebody else: see who holds a transaction open (SHOW PROCESSLIST)",
    ER.CON_COUNT_ERROR: _FULL,
    ER.DISK_FULL: _DISK,
    ER.RECORD_FILE_FULL: _DISK,
    ER.DATA_TOO_LONG: "refused a name as too long: names take 255 characters",
    ER.OPTION_PREVENTS_STATEMENT: "is read-only: give the address of the primary server",
    ER.SERVER_SHUTDOWN: _GONE,
    CR.CR_CONN_HOST_ERROR: _GONE,
    CR.CR_SERVER_GONE_ERROR: _GONE,
    CR.CR_SERVER_LOST: _GONE,
    CR.CR_SSL_CONNECTION_ERROR: _TLS,
    _KILLED: _GONE,
    ER.NET_PACKET_TOO_LARGE: "refused a value as too large: raise max_allowed_packet, or keep it elsewhere",
    CR.CR_SERVER_LOST_EXTENDED: _GONE,
}
_LOST: Final = frozenset(
    {
        CR.CR_CONN_HOST_ERROR, CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, CR.CR_SERVER_LOST_EXTENDED,
        ER.SERVER_SHUTDOWN, _KILLED,
    }
)  # fmt: skip
_MAY_PASS: Final = frozenset({ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT, ER.CON_COUNT_ERROR})


class MySQLDialect(ServerDialect):
    """A database of a MariaDB or MySQL server.

    Args:
        place: its address and options.
    """

    driver = "mysql+pymysql"
    # Each change of tables commits there.
    transactional_ddl = False
    begin_read = (
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    )

    def __init__(self, place: BackendURL) -> None:
        super().__init__(
            place, ssl_ca=str, ssl_cert=str, ssl_key=str, ssl_verify_cert=bool, ssl_verify_identity=bool
        )

    def create_engine(self) -> sa.Engine:
        """Make the SQLAlchemy engine; nothing is opened yet.

        Returns:
            The engine.
        """
        engine = super().create_engine()
        sa.event.listen(engine, "do_connect", self._dial)
        return engine

    def _dial(self, dialect: Any, _: object, words: Any, options: Any) -> Any:
        try:
            return dialect.connect(*words, **options)
        except OSError as error:  # what PyMySQL leaves as it is: files of TLS that cannot be read
            raise pymysql.err.OperationalError(CR.CR_SSL_CONNECTION_ERROR, str(error)) from error

    def set_up(self, raw: Any) -> None:
        """Make a new connection commit each statement by itself, and lock no gaps between rows.

        Args:
            raw: PyMySQL's connection.
        """
        raw.autocommit(True)
        with raw.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")

    @contextmanager
    def migrating(self, connection: sa.Connection) -> Iterator[None]:
        """Keep other processes from changing the tables.

        Args:
            connection: the connection.

        Yields:
            Nothing.

        Raises:
            StorageFailure: another process does not come to its end.
        """
        got = connection.exec_driver_sql(f"SELECT GET_LOCK('{_MIGRATING}', {_PATIENCE})").scalar_one()
        if not got:
            raise exc.StorageFailure(
                f"database '{self.name}' is being upgraded by another process: wait for it"
            )
        try:
            yield
        finally:
            connection.exec_driver_sql(f"SELECT RELEASE_LOCK('{_MIGRATING}')").scalar_one()

    def lacks_table(self, error: BaseException) -> bool:
        """Say whether an error of the driver means that a table does not exist.

        Args:
            error: the driver's error.

        Returns:
            True if so.
        """
        return bool(_code(error) == ER.NO_SUCH_TABLE)

    def translate(self, error: BaseException) -> exc.StacklFlowError:
        """Make an error of ours of one of the server's.

        Args:
            error: the driver's error.

        Returns:
            An error that names the database and what to do.
        """
        code = _code(error)
        if code == ER.DUP_ENTRY:
            return exc.Duplicate(
                f"database '{self.name}' holds a row with that uuid already: {error}", cause=error
            )
        if self.lacks_table(error):
            return self.not_upgraded()
        remedy = _GONE if _is_closed(error) else _REMEDIES.get(code, "failed")
        return exc.StorageFailure(f"database '{self.name}' {remedy} ({error})", cause=error)

    def may_pass(self, error: BaseException | None) -> bool:
        """Say whether something may work when it is done again a little later.

        Args:
            error: the driver's error.

        Returns:
            True for what the server undid, and for a server that was there before and is away.
        """
        lost = _is_closed(error) or _code(error) in _LOST
        return (lost and self._was_there) or _code(error) in _MAY_PASS


def _code(error: BaseException | None) -> int:
    known = isinstance(error, pymysql.err.MySQLError) and error.args and isinstance(error.args[0], int)
    return int(error.args[0]) if known and error is not None else 0


def _is_closed(error: BaseException | None) -> bool:
    return isinstance(error, pymysql.err.InterfaceError)
