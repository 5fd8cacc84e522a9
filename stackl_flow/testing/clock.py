"""A clock for tests, which moves only when it is stepped."""

from __future__ import annotations


class SteppedClock:
    """A clock that moves only when a test steps it; times are in seconds since 1970, UTC.

    Attributes:
        boot_id: what identifies the boot of the simulated machine.
    """

    def __init__(self, start: float = 1_000_000_000.0) -> None:
        self._now = start
        self._monotonic = start
        self._booted_at = start
        self.boot_id = "boot-1"

    def now(self) -> float:
        """Return the time of the wall clock."""
        return self._now

    def monotonic(self) -> float:
        """Return the time without the steps of `step_wall`: it never goes back."""
        return self._monotonic

    def boot_time(self) -> float:
        """Return the seconds since the last boot, without the steps of `step_wall`."""
        return self._monotonic - self._booted_at

    def sleep(self, seconds: float) -> None:
        """Step the clock instead of sleeping."""
        self.step(seconds)

    def step(self, seconds: float) -> None:
        """Move the clock forward."""
        self._now += seconds
        self._monotonic += seconds

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or, with a negative number, back; no time passes meanwhile."""
        self._now += seconds

    def reboot(self) -> None:
        """Boot the simulated machine again."""
        self._booted_at = self._monotonic
        self.boot_id = f"boot-{int(self.boot_id.rpartition('-')[2]) + 1}"
