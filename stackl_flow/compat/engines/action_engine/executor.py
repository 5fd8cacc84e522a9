"""TaskFlow's `taskflow.engines.action_engine.executor`."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent import futures
from typing import Any, Final

import futurist

from stackl_flow.engines.executors import threads
from stackl_flow.engines.executors.base import Executor as TaskExecutor
from stackl_flow.engines.executors.serial import SerialExecutor
from stackl_flow.engines.executors.threads import ThreadsExecutor as ParallelThreadTaskExecutor

__all__ = [
    "EXECUTED",
    "REVERTED",
    "ParallelGreenThreadTaskExecutor",
    "ParallelThreadTaskExecutor",
    "SerialTaskExecutor",
    "TaskExecutor",
    "make",
]

EXECUTED: Final = "executed"
REVERTED: Final = "reverted"


class SerialTaskExecutor(SerialExecutor):
    """Performs each call as soon as it has it: who steps through a run sees it done before WAITING."""

    performs_on_submit = True


class ParallelGreenThreadTaskExecutor(ParallelThreadTaskExecutor):
    """Performs calls on greenthreads, which need eventlet.

    Args:
        executor: what to submit to; None for a pool of its own.
        max_workers: how many greenthreads the pool of its own has.
    """

    def __init__(self, executor: futures.Executor | None = None, max_workers: int | None = None) -> None:
        super().__init__(executor, max_workers, make_pool=futurist.GreenThreadPoolExecutor)


def make(options: Mapping[str, Any]) -> TaskExecutor:
    """Make the executor that a parallel engine's options ask for.

    Args:
        options: ``executor`` and ``max_workers`` are read.

    Returns:
        The executor.
    """
    wanted, workers = options.get("executor"), options.get("max_workers")
    made = threads.create_executor(wanted, workers)
    if isinstance(wanted, str) and wanted.lower().startswith("green"):
        return ParallelGreenThreadTaskExecutor(max_workers=int(workers) if workers else None)
    return made
