"""SQLite: a file, or a database in memory.

The journal is a WAL and every commit is synced to disk (``synchronous=FULL``) unless the URL says otherwise,
as in ``sqlite:///flows.db?synchronous=NORMAL&timeout=5``. Options: ``timeout`` (seconds to wait for another
writer, 30), ``synchronous``, ``journal_mode``, ``cache_size`` (KiB, 16384) and ``max_page_count`` (the
largest size of the file, in pages).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool, StaticPool

from stackl_flow import exceptions as exc
from stackl_flow.databases.base import FAILED, Database, ErrorInfo, ErrorKind, choice
from stackl_flow.urls import BackendURL

_SYNCHRONOUS: Final = ("FULL", "NORMAL", "OFF", "EXTRA")
_JOURNAL: Final = ("WAL", "DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF")
# The size of the WAL, in pages, at which it is copied into the database and overwritten from its start. A
# commit that overwrites takes a third less than one that makes the WAL longer, and many flows end before
# SQLite's default of 1,000 pages is reached; a much shorter WAL is copied too often.
_WAL_PAGES: Final = 400
#: The part of the longest row that is left to its other columns.
_ROW_SHARE: Final = 8
_IN_MEMORY: Final = frozenset({"", "/", "/:memory:"})

_PERMISSIONS: Final = "make the file and its directory writable for this user"
_SAFE: Final = "what was stored before is safe"
_DAMAGED: Final = "is damaged: restore a backup, or save what is left with 'sqlite3 FILE .recover'"
_ERRORS: Final = {
    code: ErrorInfo(kind, remedy)
    for code, kind, remedy in (
        (
            sqlite3.SQLITE_BUSY,
            ErrorKind.LOCKED,
            "is locked by another process: wait until it is done, or set a longer ?timeout=",
        ),
        (
            sqlite3.SQLITE_LOCKED,
            ErrorKind.LOCKED,
            "is locked by another connection: close it, or set a longer ?timeout=",
        ),
        (sqlite3.SQLITE_FULL, ErrorKind.DISK, f"is full, or its disk is: free some space; {_SAFE}"),
        (
            sqlite3.SQLITE_IOERR,
            ErrorKind.DISK,
            f"cannot be read or written: check the disk and the quota; {_SAFE}",
        ),
        (sqlite3.SQLITE_READONLY, ErrorKind.PERMANENT, f"is read-only: {_PERMISSIONS}"),
        (sqlite3.SQLITE_PERM, ErrorKind.PERMANENT, f"may not be used: {_PERMISSIONS}"),
        (sqlite3.SQLITE_AUTH, ErrorKind.PERMANENT, f"may not be used: {_PERMISSIONS}"),
        (sqlite3.SQLITE_CORRUPT, ErrorKind.PERMANENT, _DAMAGED),
        (
            sqlite3.SQLITE_NOTADB,
            ErrorKind.PERMANENT,
            "is not a SQLite database: use the path of another file",
        ),
        (
            sqlite3.SQLITE_CANTOPEN,
            ErrorKind.PERMANENT,
            "cannot be opened: check that the path is right and may be used by this user",
        ),
        (
            sqlite3.SQLITE_TOOBIG,
            ErrorKind.TOO_LARGE,
            "refused a value as too large: store large values elsewhere, and a reference here",
        ),
    )
}


class SQLite(Database):
    """A SQLite file, or a database in memory that lives as long as its engine.

    Attributes:
        file: the absolute path of the file; None in memory.
    """

    OPTIONS = {  # noqa: RUF012  constant
        "timeout": float,
        "synchronous": str,
        "journal_mode": str,
        "cache_size": int,
        "max_page_count": int,
    }
    reuses_keys = True
    paramstyle = "qmark"
    begin_read = ("BEGIN",)
    # A transaction that began by reading cannot write once another has written, so a writer says so at once.
    begin_write = ("BEGIN IMMEDIATE",)
    end_write = "COMMIT"

    def __init__(self, url: BackendURL, **options: type[Any]) -> None:
        super().__init__(url, **options)
        in_memory = url.location in _IN_MEMORY
        self.is_shared = not in_memory
        self.survives_fork = in_memory
        # A relative path is relative to the working directory at this moment.
        self.file = None if in_memory else os.path.abspath(url.location.removeprefix("/"))  # noqa: PTH100
        self._lock = threading.RLock()
        given = self.options
        self._pragmas = [
            f"journal_mode={choice(given.get('journal_mode', 'WAL'), 'journal_mode', _JOURNAL)}",
            f"synchronous={choice(given.get('synchronous', 'FULL'), 'synchronous', _SYNCHRONOUS)}",
            f"cache_size=-{given.get('cache_size', 16384)}",
            f"wal_autocheckpoint={_WAL_PAGES}",
            "foreign_keys=ON",
        ]
        if "max_page_count" in given:
            self._pragmas.append(f"max_page_count={given['max_page_count']}")

    @property
    def display_name(self) -> str:
        """The path of the file."""
        return self.file or self.name

    def create_engine(self, **options: Any) -> sa.Engine:
        """Create a SQLAlchemy engine without a limit of connections; in memory, all threads share one."""
        pool: dict[str, Any] = {"poolclass": QueuePool, "max_overflow": -1}
        engine = sa.create_engine(
            sa.URL.create("sqlite", database=self.file or ":memory:"),
            **(pool if self.is_shared else {"poolclass": StaticPool}),
            # A connection may be opened in one thread and used in another.
            connect_args={
                "timeout": self.options.get("timeout", 30.0),
                "isolation_level": None,
                "check_same_thread": False,
            },
            hide_parameters=True,
            **options,
        )
        return self.listen(engine)

    def set_up(self, raw: sqlite3.Connection) -> None:
        """Set the pragmas of a new connection."""
        for pragma in self._pragmas:
            raw.execute(f"PRAGMA {pragma}").close()
        longest = raw.getlimit(sqlite3.SQLITE_LIMIT_LENGTH)  # of a row, and of each value
        self.max_value = longest - longest // _ROW_SHARE

    def lock(self) -> AbstractContextManager[Any]:
        """Return a lock to hold during a transaction: a shared one for a database in memory."""
        return super().lock() if self.is_shared else self._lock

    def check_path(self, *, create: bool) -> None:
        """Check that the directory is there, and the file unless it is to be created.

        Raises:
            StorageFailure: it cannot be opened.
        """
        if self.file is None:
            return
        directory = os.path.dirname(self.file)  # noqa: PTH120  one system call, no objects
        if not os.path.isdir(directory):  # noqa: PTH112
            raise exc.StorageFailure(
                f"database '{self.file}' cannot be opened: no directory '{directory}'; create it first"
            )
        if os.path.isdir(self.file):  # noqa: PTH112
            raise exc.StorageFailure(
                f"database '{self.file}' is a directory: use the path of a file, or write dir://{self.file}"
            )
        if not create and not os.path.exists(self.file):  # noqa: PTH110
            raise exc.StorageFailure(
                f"database '{self.file}' does not exist: check the path, or create it with "
                f"'stackl-flow db upgrade --db {self.name}' or upgrade() on a connection"
            )

    def identity(self) -> object:
        """Return the device and inode of the file; None if there is none."""
        try:
            found = None if self.file is None else os.stat(self.file)  # noqa: PTH116  one system call
        except OSError:
            return None
        return found and (found.st_dev, found.st_ino)

    def has_open_transaction(self, raw: Any) -> bool:
        """Return whether what was just written on a connection waits for a commit."""
        return bool(getattr(raw, "in_transaction", True))

    def explain(self, error: BaseException | None) -> ErrorInfo:
        """Return the kind of an error of sqlite3, and what to do about it."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_CONSTRAINT and "UNIQUE" in str(error):
            return ErrorInfo(ErrorKind.DUPLICATE, "has such a row already")
        if error is not None and "no such table" in str(error):
            return ErrorInfo(ErrorKind.NO_TABLE, "has no such table")
        return _ERRORS.get(code, FAILED)

    def check_integrity(self, query: Callable[[str], Sequence[Sequence[Any]]]) -> None:
        """Let SQLite check for damage.

        Raises:
            StorageFailure: the file is damaged.
        """
        found = [row[0] for row in query("PRAGMA quick_check(1)")]
        if found != ["ok"]:
            raise exc.StorageFailure(f"database '{self.display_name}' {_DAMAGED} ({'; '.join(found)})")
