"""Flows that the conductors under test run; importable by the processes they start."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

from stackl_flow import task
from stackl_flow.patterns import linear_flow


class Note(task.Task):
    """Appends a line to a ledger that outlives the process."""

    def __init__(self, name, provides=None):
        super().__init__(name, provides=provides)

    def execute(self, ledger):
        note(ledger, f"{self.name} execute {os.getpid()}")
        return self.name

    def revert(self, ledger):
        note(ledger, f"{self.name} revert {os.getpid()}")


class Nap(task.Task):
    def execute(self, seconds):
        time.sleep(seconds)  # what is under test is what others do meanwhile


class Stay(Note):
    """Takes longer than any test, and says that it has begun."""

    def execute(self, ledger):
        super().execute(ledger)
        time.sleep(60)  # what is under test is who has it next


class Fail(task.Task):
    def execute(self):
        raise ValueError("no such site")


class Starve(task.Task):
    """Holds the interpreter for itself, as a long call of a C library does."""

    def execute(self, seconds):
        ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))


class Die(task.Task):
    def execute(self):
        os.kill(os.getpid(), signal.SIGKILL)


def note(ledger, line):
    handle = os.open(Path(ledger), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


def good():
    return linear_flow.Flow("good").add(Note("a", provides="first"), Note("b", provides="second"))


def bad():
    return linear_flow.Flow("bad").add(Note("a"), Fail())


def slow():
    return linear_flow.Flow("slow").add(Note("a"), Nap("nap"), Note("b"))


def staying():
    return linear_flow.Flow("staying").add(Note("a"), Stay("stay"))


def greedy():
    return linear_flow.Flow("greedy").add(Note("a"), Starve("starve"), Note("b"))


def deadly():
    return linear_flow.Flow("deadly").add(Die())
