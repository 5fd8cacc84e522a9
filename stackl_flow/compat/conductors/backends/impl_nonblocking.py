"""TaskFlow's `taskflow.conductors.backends.impl_nonblocking`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, ClassVar

from stackl_flow.compat.conductors.backends.impl_executor import ExecutorConductor
from stackl_flow.compat.utils.threading_utils import get_optimal_thread_count
from stackl_flow.jobboards.base import JobBoard


class NonBlockingConductor(ExecutorConductor):
    """Runs several jobs concurrently.

    Args:
        name: the name of the conductor.
        jobboard: the board from which it claims jobs.
        args: see `ExecutorConductor`.
        executor_factory: creates the executor of the jobs; a thread pool by default.
        kwargs: see `ExecutorConductor`.

    Raises:
        ValueError: the factory is not callable.
    """

    MAX_SIMULTANEOUS_JOBS: ClassVar[int] = get_optimal_thread_count()

    def __init__(
        self,
        name: str,
        jobboard: JobBoard,
        *args: Any,
        executor_factory: Callable[..., Executor] | None = None,
        **kwargs: Any,
    ) -> None:
        if executor_factory is not None and not callable(executor_factory):
            raise ValueError("executor_factory must be callable")
        super().__init__(name, jobboard, *args, **kwargs)
        if executor_factory is not None:
            self._executor_factory = executor_factory  # type: ignore[method-assign]  # TaskFlow's own way
