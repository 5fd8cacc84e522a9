"""The processes of the resume benchmark: each ends, as a killed one does, inside the flow's middle task."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
from pathlib import Path
from typing import Any, NoReturn

from benchmarks import databases
from benchmarks.programs import Library, chain, library, step


class LastWord:
    """The clock of a process, and the body of its last task."""

    def __init__(self, size: int) -> None:
        """Start the clock.

        Args:
            size: tasks of the flow, to share the time among.
        """
        self.size = size
        self.marks = {"begun": time.perf_counter()}

    def mark(self, phase: str) -> None:
        """Say that a phase is over.

        Args:
            phase: its name.
        """
        self.marks[phase] = time.perf_counter()

    def execute(self, value: int) -> NoReturn:  # noqa: ARG002 - the chain passes it a value as to the others
        """Print the phases in seconds a task, and die on the spot: nothing is closed, stored or caught.

        Args:
            value: what the task before gave.
        """
        self.mark("started")
        times = list(self.marks.items())
        told = {phase: (at - before) / self.size for (_, before), (phase, at) in itertools.pairwise(times)}
        told["all"] = (times[-1][1] - times[0][1]) / self.size
        print(json.dumps(told), flush=True)
        os._exit(0)


def halved(lib: Library, size: int, word: LastWord) -> Any:
    """A chain with the process's last task in its middle.

    Args:
        lib: the library to build it with.
        size: how many tasks.
        word: the last task's body.

    Returns:
        The flow.
    """
    middle = size // 2
    flow = chain(lib, middle)
    for index in range(middle, size):
        body = word.execute if index == middle else step
        name, provides, takes = f"t{index}", f"v{index + 1}", {"value": f"v{index}"}
        flow.add(lib.task.FunctorTask(body, name=name, provides=provides, rebind=takes))
    return flow


def die_half_way(name: str, size: int, path: str, query: str) -> None:
    """Run a new flow until its middle task ends the process.

    Args:
        name: the library.
        size: how many tasks.
        path: the database.
        query: the rest of its URL.
    """
    lib = library(name)
    with databases.opened(name, Path(path), query) as backend:
        lib.engines.run(halved(lib, size, LastWord(size)), store={"v0": 0}, backend=backend)


def resume(name: str, size: int, path: str) -> None:
    """Go on with the flow of a database until its middle task, the first new one, ends the process.

    Args:
        name: the library.
        size: how many tasks.
        path: the database.
    """
    lib = library(name)
    with databases.opened(name, Path(path)) as backend:
        word = LastWord(size)
        flow = halved(lib, size, word)
        word.mark("built")
        with contextlib.closing(backend.get_connection()) as connection:
            book = next(iter(connection.get_logbooks()))
        detail = next(iter(book))
        word.mark("read")
        engine = lib.engines.load(flow, store={"v0": 0}, flow_detail=detail, book=book, backend=backend)
        word.mark("loaded")
        engine.run()
