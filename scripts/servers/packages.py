"""Installs servers from Debian's packages, and lets none of them start by itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from scripts.servers.kinds import Kind, find
from scripts.servers.server import ServerError

#: Debian's own way to say that services are not to be started: this program ends with 101.
_POLICY: Final = Path("/usr/sbin/policy-rc.d")
_LOCK: Final = "stackl-flow-services.lock"
_APT: Final = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=600")


def install(kinds: Sequence[Kind]) -> list[str]:
    """Install what is missing.

    Args:
        kinds: the servers that are wanted.

    Returns:
        The packages that were installed; none if all was there.

    Raises:
        ServerError: something is missing and we may not, or cannot, install it.
    """
    missing = [kind for kind in kinds if kind.missing]
    if not missing:
        return []
    packages = [package for kind in missing for package in kind.packages]
    by_hand = f"install it by hand (Debian: apt-get install {' '.join(packages)})"
    names = ", ".join(kind.name for kind in missing)
    if os.geteuid() != 0:
        raise ServerError(f"{names} is missing, and only root can install it: run this as root, or {by_hand}")
    if not find("apt-get"):
        raise ServerError(f"{names} is missing, and there is no apt-get here: {by_hand}")
    with _alone():
        _apt_install([package for kind in kinds if kind.missing for package in kind.packages])
    for kind in missing:
        if kind.missing:
            raise ServerError(
                f"{kind.name} is installed, but {', '.join(kind.missing)} is not there: {by_hand}"
            )
    return packages


def _apt_install(packages: Sequence[str]) -> None:
    """Install packages; the lists of what there is are fetched when they are too old or not there."""
    command = [*_APT, "install", "-y", "--no-install-recommends", *packages]
    with _nothing_started():
        done = _run(command)
        if done.returncode != 0:
            updated = _run([*_APT, "update"])
            done = _run(command) if updated.returncode == 0 else updated
    if done.returncode != 0:
        raise ServerError(f"apt-get could not install {' '.join(packages)}; it said:\n{done.stdout[-2000:]}")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    sys.stderr.write(f"{' '.join(command)}\n")
    return subprocess.run(
        command,
        check=False,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait until nobody else installs servers with this program."""
    with (Path(tempfile.gettempdir()) / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _nothing_started() -> Iterator[None]:
    """Keep packages from starting their services on their usual ports."""
    if _POLICY.exists():
        yield  # whoever put it there has decided
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
