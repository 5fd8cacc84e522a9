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
    """Performs each call on submission: code that steps through a run sees it finished before WAITING."""

    performs_on_submit = True


class ParallelGreenThreadTaskExecutor(ParallelThreadTaskExecutor):
    """Performs calls on greenthreads; needs eventlet.

    Args:
        executor: the executor; None: a new pool.
        max_workers: the number of greenthreads of a new pool.
    """

    def __init__(self, executor: futures.Executor | None = None, max_workers: int | None = None) -> None:
        super().__init__(executor, max_workers, make_pool=futurist.GreenThreadPoolExecutor)


def make(options: Mapping[str, Any]) -> TaskExecutor:
    """Create the executor of a parallel engine from its options ``executor`` and ``max_workers``."""
    requested, workers = options.get("executor"), options.get("max_workers")
    executor = threads.create_executor(requested, workers)
    if isinstance(requested, str) and requested.lower().startswith("green"):
        return ParallelGreenThreadTaskExecutor(max_workers=int(workers) if workers else None)
    return executor
