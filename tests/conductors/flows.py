"""Flows that the conductors under test run; their processes import them."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

from stackl_flow import task
from stackl_flow.patterns import linear_flow


class LogCall(task.Task):
    """Appends a line to a file for each call."""

    def __init__(self, name, provides=None):
        super().__init__(name, provides=provides)

    def execute(self, log_file):
        append_line(log_file, f"{self.name} execute {os.getpid()}")
        return self.name

    def revert(self, log_file):
        append_line(log_file, f"{self.name} revert {os.getpid()}")


class Nap(task.Task):
    def execute(self, seconds):
        time.sleep(seconds)  # the test is about what other conductors do meanwhile


class Stay(LogCall):
    """Logs its call, then takes longer than any test."""

    def execute(self, log_file):
        super().execute(log_file)
        time.sleep(60)  # the test is about the next owner


class Fail(task.Task):
    def execute(self):
        raise ValueError("no such site")


class Starve(task.Task):
    """Holds the GIL, like a long call of a C library."""

    def execute(self, seconds):
        ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))


class Die(task.Task):
    def execute(self):
        os.kill(os.getpid(), signal.SIGKILL)


def append_line(log_file, line):
    handle = os.open(Path(log_file), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


def good():
    return linear_flow.Flow("good").add(LogCall("a", provides="first"), LogCall("b", provides="second"))


def bad():
    return linear_flow.Flow("bad").add(LogCall("a"), Fail())


def slow():
    return linear_flow.Flow("slow").add(LogCall("a"), Nap("nap"), LogCall("b"))


def staying():
    return linear_flow.Flow("staying").add(LogCall("a"), Stay("stay"))


def greedy():
    return linear_flow.Flow("greedy").add(LogCall("a"), Starve("starve"), LogCall("b"))


def deadly():
    return linear_flow.Flow("deadly").add(Die())
