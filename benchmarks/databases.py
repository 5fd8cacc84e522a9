"""SQLite files for the benchmarks."""

from __future__ import annotations

import contextlib
import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Yield a path for a database in a temporary directory (``TMPDIR``); no file exists at it yet."""
    with tempfile.TemporaryDirectory(prefix="stackl-flow-bench-") as directory:
        yield Path(directory, "bench.db")


@contextlib.contextmanager
def opened(name: str, path: Path, query: str = "") -> Iterator[Any]:
    """Open the SQLite backend of a library and upgrade it; ``query`` is added to the URL."""
    fetch = importlib.import_module(f"{name}.persistence.backends").fetch
    backend = fetch({"connection": f"sqlite:///{path}{query}"})
    with contextlib.closing(backend):
        with contextlib.closing(backend.get_connection()) as connection:
            connection.upgrade()
        yield backend
