"""MariaDB and MySQL, through PyMySQL.

Options beside those of every server: ``ssl_ca``, ``ssl_cert``, ``ssl_key`` (files), ``ssl_verify_cert`` and
``ssl_verify_identity`` (yes or no), as in ``mysql://user@host/db?ssl_ca=ca.pem&ssl_verify_identity=yes``.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pymysql
import sqlalchemy as sa
from pymysql.constants import CR, ER, SERVER_STATUS

from stackl_flow import exceptions as exc
from stackl_flow.databases.base import FAILED, ErrorInfo, ErrorKind
from stackl_flow.databases.server import ServerDatabase

#: The lock that one process at a time holds to change tables, and how many seconds to wait for it.
_SCHEMA_LOCK: Final = "stackl_flow_schema"
_SCHEMA_LOCK_TIMEOUT: Final = 60

#: Codes that PyMySQL has no names for: a connection that was killed (MariaDB), one that was idle for too
#: long (MySQL), and one without TLS where TLS is required.
_KILLED: Final = 1927
_IDLE: Final = 4031
_TLS_REQUIRED: Final = 3159
#: A statement that took longer than its limit: MariaDB, MySQL.
_STATEMENT_TIMEOUT: Final = 1969
_QUERY_TIMEOUT: Final = 3024

#: The part of the largest packet that is left to the rest of a statement.
_STATEMENT_SHARE: Final = 8
#: Characters that PyMySQL writes as two.
_ESCAPED: Final = "\0\n\r\x1a\"'\\"

_DENIED: Final = "denied access: check user and password, and the user's privileges in this database"
_UNREACHABLE: Final = "cannot be reached: check that the server runs and listens at this host and port"
_UNKNOWN_HOST: Final = "cannot be found: check the name of the host"
_DISK: Final = "is full, or its disk is: free some space; what was stored before is safe"
_TLS: Final = "failed in TLS: enable it on the server, or check ?ssl_ca= and the other files"
_ERRORS: Final = {
    code: ErrorInfo(kind, remedy)
    for kind, remedy, codes in (
        (
            ErrorKind.DISCONNECTED,
            _UNREACHABLE,
            (
                CR.CR_CONN_HOST_ERROR, CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, CR.CR_SERVER_LOST_EXTENDED,
                ER.SERVER_SHUTDOWN, _KILLED, _IDLE,
            ),
        ),
        (ErrorKind.CONFLICT, "rolled back in favour of another transaction: retry", (ER.LOCK_DEADLOCK,)),
        (
            ErrorKind.LOCKED,
            "is busy, or locked by an open transaction: see SHOW PROCESSLIST, or raise ?statement_timeout=",
            (ER.LOCK_WAIT_TIMEOUT, _STATEMENT_TIMEOUT, _QUERY_TIMEOUT),
        ),
        (
            ErrorKind.UNAVAILABLE,
            "has too many connections: close some, or raise max_connections or the limit of the user",
            (ER.CON_COUNT_ERROR, ER.TOO_MANY_USER_CONNECTIONS, ER.USER_LIMIT_REACHED),
        ),
        (ErrorKind.DUPLICATE, "has such a row already", (ER.DUP_ENTRY,)),
        (ErrorKind.NO_TABLE, "has no such table", (ER.NO_SUCH_TABLE,)),
        (
            ErrorKind.PERMANENT,
            _DENIED,
            (ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR),
        ),
        (
            ErrorKind.PERMANENT,
            "does not exist: check its name, or create it first (CREATE DATABASE)",
            (ER.BAD_DB_ERROR,),
        ),
        (ErrorKind.PERMANENT, _DISK, (ER.DISK_FULL, ER.RECORD_FILE_FULL)),
        (ErrorKind.PERMANENT, "refused a name as too long: names take 255 characters", (ER.DATA_TOO_LONG,)),
        (
            ErrorKind.PERMANENT,
            "is read-only: use the address of the primary server",
            (ER.OPTION_PREVENTS_STATEMENT,),
        ),
        (
            ErrorKind.TOO_LARGE,
            "refused a statement as too large: raise max_allowed_packet, or store large values elsewhere",
            (ER.NET_PACKET_TOO_LARGE,),
        ),
        (ErrorKind.PERMANENT, _TLS, (CR.CR_SSL_CONNECTION_ERROR, _TLS_REQUIRED)),
    )
    for code in codes
}  # fmt: skip
# What stands in the text of CR_CONN_HOST_ERROR, which covers every connection that could not be made.
_CONNECT_ERRORS: Final = {
    "SSL": ErrorInfo(ErrorKind.PERMANENT, _TLS),
    "certificate": ErrorInfo(ErrorKind.PERMANENT, _TLS),
    "Name or service not known": ErrorInfo(ErrorKind.DISCONNECTED, _UNKNOWN_HOST),
    "name resolution": ErrorInfo(ErrorKind.DISCONNECTED, _UNKNOWN_HOST),
}


def _statement_limit(raw: Any, seconds: float) -> str:
    """Return the assignment that limits how long a statement may take; 0 for no limit."""
    if "MariaDB" in raw.get_server_info():
        return f"max_statement_time = {seconds:g}"
    return f"max_execution_time = {int(seconds * 1000)}"


def _set_read_timeout(raw: Any, seconds: float | None) -> None:
    """Limit how long a connection may be silent. PyMySQL has no public way to change this."""
    raw._read_timeout = seconds  # noqa: SLF001


class MySQL(ServerDatabase):
    """A database of a MariaDB or MySQL server."""

    DRIVER = "mysql+pymysql"
    DRIVER_OPTIONS = {  # noqa: RUF012  constant
        "ssl_ca": str,
        "ssl_cert": str,
        "ssl_key": str,
        "ssl_verify_cert": bool,
        "ssl_verify_identity": bool,
    }
    SERVER_TIME = "SELECT UNIX_TIMESTAMP(SYSDATE(6))"
    IDENTITY = "SELECT CONCAT_WS(' ', DATABASE(), @@hostname, @@port, @@datadir)"
    # Each DDL statement commits.
    transactional_ddl = False
    begin_read = (
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    )
    begin_write = ("BEGIN",)
    raise_limit = "; or raise max_allowed_packet of the server"

    def create_engine(self, **options: Any) -> sa.Engine:
        """Create a SQLAlchemy engine; unreadable files of TLS are errors of the driver."""
        engine = super().create_engine(**options)
        sa.event.listen(engine, "do_connect", self._connect)
        return engine

    def connect_args(self) -> dict[str, Any]:
        """Return the arguments for PyMySQL; the handshake may take as long as connecting."""
        return {**super().connect_args(), "read_timeout": self.timeout, "write_timeout": self.timeout}

    def _connect(self, dialect: Any, _: object, args: Any, options: Any) -> Any:
        try:
            return dialect.connect(*args, **options)
        except OSError as error:  # PyMySQL lets those of reading the files of TLS pass
            raise pymysql.err.OperationalError(CR.CR_SSL_CONNECTION_ERROR, str(error)) from error

    def set_up(self, raw: Any) -> None:
        """Make a new connection commit each statement by itself, in UTC, and lock no gaps between rows.

        Also limit how long a statement may take: on MySQL only queries and waiting for locks.
        """
        connection = getattr(raw, "_sock", None)
        if isinstance(connection, socket.socket):
            self.keep_alive.apply(connection)
        raw.autocommit(True)
        seconds = self.default_statement_timeout
        # In UTC no hour comes twice.
        settings = ["time_zone = '+00:00'"]
        if seconds:
            settings.append(f"innodb_lock_wait_timeout = {max(int(seconds), 1)}")
        settings.append(_statement_limit(raw, seconds))
        with raw.cursor() as cursor:
            cursor.execute(f"SET {', '.join(f'SESSION {setting}' for setting in settings)}")
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute("SELECT @@max_allowed_packet")
            packet = int(cursor.fetchone()[0])
            # A larger statement is not an error of its own: the server closes the connection.
            self.max_value = packet - packet // _STATEMENT_SHARE
        _set_read_timeout(raw, self.read_timeout(seconds))

    def stored_size(self, text: str) -> int:
        """Return the size of a text as it stands in a statement, with what the driver escapes."""
        return super().stored_size(text) + sum(map(text.count, _ESCAPED))

    @contextmanager
    def schema_change(self, connection: sa.Connection) -> Iterator[None]:
        """Hold a lock of the server while tables are created or changed; each DDL statement commits.

        Raises:
            StorageFailure: another process does not finish.
        """
        # Building an index, or another process that does, may take long.
        raw: Any = connection.connection.driver_connection
        _set_read_timeout(raw, None)
        connection.exec_driver_sql(f"SET SESSION {_statement_limit(raw, 0)}")
        query = f"SELECT GET_LOCK('{_SCHEMA_LOCK}', {_SCHEMA_LOCK_TIMEOUT})"
        if not connection.exec_driver_sql(query).scalar_one():
            raise exc.StorageFailure(
                f"database '{self.name}' is being upgraded by another process: wait for it"
            )
        try:
            with super().schema_change(connection):
                yield
        finally:
            if not connection.invalidated:
                connection.exec_driver_sql(f"SELECT RELEASE_LOCK('{_SCHEMA_LOCK}')").scalar_one()
                seconds = self.default_statement_timeout
                connection.exec_driver_sql(f"SET SESSION {_statement_limit(raw, seconds)}")
                _set_read_timeout(raw, self.read_timeout(seconds))

    def has_open_transaction(self, raw: Any) -> bool:
        """Return whether what was just written on a connection waits for a commit."""
        status = getattr(raw, "server_status", None)
        return status is None or bool(status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)

    def explain(self, error: BaseException | None) -> ErrorInfo:
        """Return the kind of an error of PyMySQL, and what to do about it."""
        if not isinstance(error, pymysql.err.MySQLError):
            return FAILED
        if isinstance(error, pymysql.err.InterfaceError):  # the connection is closed
            return _ERRORS[CR.CR_SERVER_GONE_ERROR]
        code = error.args[0] if error.args else 0
        if code == CR.CR_CONN_HOST_ERROR:
            text = str(error)
            known = next((info for part, info in _CONNECT_ERRORS.items() if part in text), None)
            if known is not None:
                return known
        return _ERRORS.get(code, FAILED)
