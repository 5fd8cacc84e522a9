"""Temporary files in memory, so that syncing them costs nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108  a tmpfs on every Linux
#: Bytes. Each worker runs up to five servers at a time, some tests more.
_REQUIRED = 4 << 30


def use_memory() -> Path | None:
    """Point temporary files of this process and its children to a directory in memory.

    Does nothing if there is not enough memory, or if ``TMPDIR`` is set, as it is in the workers of a run.

    Returns:
        The directory.
    """
    if "TMPDIR" in os.environ or not os.access(_MEMORY, os.W_OK):
        return None
    # Short names, for the paths of Unix sockets. Servers that run as another user must reach their data.
    parent = _MEMORY / f"stackl-tests-{os.geteuid()}"
    parent.mkdir(mode=0o711, exist_ok=True)
    _remove_old(parent)
    if shutil.disk_usage(_MEMORY).free < _REQUIRED:
        return None
    directory = parent / str(os.getpid())
    directory.mkdir(mode=0o711)
    os.environ["TMPDIR"] = str(directory)
    tempfile.tempdir = None
    return directory


def _remove_old(parent: Path) -> None:
    """Remove what runs have left that failed or were killed."""
    for directory in parent.iterdir():
        if directory.name.isdigit() and not Path(f"/proc/{directory.name}").exists():
            shutil.rmtree(directory, ignore_errors=True)


def on_disk() -> tempfile.TemporaryDirectory[str]:
    """Make a temporary directory outside of memory, for tests of power loss."""
    return tempfile.TemporaryDirectory(prefix="stackl-flow-tests-", dir="/var/tmp")
