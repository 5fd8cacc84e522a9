"""SQLite files for the benchmarks, all in one directory on one file system."""

from __future__ import annotations

import contextlib
import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A path for a database in the temporary directory (``TMPDIR`` moves it), gone afterwards.

    Yields:
        The path; there is no file at it yet.
    """
    with tempfile.TemporaryDirectory(prefix="stackl-flow-bench-") as directory:
        yield Path(directory, "bench.db")


@contextlib.contextmanager
def opened(name: str, path: Path, query: str = "") -> Iterator[Any]:
    """A library's SQLite backend with its schema in place.

    Args:
        name: ``stackl_flow`` or ``taskflow``.
        path: the database file.
        query: the rest of the URL, such as ``?synchronous=OFF``.

    Yields:
        The backend, closed afterwards.
    """
    fetch = importlib.import_module(f"{name}.persistence.backends").fetch
    backend = fetch({"connection": f"sqlite:///{path}{query}"})
    with contextlib.closing(backend):
        with contextlib.closing(backend.get_connection()) as connection:
            connection.upgrade()
        yield backend
