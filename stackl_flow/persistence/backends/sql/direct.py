"""Statements that go straight to libpq, for the one that every checkpoint waits for.

psycopg's cursor costs about half of what the server takes for it. Here its text is prepared once a
connection, its values are text already, and the wait for the answer can be interrupted as with a cursor.
"""

from __future__ import annotations

import itertools
import select
from collections.abc import Iterable
from typing import Any, Final
from weakref import WeakKeyDictionary

import psycopg
from psycopg.pq import ExecStatus

#: libpq takes text up to the first of these.
_END: Final = b"\0"


class _Line:
    """What is known of one connection: the names of its statements, and how to wait for its answers."""

    def __init__(self, pg: Any) -> None:
        self.names: dict[str, bytes] = {}
        self._count = itertools.count()
        self._poll = select.poll()
        self._socket = pg.socket

    def ask(self, pg: Any, text: str, given: list[bytes | None]) -> None:
        """Run a statement, prepared when it comes for the first time."""
        name = self.names.get(text)
        if name is None:
            name = b"stackl_flow_%d" % next(self._count)
            _check(pg.prepare(name, text.encode()))
            self.names[text] = name
        pg.send_query_prepared(name, given)
        self.wait(pg)
        first = pg.get_result()
        while pg.get_result() is not None:
            pass
        _check(first)

    def wait(self, pg: Any) -> None:
        """Wait until an answer is there."""
        poll = self._poll
        while pg.flush():
            poll.register(self._socket, select.POLLIN | select.POLLOUT)
            poll.poll()
            pg.consume_input()
        poll.register(self._socket, select.POLLIN)
        while pg.is_busy():
            poll.poll()
            pg.consume_input()


class Direct:
    """Runs statements on the connections of a dialect, each of which has to speak UTF-8."""

    def __init__(self) -> None:
        self._lines: WeakKeyDictionary[Any, _Line] = WeakKeyDictionary()

    def run(self, raw: Any, text: str, values: Iterable[Any]) -> None:
        """Run a statement that gives nothing of interest.

        Args:
            raw: psycopg's connection, outside any transaction.
            text: the statement, with libpq's own ``$1`` and so on.
            values: text, numbers and None.

        Raises:
            Error: as a cursor raises it.
        """
        pg = raw.pgconn
        given = [None if value is None else str(value).encode() for value in values]
        if _END in b"".join(filter(None, given)):
            raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        line = self._lines.get(raw)
        if line is None:
            line = self._lines[raw] = _Line(pg)
        try:
            line.ask(pg, text, given)
        except psycopg.errors.InvalidSqlStatementName:
            # psycopg throws all prepared statements away after a rollback, also those that are not its own.
            del line.names[text]
            line.ask(pg, text, given)


def _check(result: Any) -> None:
    if result is None:
        raise psycopg.OperationalError("the connection is lost")
    if result.status in {ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK}:
        return
    state = (result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode()
    words = result.error_message.decode(errors="replace").strip()
    try:
        raise psycopg.errors.lookup(state)(words)
    except KeyError:
        raise psycopg.OperationalError(words) from None
