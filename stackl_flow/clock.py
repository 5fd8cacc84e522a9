"""The injected clock: everything that depends on time takes a `Clock`, so that tests can step it.

Leases of stores in files must not depend on the wall clock, which an administrator or NTP may step. They
expire by the *boot clock*: seconds since the machine booted, the same for all its processes. `LeaseTime`
makes times of it that a file can keep across a reboot.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Final, NamedTuple, Protocol


class Clock(Protocol):
    """The time source that engines, boards, conductors and stores take as ``clock=``.

    One that is to control the leases of stores in files has ``boot_time()``, the seconds since the machine
    booted, and ``boot_id``, a text that identifies the boot; otherwise its monotonic time is used.
    """

    def now(self) -> float:
        """Return the wall-clock time, in seconds since 1970 UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never go backwards, for measuring durations."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for that many seconds."""
        ...


_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE_OFFSETS: Final = Path("/proc/self/timens_offsets")


def _namespace_offset() -> float:
    """Return by how much this process's boot clock is ahead of the machine's (see time_namespaces(7))."""
    with contextlib.suppress(OSError, ValueError):
        for line in _NAMESPACE_OFFSETS.read_text(encoding="ascii").splitlines():
            name, seconds, nanoseconds = line.split()
            if name in {"boottime", "7"}:
                return int(seconds) + int(nanoseconds) / 1e9
    return 0.0


def _read_boot_id() -> str:
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text(encoding="ascii").strip()
    return ""


class SystemClock:
    """The clock of this machine."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    _offset: float | None = None
    _boot_id: str | None = None

    def boot_time(self) -> float:
        """Return the seconds since the machine booted, with those in which it was suspended."""
        if SystemClock._offset is None:
            SystemClock._offset = _namespace_offset()
        return time.clock_gettime(_BOOT_CLOCK) - SystemClock._offset

    @property
    def boot_id(self) -> str:
        """What identifies this boot of the machine; empty if the platform does not tell."""
        if SystemClock._boot_id is None:
            SystemClock._boot_id = _read_boot_id()
        return SystemClock._boot_id


# CLOCK_BOOTTIME is Linux's; elsewhere the monotonic clock comes closest.
_BOOT_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_time(clock: Clock) -> float:
    """Return the boot time of a clock; of one that has none, its monotonic time, which on Linux is close."""
    return float(getattr(clock, "boot_time", clock.monotonic)())


def boot_id(clock: Clock) -> str:
    """Return what identifies the boot that `boot_time` counts from; empty if the platform does not tell."""
    return str(getattr(clock, "boot_id", SYSTEM.boot_id))


class LeaseTime(NamedTuple):
    """A time scale for the leases of a store in files, which the store keeps.

    It follows the boot clock, begins close to the wall clock, and never goes back: after a reboot it begins
    after the last expiry that is stored, so that no lease of an earlier boot is valid.

    Attributes:
        boot: the boot for which it is valid; empty for one that follows the wall clock.
        base: its time at the start of that boot.
    """

    boot: str = ""
    base: float = 0.0

    @classmethod
    def begin(cls, clock: Clock, last_expiry: float | None = None) -> LeaseTime:
        """Return the scale for the present boot.

        Args:
            clock: the clock.
            last_expiry: the last expiry of leases of earlier boots; None if there was no earlier scale.
        """
        boot = boot_id(clock)
        if not boot:
            return cls()
        base = clock.now() - boot_time(clock)
        if last_expiry is not None:
            base = max(base, last_expiry + 0.001 - boot_time(clock))
        return cls(boot, base)

    def now(self, clock: Clock) -> float:
        """Return the present time; infinite in another boot, in which all leases have expired."""
        if not self.boot:
            return clock.now()
        return self.base + boot_time(clock) if self.boot == boot_id(clock) else float("inf")


SYSTEM: Final = SystemClock()
"""The default clock."""
