"""The driver's connection under one of ours: opened when needed, checked once, given up after a fork.

Where connections of the driver come from: SQLAlchemy's pool, as far as what lies in it can still be used.

To open a database costs more than many a transaction, and the last one to close a SQLite file takes its log
away, which the next one has to begin anew. So connections that nobody uses are kept. Not used again are those
of before a fork, and those to a file that has been replaced since.

Saves that fail for a reason that may pass are tried again, some seconds apart.

How often and how far apart is the dialect's to say. Only that is tried again which is known not to have
landed, or may be done twice, or looks first whether it has landed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import sqlalchemy as sa
import tenacity

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.clock import Clock
from stackl_flow.persistence.backends.sql import tables
from stackl_flow.persistence.backends.sql.dialect import SQLDialect

# A child process must not use what it got of its parent's database, nor close it: it only keeps it.
_INHERITED: Final[list[Any]] = []
_PLACE: Final = "stackl_flow_place"


def keep(inherited: object) -> None:
    """Keep something that belongs to the parent process, so that it is never closed here.

    Args:
        inherited: what holds the parent's connections.
    """
    _INHERITED.append(inherited)


class Source:
    """Gives out connections, and takes them back.

    Args:
        engine: has the pool.
        dialect: the database's own ways.
    """

    def __init__(self, engine: sa.Engine, dialect: SQLDialect) -> None:
        self._engine = engine
        self._dialect = dialect
        self._pid = os.getpid()

    def take(self) -> Any:
        """Give a connection that can be used; ``close()`` gives it back.

        Returns:
            SQLAlchemy's holder of the driver's connection.
        """
        if self._pid != os.getpid() and not self._dialect.survives_fork:
            keep(self._engine.pool)
            self._engine.dispose(close=False)
        self._pid = os.getpid()
        while True:
            held = self._engine.raw_connection()
            place = self._dialect.place_now()
            if held.info.setdefault(_PLACE, place) == place:
                return held
            held.invalidate()
            held.close()

    def is_there(self, held: Any) -> bool:
        """Say whether a connection still leads to what stands at its address.

        Args:
            held: what ``take`` gave.

        Returns:
            True if so.
        """
        return bool(held.info.get(_PLACE) == self._dialect.place_now())

    def forget_idle(self) -> None:
        """Close those that nobody uses: one was lost, and they may be as well."""
        self._engine.dispose()


_CURRENT: Final = "stackl_flow_current"


class Link:
    """A connection of the driver and its cursor.

    Args:
        source: gives connections of the driver.
        dialect: the database's own ways.
        driver_error: what the driver raises.
    """

    def __init__(self, source: Source, dialect: SQLDialect, driver_error: type[Exception]) -> None:
        self._source = source
        self._dialect = dialect
        self._held: Any = None
        self._raw: Any = None
        self._pid = 0
        self._checked = False
        self._driver_error = driver_error
        self.cursor: Any = None
        #: Whether the answer to a commit was lost since somebody last looked.
        self.in_doubt = False
        #: To be used as context managers, one at a time: kept at the end, undone when the block raises.
        self.reading = Transaction(self, dialect, dialect.begin_read)
        self.writing = Transaction(self, dialect, dialect.begin_write)
        #: The same for somebody who sends what begins it along with the rest.
        self.plain = Transaction(self, dialect, ())

    @property
    def raw(self) -> Any:
        """The driver's connection."""
        return self._raw

    def ready(self) -> None:
        """Open the database and check its version, unless that is done.

        Raises:
            StorageFailure: it cannot be opened, or has to be upgraded.
            IncompatibleVersion: it is newer than this code.
        """
        if self._checked and self._pid == os.getpid():
            return  # nearly always, and asked for each checkpoint
        if not self.is_current(create=False):
            raise self._dialect.not_upgraded()

    def is_current(self, *, create: bool) -> bool:
        """Open the database and compare its version, unless that is done.

        Args:
            create: a database that does not exist is to be made.

        Returns:
            True when it has the version of this code, False when it has to be upgraded.

        Raises:
            IncompatibleVersion: it is newer than this code.
        """
        if self._checked and self._pid == os.getpid():
            return True
        self._open(create=create)
        if not self._checked:
            self._checked = tables.is_current(self._dialect.name, self._version())
            self._held.info[_CURRENT] = self._checked
        return self._checked

    def _open(self, *, create: bool) -> None:
        here = self._pid == os.getpid() or self._dialect.survives_fork
        if self._raw is not None and here:
            return
        if self._raw is not None:
            keep((self._held, self._raw, self.cursor))
        self._dialect.before_open(create=create)
        with self._dialect.lock():
            self._held = self._source.take()
            self._raw = self._held.driver_connection
            self.cursor = self._raw.cursor()
        self._pid = os.getpid()
        # A server is asked once for each of its connections, not each time that one is used again.
        self._checked = self._dialect.is_server and self._held.info.get(_CURRENT, False)

    def _version(self) -> str | None:
        with self._dialect.lock():
            try:
                found = self.rows(tables.FIND_VERSION)
            except self._driver_error as error:
                self._raw.rollback()
                if self._dialect.lacks_table(error):
                    return None
                raise
        return found[0][0] if found else None

    def look(self) -> None:
        """See that the database is still the one that was opened.

        Raises:
            StorageFailure: it was deleted or replaced, and what is written goes nowhere.
        """
        if not self._source.is_there(self._held):
            raise exc.StorageFailure(
                f"database '{self._dialect.name}' was deleted or replaced while it was used: what was written"
                f" since is lost; put it back and run the flow again"
            )

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a query.

        Args:
            sql: the query.
            values: the values bound in it.

        Returns:
            The rows.
        """
        self.cursor.execute(sql, values)
        return list(self.cursor.fetchall())

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        """Run a statement once for each row of values.

        Args:
            sql: the statement.
            rows: the values.

        Returns:
            How many rows of the table were touched.
        """
        if not rows:
            return 0
        if len(rows) == 1:
            self.cursor.execute(sql, rows[0])  # less to go through
        else:
            self.cursor.executemany(sql, rows)
        return int(self.cursor.rowcount)

    def commit(self) -> None:
        """Make what was written durable."""
        self._raw.commit()

    def undo(self) -> None:
        """Forget what was written since the transaction began."""
        try:
            self._raw.rollback()
        except self._driver_error:
            # The connection itself is gone, and the transaction with it: the next verb opens another.
            self.close(lost=True)

    def close(self, *, lost: bool = False) -> None:
        """Give the driver's connection back; the next use opens another.

        Args:
            lost: it is of no use to anybody any more.
        """
        held, self._held = self._held, None
        inherited = self._pid != os.getpid() and not self._dialect.survives_fork
        raw, self._raw, self.cursor, self._checked = self._raw, None, None, False
        if held is None:
            return
        if inherited:
            keep((held, raw))
            return
        with self._dialect.lock():
            if lost:
                held.invalidate()
                self._source.forget_idle()
            held.close()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn errors of the driver into errors of ours, while the block runs.

        Raises:
            StacklFlowError: what the driver's error means here.
        """
        try:
            yield
        except (self._driver_error, sa.exc.SQLAlchemyError) as error:
            raise self.translated(error) from error

    def translated(self, error: BaseException) -> exc.StacklFlowError:
        """Make an error of ours of one of the driver's or SQLAlchemy's.

        Args:
            error: the foreign error.

        Returns:
            The error, to be raised.
        """
        return self._dialect.translate(getattr(error, "orig", None) or error)

    def is_foreign(self, error: BaseException) -> bool:
        """Say whether an error is the driver's or SQLAlchemy's.

        Args:
            error: any error.

        Returns:
            True if so.
        """
        return isinstance(error, (self._driver_error, sa.exc.SQLAlchemyError))


