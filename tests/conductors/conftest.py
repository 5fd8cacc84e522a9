"""A board, a database and conductors in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stackl_flow.jobboards import backends as boards
from stackl_flow.persistence import backends as stores
from stackl_flow.submission import post_flow

ROOT = Path(__file__).resolve().parents[2]
#: Seconds; a heart on a busy machine has to be able to keep a lease up.
TTL = 2.0


class Office:
    """Everything one test works with."""

    def __init__(self, directory: Path, address: str = "", db: str = "") -> None:
        self.address = address or f"dir://{directory}/board"
        self.db = db or f"sqlite:///{directory}/flows.db"
        self.ledger = directory / "ledger"
        self.store = stores.fetch(self.db)
        with self.store.get_connection() as connection:
            connection.upgrade()
        self.board = boards.fetch("work", {"board": self.address, "ttl": TTL}, persistence=self.store)
        self.board.connect()
        self.started = []

    def post(self, factory, **terms):
        store = {"ledger": str(self.ledger), **terms.pop("store", {})}
        return post_flow(self.board, self.store, f"tests.conductors.flows.{factory}", store=store, **terms)

    def start(self, name, *options):
        """Start a conductor in a process of its own, and wait until it is there."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.conductors.worker", name, self.address, self.db, *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    def lines(self):
        """What the tasks did: (task, what, process id)."""
        if not self.ledger.exists():
            return []
        return [tuple(line.split()) for line in self.ledger.read_text().splitlines()]

    def done(self):
        """What the tasks did, without the process."""
        return [(name, what) for name, what, _ in self.lines()]

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
        self.board.close()
        self.store.close()


@pytest.fixture
def office(tmp_path):
    office = Office(tmp_path)
    yield office
    office.close()
