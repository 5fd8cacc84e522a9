"""Installs servers from Debian packages without starting their services."""

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

#: Debian starts no service while this program exits with 101.
_POLICY: Final = Path("/usr/sbin/policy-rc.d")
_LOCK: Final = "stackl-flow-services.lock"
_APT: Final = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=600")


def install(kinds: Sequence[Kind]) -> list[str]:
    """Install the servers that are not installed.

    Returns:
        The packages that were installed.

    Raises:
        ServerError: a server is missing and cannot be installed: not root, not Debian, or apt-get failed.
    """
    missing = [kind for kind in kinds if kind.missing]
    if not missing:
        return []
    packages = [package for kind in missing for package in kind.packages]
    remedy = f"install it yourself (Debian: apt-get install {' '.join(packages)})"
    names = ", ".join(kind.name for kind in missing)
    if os.geteuid() != 0:
        raise ServerError(
            f"{names}: not installed, and only root can install packages: run this as root, or {remedy}"
        )
    if not find("apt-get"):
        raise ServerError(f"{names}: not installed, and there is no apt-get on this machine: {remedy}")
    with _locked():
        _apt_install([package for kind in kinds if kind.missing for package in kind.packages])
    for kind in missing:
        if kind.missing:
            raise ServerError(
                f"{kind.name}: installed, but {', '.join(kind.missing)} does not exist: {remedy}"
            )
    return packages


def _apt_install(packages: Sequence[str]) -> None:
    """Install packages, with fresh package lists if the present ones do not do."""
    command = [*_APT, "install", "-y", "--no-install-recommends", *packages]
    with _services_disabled():
        done = _run(command)
        if done.returncode != 0:
            updated = _run([*_APT, "update"])
            done = _run(command) if updated.returncode == 0 else updated
    if done.returncode != 0:
        raise ServerError(f"apt-get could not install {' '.join(packages)}:\n{done.stdout[-2000:]}")


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
def _locked() -> Iterator[None]:
    """Wait until no other process installs servers with this program."""
    with (Path(tempfile.gettempdir()) / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _services_disabled() -> Iterator[None]:
    """Keep packages from starting their services on the default ports."""
    if _POLICY.exists():
        yield  # the administrator's own policy
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
