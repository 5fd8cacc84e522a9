"""Description of the machine, interpreter and peers of a run."""

from __future__ import annotations

import datetime as dt
import os
import platform
import sqlite3
import tempfile
from importlib import metadata
from pathlib import Path

PEERS = ("taskflow", "dask", "SQLAlchemy")


def description() -> dict[str, str]:
    """The machine, the interpreter and the peers.

    Returns:
        Words by heading.
    """
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "databases": f"SQLite {sqlite3.sqlite_version} on {filesystem(tempfile.gettempdir())}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "peers": ", ".join(f"{name} {metadata.version(name)}" for name in PEERS),
    }


def processor() -> str:
    """The name of the processor.

    Returns:
        The name, or the architecture where there is none.
    """
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def filesystem(directory: str) -> str:
    """The kind of file system a directory is on: on a tmpfs a commit costs nothing.

    Returns:
        The kind, such as ``ext4``.
    """
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    path = Path(directory).resolve()
    holding = [(len(point), kind) for point, kind in mounts if path.is_relative_to(point)]
    return max(holding)[1]
