"""Temporary files in memory, so that syncing them costs nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108  a tmpfs on every Linux
#: Two workers keep some ten databases at a time.
_ROOM = 4 << 30


def use_memory() -> None:
    """Point temporary files of this process and its children at a tmpfs that has room.

    Does nothing where ``TMPDIR`` is set, as it is in the workers of a run.
    """
    if "TMPDIR" in os.environ or not os.access(_MEMORY, os.W_OK) or shutil.disk_usage(_MEMORY).free < _ROOM:
        return
    directory = _MEMORY / f"stackl-{os.geteuid()}"
    # Short, for the paths of Unix sockets; and servers that run as another user must reach their data.
    directory.mkdir(mode=0o711, exist_ok=True)
    os.environ["TMPDIR"] = str(directory)
    tempfile.tempdir = None


def on_disk() -> tempfile.TemporaryDirectory[str]:
    """Make a temporary directory outside of memory, for tests of what survives a power loss."""
    return tempfile.TemporaryDirectory(prefix="stackl-flow-tests-", dir="/var/tmp")
