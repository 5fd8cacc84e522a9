"""Prepared statements of PostgreSQL, sent to libpq directly.

psycopg's cursor adds about as much time as the server takes, and its pipeline sends each statement by itself.
"""

from __future__ import annotations

import itertools
import select
from collections.abc import Iterable, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

import psycopg
from psycopg.pq import ExecStatus

#: libpq reads text up to the first of these.
_NUL: Final = b"\0"


class _Connection:
    """What is known of one connection: the names of its prepared statements, and how to wait for results."""

    def __init__(self, pg: Any) -> None:
        self.names: dict[str, bytes] = {}
        self._count = itertools.count()
        self._poll = select.poll()
        self._socket = pg.socket

    def execute(self, raw: Any, text: str, values: list[bytes | None]) -> None:
        """Run a statement, prepared when it is run for the first time."""
        pg = raw.pgconn
        name = self.names.get(text)
        if name is None:
            name = b"stackl_flow_%d" % next(self._count)
            # Not ``pg.prepare``, which waits in C for as long as the server is silent.
            pg.send_prepare(name, text.encode())
            self._finish(raw)
            self.names[text] = name
        pg.send_query_prepared(name, values)
        self._finish(raw)

    def execute_together(
        self, raw: Any, statements: Sequence[tuple[str, list[bytes | None] | None]]
    ) -> list[Any]:
        """Run statements in one round trip; return libpq's result, or the error, of each."""
        try:
            return self._execute_together(raw.pgconn, raw, statements)
        except BaseException:
            raw.pgconn.finish()  # it is in the middle of a pipeline
            raise

    def _execute_together(
        self, pg: Any, raw: Any, statements: Sequence[tuple[str, list[bytes | None] | None]]
    ) -> list[Any]:
        is_answer: list[bool] = []
        pg.enter_pipeline_mode()
        for text, values in statements:
            if values is None:
                pg.send_query_params(text.encode(), None)
            else:
                if text not in self.names:
                    self.names[text] = b"stackl_flow_%d" % next(self._count)
                    pg.send_prepare(self.names[text], text.encode())
                    is_answer.append(False)
                pg.send_query_prepared(self.names[text], values)
            is_answer.append(True)
        pg.pipeline_sync()
        results: list[Any] = []
        error = None
        for wanted in is_answer:
            result = self._next_result(pg, raw)
            self._next_result(pg, raw)  # the end of that one
            error = error or _error_of(result)
            if wanted:
                results.append(error or result)
        self._next_result(pg, raw)  # the end of all
        pg.exit_pipeline_mode()
        if error is not None:
            self.names.clear()  # some may not be prepared
        return results

    def _next_result(self, pg: Any, raw: Any) -> Any:
        if pg.is_busy():
            self.wait(raw)
        return pg.get_result()

    def _finish(self, raw: Any) -> None:
        self.wait(raw)
        pg = raw.pgconn
        first = pg.get_result()
        while pg.get_result() is not None:
            pass
        _check_result(first)

    def wait(self, raw: Any) -> None:
        """Wait for a result; a signal may interrupt, as with a cursor."""
        pg, poll = raw.pgconn, self._poll
        # A connection of the caller has no limit.
        seconds = getattr(raw, "read_timeout", None)
        timeout = None if seconds is None else seconds * 1000
        while pg.flush():
            poll.register(self._socket, select.POLLIN | select.POLLOUT)
            if not poll.poll(timeout):
                raw.give_up(seconds)
            pg.consume_input()
        poll.register(self._socket, select.POLLIN)
        while pg.is_busy():
            if not poll.poll(timeout):
                raw.give_up(seconds)
            pg.consume_input()


class PreparedStatements:
    """Runs statements on psycopg's connections, without its cursor. Their encoding must be UTF-8."""

    def __init__(self) -> None:
        self._connections: WeakKeyDictionary[Any, _Connection] = WeakKeyDictionary()

    def execute(self, raw: Any, text: str, values: Iterable[Any]) -> None:
        """Run a statement whose result does not matter.

        Args:
            raw: psycopg's connection, outside any transaction.
            text: the statement, with libpq's parameters ``$1`` and so on.
            values: text, numbers and None.

        Raises:
            psycopg.Error: as a cursor raises it.
        """
        encoded = _encode(values)
        connection = self._connection(raw)
        try:
            connection.execute(raw, text, encoded)
        except psycopg.errors.InvalidSqlStatementName:
            # After a rollback psycopg deallocates all prepared statements, also those that are not its own.
            del connection.names[text]
            connection.execute(raw, text, encoded)

    def execute_together(
        self, raw: Any, statements: Sequence[tuple[str, Sequence[Any] | None]]
    ) -> list[Sequence[Sequence[str]] | psycopg.Error]:
        """Run statements in one round trip; after one that fails, none is run.

        Args:
            raw: psycopg's connection, outside any transaction.
            statements: each with its values (text, numbers, None, and lists of text or numbers); None for
                one that has none and is not to be prepared, such as BEGIN.

        Returns:
            For each statement its rows of text, or the error of the first one that failed.

        Raises:
            psycopg.Error: the connection is lost, or a value cannot be sent.
        """
        encoded = [(text, None if values is None else _encode(values)) for text, values in statements]
        connection = self._connection(raw)
        results = connection.execute_together(raw, encoded)
        first = next(number for number, (_, values) in enumerate(encoded) if values is not None)
        if isinstance(results[first], psycopg.errors.InvalidSqlStatementName):
            raw.rollback()  # as above
            results = connection.execute_together(raw, encoded)
        return [result if isinstance(result, psycopg.Error) else _rows(result) for result in results]

    def _connection(self, raw: Any) -> _Connection:
        connection = self._connections.get(raw)
        if connection is None:
            connection = self._connections[raw] = _Connection(raw.pgconn)
        return connection


def _encode(values: Iterable[Any]) -> list[bytes | None]:
    encoded = [
        None if value is None else (_array(value) if isinstance(value, list) else str(value)).encode()
        for value in values
    ]
    if _NUL in b"".join(filter(None, encoded)):
        raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    return encoded


def _array(values: Iterable[Any]) -> str:
    """Return the text form of an array."""
    quoted = [
        "NULL" if value is None else '"' + str(value).replace("\\", r"\\").replace('"', r"\"") + '"'
        for value in values
    ]
    return "{" + ",".join(quoted) + "}"


def _rows(result: Any) -> list[list[str]]:
    columns = range(result.nfields)
    return [[result.get_value(row, column).decode() for column in columns] for row in range(result.ntuples)]


def _check_result(result: Any) -> None:
    error = _error_of(result)
    if error is not None:
        raise error


def _error_of(result: Any) -> psycopg.Error | None:
    if result is None:
        return psycopg.OperationalError("the connection is lost")
    if result.status in {ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK}:
        return None
    state = (result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode()
    message = result.error_message.decode(errors="replace").strip()
    try:
        return psycopg.errors.lookup(state)(message)
    except KeyError:
        return psycopg.OperationalError(message)
