"""The conductors of a round, each in a process of its own, and what is done to them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import psutil

from tests.support.chaos.settings import NO_BEGINNING, Settings

_ROOT: Final = Path(__file__).resolve().parents[3]
#: Seconds within which a conductor that was asked to go has to be gone; longer than any task, server or link.
_GOES_WITHIN: Final = 40.0


class Hand:
    """One conductor, and whoever takes its place.

    Args:
        settings: what it is told.
        directory: where it writes its log.

    Attributes:
        oddities: what it did that nobody asked for.
    """

    def __init__(self, settings: Settings, directory: Path) -> None:
        self.name = settings.name
        self.oddities: list[str] = []
        self._settings = settings
        self._log = directory / f"{settings.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._may_end = False

    def start(self) -> None:
        """Start it, and do not wait."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.support.chaos.worker_process",
                    json.dumps(self._settings._asdict()),
                ],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._may_end = False

    def send(self, sign: signal.Signals) -> None:
        """Send a signal to the conductor alone.

        Args:
            sign: which; SIGKILL and SIGTERM make its end one that was asked for.
        """
        if self._process is not None:
            if sign == signal.SIGKILL:
                self.signal_heart(signal.SIGCONT)  # one that is stopped would not see that it is alone
            self._may_end = self._may_end or sign in {signal.SIGKILL, signal.SIGTERM}
            self._process.send_signal(sign)

    def signal_heart(self, sign: signal.Signals) -> None:
        """Send a signal to the process that keeps its leases up, if there is one.

        Args:
            sign: which.
        """
        for child in self._children():
            child.send_signal(sign)

    def mind(self) -> None:
        """Start another in its place if it has ended."""
        if self._process is None or (status := self._process.poll()) is None:
            return
        if not self._may_end and status != NO_BEGINNING:
            self.oddities.append(f"{self.name} ended by itself, with {status}: see {self._log}")
        self.start()

    def ask_to_go(self) -> None:
        """Ask it to hand over what it has, and to end; no other takes its place."""
        self.send(signal.SIGCONT)
        self.signal_heart(signal.SIGCONT)
        self.send(signal.SIGTERM)

    def see_off(self) -> None:
        """Wait until it has gone; one that does not go is killed, which is an oddity."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            status = process.wait(_GOES_WITHIN)
        except subprocess.TimeoutExpired:
            self.oddities.append(
                f"{self.name} did not end within {_GOES_WITHIN} s of SIGTERM: see {self._log}"
            )
            process.kill()
            process.wait()
            return
        if status not in {0, -signal.SIGTERM, -signal.SIGKILL}:
            self.oddities.append(f"{self.name} was asked to go, and ended with {status}: see {self._log}")

    def kill(self) -> None:
        """End it, whatever it is doing."""
        for child in self._children():
            child.kill()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _children(self) -> list[psutil.Process]:
        if self._process is None:
            return []
        try:
            return list(psutil.Process(self._process.pid).children())
        except psutil.NoSuchProcess:
            return []


class Crew:
    """All conductors of a round.

    Args:
        hands: the conductors.
    """

    def __init__(self, hands: list[Hand]) -> None:
        self._hands = hands

    def __getitem__(self, index: int) -> Hand:
        """Give one of them."""
        return self._hands[index]

    def start(self) -> None:
        """Start all."""
        for hand in self._hands:
            hand.start()

    def mind(self) -> None:
        """Start others in place of those that have ended."""
        for hand in self._hands:
            hand.mind()

    def dismiss(self) -> None:
        """Ask all to go, and wait until they have gone."""
        for hand in self._hands:
            hand.ask_to_go()
        for hand in self._hands:
            hand.see_off()

    def close(self) -> None:
        """End all, whatever they are doing."""
        for hand in self._hands:
            hand.kill()

    @property
    def oddities(self) -> list[str]:
        """What they did that nobody asked for."""
        return [oddity for hand in self._hands for oddity in hand.oddities]
