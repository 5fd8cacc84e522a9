"""The conductors of a round, each in its own process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from tests.support.chaos.settings import STARTUP_FAILED, WorkerSettings

_ROOT: Final = Path(__file__).resolve().parents[3]
#: Seconds until a conductor must have stopped; longer than any task or fault.
_STOP_TIMEOUT: Final = 40.0


class Worker:
    """One conductor, restarted in a new process when it has ended.

    Attributes:
        errors: unexpected exits.
    """

    def __init__(self, settings: WorkerSettings, directory: Path) -> None:
        self.name = settings.name
        self.errors: list[str] = []
        self._settings = settings
        self._log = directory / f"{settings.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._may_exit = False

    def start(self) -> None:
        """Start it without waiting."""
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
        self._may_exit = False

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the conductor, not to its heartbeat process."""
        if self._process is not None:
            if number == signal.SIGKILL:
                self.signal_heartbeat(signal.SIGCONT)  # if stopped, it would not notice the end of its parent
            self._may_exit = self._may_exit or number in {signal.SIGKILL, signal.SIGTERM}
            self._process.send_signal(number)

    def signal_heartbeat(self, number: signal.Signals) -> None:
        """Send a signal to the process that extends its leases, if there is one."""
        for child in self._children():
            child.send_signal(number)

    @property
    def pid(self) -> int:
        """Its process id; 0 if it was not started."""
        return 0 if self._process is None else self._process.pid

    def restart_ended(self) -> None:
        """Start it again if it has ended."""
        if self._process is None or (status := self._process.poll()) is None:
            return
        if not self._may_exit and status != STARTUP_FAILED:
            self.errors.append(f"{self.name} exited with status {status}: see {self._log}")
        self.start()

    def request_stop(self) -> None:
        """Send SIGTERM: it finishes or workers over its jobs and exits."""
        self.send_signal(signal.SIGCONT)
        self.signal_heartbeat(signal.SIGCONT)
        self.send_signal(signal.SIGTERM)

    def wait_stopped(self) -> None:
        """Wait until it has exited; if it does not, kill it and record an error."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            status = process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.errors.append(
                f"{self.name} did not exit within {_STOP_TIMEOUT} s of SIGTERM: see {self._log}"
            )
            process.kill()
            process.wait()
            return
        if status not in {0, -signal.SIGTERM, -signal.SIGKILL}:
            self.errors.append(f"{self.name} exited with status {status} after SIGTERM: see {self._log}")

    def kill(self) -> None:
        """Kill it and its heartbeat process."""
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


class Workers:
    """All conductors of a round."""

    def __init__(self, workers: list[Worker]) -> None:
        self._workers = workers

    def __iter__(self) -> Iterator[Worker]:
        """Iterate over them."""
        return iter(self._workers)

    def __getitem__(self, index: int) -> Worker:
        """Return one of them."""
        return self._workers[index]

    def start(self) -> None:
        """Start all."""
        for worker in self._workers:
            worker.start()

    def restart_ended(self) -> None:
        """Start those again that have ended."""
        for worker in self._workers:
            worker.restart_ended()

    def stop(self) -> None:
        """Stop all and wait until they have exited."""
        for worker in self._workers:
            worker.request_stop()
        for worker in self._workers:
            worker.wait_stopped()

    def close(self) -> None:
        """Kill all."""
        for worker in self._workers:
            worker.kill()

    @property
    def errors(self) -> list[str]:
        """Unexpected exits."""
        return [error for worker in self._workers for error in worker.errors]