class Transaction:
    """Begins, keeps or undoes; a class, because a checkpoint goes through it and a generator costs more.

    Args:
        link: the driver's connection.
        dialect: the database's own ways.
        begin: the statements that begin it, if any are needed.
    """

    def __init__(self, link: Link, dialect: SQLDialect, begin: Sequence[str]) -> None:
        self._link = link
        self._begin = begin
        self._lock = dialect.lock()

    def __enter__(self) -> Self:
        link = self._link
        self._lock.__enter__()
        try:
            link.ready()
            for statement in self._begin:
                link.cursor.execute(statement)
        except BaseException as error:
            # An interrupt may come when the transaction has begun already.
            if link.cursor is not None:
                link.undo()
            self._lock.__exit__(None, None, None)
            if link.is_foreign(error):
                raise link.translated(error) from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        link = self._link
        try:
            if error is None:
                link.commit()
                return
            link.undo()
        except BaseException as late:
            link.in_doubt = True
            link.undo()
            if link.is_foreign(late):
                raise link.translated(late) from late
            raise
        finally:
            self._lock.__exit__(None, None, None)
        if link.is_foreign(error):
            raise link.translated(error) from error


_LOG = redaction.get_logger(__name__)

T = TypeVar("T")


class Again:
    """Does something, and does it again if it failed for a reason that may pass.

    Args:
        dialect: knows such reasons, how often to try and how long to wait.
        clock: lets the time pass.
    """

    def __init__(self, dialect: SQLDialect, clock: Clock) -> None:
        self._dialect = dialect
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._may_pass),
            stop=tenacity.stop_after_attempt(dialect.save_attempts),
            wait=lambda state: dialect.next_wait(state.attempt_number),
            sleep=clock.sleep,
            before_sleep=self._tell,
            reraise=True,
        )

    def __call__(self, save: Callable[[], T]) -> T:
        """Do something.

        Args:
            save: what to do; it lands whole or not at all.

        Returns:
            What it gave.

        Raises:
            StorageFailure: every attempt failed; this is the last one's error.
        """
        try:
            return save()
        except exc.StorageFailure as error:
            return self.after(error, save)

    def after(self, error: exc.StorageFailure, save: Callable[[], T]) -> T:
        """Do something again that failed once.

        Args:
            error: why it failed.
            save: what to do; it lands whole or not at all.

        Returns:
            What it gave.

        Raises:
            StorageFailure: there is no use in trying, or every attempt failed; this is the last one's error.
        """
        if not self._may_pass(error):
            raise error
        failed = [error]

        def attempt() -> T:
            if failed:
                raise failed.pop()
            return save()

        return self._retrying(attempt)

    def _may_pass(self, error: BaseException) -> bool:
        # Its subclasses are about owners and versions: trying again changes nothing.
        return type(error) is exc.StorageFailure and self._dialect.may_pass(error.cause)

    def _tell(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome and state.outcome.exception()
        wait = self._dialect.next_wait(state.attempt_number)
        _LOG.warning(
            "attempt %d of %d to save: %s; next in %g seconds",
            state.attempt_number, self._dialect.save_attempts, error, wait,
        )  # fmt: skip
