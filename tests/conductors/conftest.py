"""A deployment: a board, a database, and conductors in separate processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stackl_flow.jobboards import backends as boards
from stackl_flow.persistence import backends as stores
from stackl_flow.submission import post_flow

ROOT = Path(__file__).resolve().parents[2]
#: Lease duration in seconds; a heartbeat on a busy machine must be able to extend it.
TTL = 2.0


class Deployment:
    """A board and a database, with the conductors that a test starts."""

    def __init__(self, directory: Path, address: str = "", db: str = "") -> None:
        self.address = address or f"dir://{directory}/board"
        self.db = db or f"sqlite:///{directory}/flows.db"
        self.log_file = directory / "log_file"
        self.store = stores.fetch(self.db)
        with self.store.get_connection() as connection:
            connection.upgrade()
        self.board = boards.fetch("work", {"board": self.address, "ttl": TTL}, persistence=self.store)
        self.board.connect()
        self.started = []

    def post(self, factory, **options):
        store = {"log_file": str(self.log_file), **options.pop("store", {})}
        module = options.pop("module", "flows")
        return post_flow(
            self.board, self.store, f"tests.conductors.{module}.{factory}", store=store, **options
        )

    def start(self, name, *options):
        """Start a conductor in a separate process, and wait until it is ready."""
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.conductors.conductor_process",
                name,
                self.address,
                self.db,
                *options,
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    def lines(self):
        """Return what the tasks logged: (task, method, process id)."""
        if not self.log_file.exists():
            return []
        return [tuple(line.split()) for line in self.log_file.read_text().splitlines()]

    def done(self):
        """Return what the tasks logged, without the process."""
        return [(name, method) for name, method, _ in self.lines()]

    def epochs(self):
        """Return how often an engine has taken ownership of each flow."""
        with self.store.get_connection() as connection:
            return [record.epoch for record in connection.list_flow_records()]

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
        self.board.close()
        self.store.close()


@pytest.fixture
def deployment(tmp_path):
    deployment = Deployment(tmp_path)
    yield deployment
    deployment.close()
