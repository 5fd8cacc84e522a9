"""The processes of the resume benchmark: each exits inside the middle task of the flow, as if killed."""

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


class ExitingTask:
    """The clock of a process and the body of its last task."""

    def __init__(self, size: int) -> None:
        """Start the clock."""
        self.size = size
        self.marks = {"start": time.perf_counter()}

    def mark(self, phase: str) -> None:
        """Record the end of a phase."""
        self.marks[phase] = time.perf_counter()

    def execute(self, value: int) -> NoReturn:  # noqa: ARG002 - the chain passes a value
        """Print the phases in seconds a task and exit at once."""
        self.mark("started")
        times = list(self.marks.items())
        result = {phase: (at - before) / self.size for (_, before), (phase, at) in itertools.pairwise(times)}
        result["all"] = (times[-1][1] - times[0][1]) / self.size
        print(json.dumps(result), flush=True)
        os._exit(0)


def exiting_chain(lib: Library, size: int, exiting: ExitingTask) -> Any:
    """Build a chain with the exiting task in its middle.

    Returns:
        The flow.
    """
    middle = size // 2
    flow = chain(lib, middle)
    for index in range(middle, size):
        body = exiting.execute if index == middle else step
        name, provides, takes = f"t{index}", f"v{index + 1}", {"value": f"v{index}"}
        flow.add(lib.task.FunctorTask(body, name=name, provides=provides, rebind=takes))
    return flow


def die_half_way(name: str, size: int, path: str, query: str) -> None:
    """Run a new flow until its middle task exits."""
    lib = library(name)
    with databases.opened(name, Path(path), query) as backend:
        lib.engines.run(exiting_chain(lib, size, ExitingTask(size)), store={"v0": 0}, backend=backend)


def resume(name: str, size: int, path: str) -> None:
    """Resume the stored flow until its middle task, the first new one, exits."""
    lib = library(name)
    with databases.opened(name, Path(path)) as backend:
        exiting = ExitingTask(size)
        flow = exiting_chain(lib, size, exiting)
        exiting.mark("built")
        with contextlib.closing(backend.get_connection()) as connection:
            book = next(iter(connection.get_logbooks()))
        detail = next(iter(book))
        exiting.mark("read")
        engine = lib.engines.load(flow, store={"v0": 0}, flow_detail=detail, book=book, backend=backend)
        exiting.mark("loaded")
        engine.run()
