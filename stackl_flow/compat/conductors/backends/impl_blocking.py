"""TaskFlow's `taskflow.conductors.backends.impl_blocking`."""

from __future__ import annotations

from typing import Any, ClassVar

from stackl_flow.compat.conductors.backends.impl_executor import ExecutorConductor
from stackl_flow.jobboards.base import JobBoard


class BlockingConductor(ExecutorConductor):
    """Runs one job at a time, in the thread that calls ``run``.

    Args:
        name: the name of the conductor.
        jobboard: the board from which it claims jobs.
        args: see `ExecutorConductor`.
        kwargs: see `ExecutorConductor`.
    """

    MAX_SIMULTANEOUS_JOBS: ClassVar[int] = 1

    def __init__(self, name: str, jobboard: JobBoard, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, jobboard, *args, **{**kwargs, "max_simultaneous_jobs": 1})
