"""SQLite's own ways: the one file where its own SQL may stand.

The journal is a WAL and every commit reaches the disk (``synchronous=FULL``) unless the address says
otherwise, as in ``sqlite:///flows.db?synchronous=NORMAL&timeout=5``. Options: ``timeout`` (seconds to wait
for another writer, 30), ``save_attempts`` (how often a save is tried while the file is locked, full or out of
reach, 3), ``save_wait`` (seconds between them, 5), ``synchronous``, ``journal_mode``, ``cache_size`` (KiB,
16384) and ``max_page_count`` (the most pages the file may get).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import AbstractContextManager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool, StaticPool

from stackl_flow import exceptions as exc
from stackl_flow.persistence.backends.sql.dialect import SQLDialect, choose
from stackl_flow.urls import BackendURL

_SYNCHRONOUS: Final = ("FULL", "NORMAL", "OFF", "EXTRA")
_JOURNAL: Final = ("WAL", "DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF")
# Pages in the log at which it is written back and begun again. A commit into the log's old room costs
# the disk a third less than one that makes the file longer, and many a flow ends before SQLite's own 1,000
# pages are full; a much shorter log is written back too often.
_LOG_PAGES: Final = 400
_IN_MEMORY: Final = frozenset({"", "/", "/:memory:"})

# SQLite has undone what met one of these: nothing of it landed.
_MAY_PASS: Final = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
)

_RIGHTS: Final = "make the file and its directory writable for this user"
_SAFE: Final = "what was stored before is safe"
_REMEDIES: Final = {
    sqlite3.SQLITE_BUSY: "is locked by another process: wait until it is done, or give a longer ?timeout=",
    sqlite3.SQLITE_LOCKED: "is locked by another connection: close it, or give a longer ?timeout=",
    sqlite3.SQLITE_READONLY: f"is read-only: {_RIGHTS}",
    sqlite3.SQLITE_PERM: f"may not be used: {_RIGHTS}",
    sqlite3.SQLITE_AUTH: f"may not be used: {_RIGHTS}",
    sqlite3.SQLITE_FULL: f"is full, or its disk is: free some space; {_SAFE}",
    sqlite3.SQLITE_IOERR: f"cannot be read or written: check the disk and the quota; {_SAFE}",
    sqlite3.SQLITE_CORRUPT: "is damaged: restore a backup, or save what is left with 'sqlite3 FILE .recover'",
    sqlite3.SQLITE_NOTADB: "is not a SQLite database: give the path of another file",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: check that the path is right and may be used by this user",
    sqlite3.SQLITE_TOOBIG: "refused a value as too large: keep large values elsewhere and return an id",
}


class SQLiteDialect(SQLDialect):
    """A SQLite file, or a database in memory that lives as long as its backend.

    Args:
        place: its address and options.
    """

    reuses_keys = True
    # One that began as a reader cannot become a writer while another writes: so it says at once what it is.
    begin_read = ("BEGIN",)
    begin_write = ("BEGIN IMMEDIATE",)
    end_write = "COMMIT"

    def __init__(self, place: BackendURL) -> None:
        super().__init__(place)
        self._in_memory = self.survives_fork = place.location in _IN_MEMORY
        # A relative path means the directory that we were in when it was given.
        self.file = None if self._in_memory else os.path.abspath(place.location.removeprefix("/"))  # noqa: PTH100
        self._lock = threading.RLock()
        options = place.read_options(
            timeout=float, synchronous=str, journal_mode=str, cache_size=int, max_page_count=int,
            save_attempts=int, save_wait=float,
        ).values  # fmt: skip
        self.save_attempts = options.get("save_attempts", self.save_attempts)
        self.save_wait = options.get("save_wait", self.save_wait)
        if self.save_attempts < 1 or self.save_wait < 0:
            raise exc.InvalidFormat(
                f"'save_attempts' of '{self.name}' must be 1 or more and 'save_wait' 0 or more,"
                f" not {self.save_attempts} and {self.save_wait}"
            )
        self._timeout = options.get("timeout", 30.0)
        self._pragmas = [
            f"journal_mode={choose(options.get('journal_mode', 'WAL'), 'journal_mode', _JOURNAL)}",
            f"synchronous={choose(options.get('synchronous', 'FULL'), 'synchronous', _SYNCHRONOUS)}",
            f"cache_size=-{options.get('cache_size', 16384)}",
            f"wal_autocheckpoint={_LOG_PAGES}",
            "foreign_keys=ON",
        ]
        if "max_page_count" in options:
            self._pragmas.append(f"max_page_count={options['max_page_count']}")

    def create_engine(self) -> sa.Engine:
        """Make the SQLAlchemy engine; nothing is opened yet.

        Returns:
            The engine.
        """
        engine = sa.create_engine(
            sa.URL.create("sqlite", database=self.file or ":memory:"),
            # In memory there is but one of the driver's connections for all.
            poolclass=StaticPool if self._in_memory else QueuePool,
            **({} if self._in_memory else {"max_overflow": -1}),
            # Transactions are begun by us. A connection may be made in one thread and used in another.
            connect_args={"timeout": self._timeout, "isolation_level": None, "check_same_thread": False},
            hide_parameters=True,
        )
        sa.event.listen(engine, "connect", self._set_up)
        sa.event.listen(engine, "begin", self._begin)
        return engine

    def _set_up(self, raw: sqlite3.Connection, _: object) -> None:
        for pragma in self._pragmas:
            raw.execute(f"PRAGMA {pragma}").close()

    def _begin(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(*self.begin_write)

    def lock(self) -> AbstractContextManager[Any]:
        """Give what has to be held during a transaction: a lock, for a database in memory.

        Returns:
            A lock; one of its own for each who asks where nothing is shared.
        """
        return self._lock if self._in_memory else super().lock()

    def before_open(self, *, create: bool) -> None:
        """Refuse a missing directory, and a missing file unless it is to be made.

        Args:
            create: a file that does not exist is to be made.

        Raises:
            StorageFailure: it cannot be opened.
        """
        if self.file is None:
            return
        directory = os.path.dirname(self.file)  # noqa: PTH120  one look at the disk, no objects
        if not os.path.isdir(directory):  # noqa: PTH112
            raise exc.StorageFailure(
                f"database '{self.file}' cannot be opened: there is no directory '{directory}'; make it first"
            )
        if os.path.isdir(self.file):  # noqa: PTH112
            raise exc.StorageFailure(f"database '{self.file}' is a directory: give the path of a file")
        if not create and not os.path.exists(self.file):  # noqa: PTH110
            raise exc.StorageFailure(
                f"database '{self.file}' does not exist: check the path, or make it with "
                f"'stackl-flow db upgrade --db {self.name}' or by upgrade() on a connection"
            )

    def place_now(self) -> object:
        """Say which file stands at the path.

        Returns:
            Its device and number, or None.
        """
        try:
            found = None if self.file is None else os.stat(self.file)  # noqa: PTH116  one look at the disk
        except OSError:
            return None
        return found and (found.st_dev, found.st_ino)

    def lacks_table(self, error: BaseException) -> bool:
        """Say whether an error of the driver means that a table does not exist.

        Args:
            error: the driver's error.

        Returns:
            True if so.
        """
        return "no such table" in str(error)

    def translate(self, error: BaseException) -> exc.StacklFlowError:
        """Make an error of ours of one of SQLite's.

        Args:
            error: the driver's error.

        Returns:
            An error that names the file and what to do.
        """
        where = self.file or self.name
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_CONSTRAINT and "UNIQUE" in str(error):
            return exc.Duplicate(
                f"database '{where}' holds a row with that uuid already: {error}", cause=error
            )
        if self.lacks_table(error):
            return self.not_upgraded()
        remedy = _REMEDIES.get(code, "failed")
        return exc.StorageFailure(f"database '{where}' {remedy} ({error})", cause=error)

    def may_pass(self, error: BaseException | None) -> bool:
        """Say whether what failed did not land, and may work when it is done again a little later.

        Args:
            error: the driver's error.

        Returns:
            True for a file that is locked, full or out of reach.
        """
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _MAY_PASS

    def check(self, run: Any) -> None:
        """Let SQLite look for damage.

        Args:
            run: takes SQL and gives the rows.

        Raises:
            StorageFailure: the file is damaged.
        """
        found = [row[0] for row in run("PRAGMA quick_check(1)")]
        if found != ["ok"]:
            remedy = _REMEDIES[sqlite3.SQLITE_CORRUPT]
            raise exc.StorageFailure(f"database '{self.file or self.name}' {remedy} ({'; '.join(found)})")
