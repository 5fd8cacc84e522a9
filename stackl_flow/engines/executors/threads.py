"""Many calls at once, on threads or on any other ``concurrent.futures`` or futurist executor."""

from __future__ import annotations

import importlib.util
import queue
from collections.abc import Callable
from concurrent import futures
from typing import Any

import futurist

from stackl_flow import exceptions as exc
from stackl_flow.engines.executors import base
from stackl_flow.engines.executors.calls import Call, Cancelled, Completion, Report, perform
from stackl_flow.failure import Failure

# Enough calls handed over ahead that no thread ever waits for the engine, few enough that a flow
# of a million does not stand in the pool's queue as a million futures.
_AHEAD = 16


class ThreadsExecutor(base.Executor):
    """Performs calls on an executor: its own pool of threads, or one that it is given.

    Args:
        executor: what to submit to; it may be shared, and is left running. None for a pool of its own.
        max_workers: how many threads the pool of its own has; Python's own choice if left out.
        make: makes the pool of its own.
    """

    def __init__(
        self,
        executor: futures.Executor | None = None,
        max_workers: int | None = None,
        make: Callable[..., futures.Executor] | None = None,
    ) -> None:
        self._given = executor
        self._executor = executor
        self._max_workers = max_workers
        self._make = make or futures.ThreadPoolExecutor
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._pending: dict[int, futures.Future[Completion]] = {}
        workers = max_workers or getattr(executor, "_max_workers", None)
        self.slots = workers * _AHEAD if workers else None

    def start(self) -> None:
        """Make the pool, unless one was given."""
        self._reports = queue.SimpleQueue()
        if self._given is None:
            self._executor = self._make(max_workers=self._max_workers)

    def stop(self) -> None:
        """Shut the pool down, unless one was given."""
        if self._given is None and self._executor is not None:
            self._executor.shutdown()
            self._executor = None

    def submit(self, call: Call) -> None:
        """Hand a call to the executor.

        Args:
            call: what is to be performed.

        Raises:
            RuntimeError: the executor takes no more.
        """
        if self._executor is None:
            raise RuntimeError("the executor was not started")
        future = self._executor.submit(perform, call)
        self._pending[call.number] = future
        future.add_done_callback(_Reporter(self._reports, call))

    def report(self, entry: Report) -> None:
        """Note something to be handed out by ``wait``; any thread may call this.

        Args:
            entry: what there is to report.
        """
        self._reports.put(entry)

    def wait(self, timeout: float | None = None) -> list[Report]:
        """Wait until something is reported.

        Args:
            timeout: for how many seconds at most; None for as long as it takes.

        Returns:
            All reports that are there; none when the time is up.
        """
        reports = self._reports
        try:
            found = [reports.get(timeout=timeout)]
        except queue.Empty:
            return []
        found += [reports.get() for _ in range(reports.qsize())]
        for entry in found:
            if isinstance(entry, Completion):
                self._pending.pop(entry.number, None)
        return found

    def cancel(self) -> None:
        """Take back what has not begun; the futures report themselves as cancelled."""
        for future in list(self._pending.values()):
            future.cancel()


class _Reporter:
    """Called by a future when it is done: puts what came of the call where the engine waits."""

    __slots__ = ("_call", "_reports")

    def __init__(self, reports: queue.SimpleQueue[Report], call: Call) -> None:
        self._reports = reports
        self._call = call

    def __call__(self, future: futures.Future[Completion]) -> None:
        call = self._call
        if future.cancelled():
            self._reports.put(Cancelled(call.number))
            return
        error = future.exception()
        if error is None:
            self._reports.put(future.result())
        elif isinstance(error, Exception):
            # The executor itself failed the call, for example because it was torn down.
            self._reports.put(Completion(call.number, call.action, Failure.from_exception(error)))
        else:
            # KeyboardInterrupt and the like in a worker are not the atom's doing.
            wrapped = RuntimeError(f"a worker thread was ended by {error!r}")
            self._reports.put(Completion(call.number, call.action, Failure.from_exception(wrapped)))


_GREEN = frozenset({"greenthread", "greenthreads", "greenthreaded"})
_THREADS = frozenset({"thread", "threads", "threaded"})
_PROCESSES = frozenset({"process", "processes"})
#: Class names of executors that work in other processes or interpreters, whosever they are (loky's too).
_ELSEWHERE = frozenset({"ProcessPoolExecutor", "InterpreterPoolExecutor"})
_TAKEN = (
    "the parallel engine takes a ThreadPoolExecutor of concurrent.futures or futurist, futurist's"
    " GreenThreadPoolExecutor or SynchronousExecutor, any other that works in this process, or one of the"
    f" words {sorted(_THREADS | _GREEN)}"
)
_TO_COME = "executors that work in other processes are still to come: engines/executors has a room for them"


def executor_for(wanted: Any, workers: Any = None) -> ThreadsExecutor:
    """Make the executor that an engine's options ask for.

    Args:
        wanted: a ``concurrent.futures`` or futurist executor, a word for a kind, or None.
        workers: the size of a pool of its own, also as a word.

    Returns:
        The executor.

    Raises:
        ValueError: the word is not known, or the size is no whole number above 0.
        TypeError: that is no executor.
        NotSupported: what the word stands for is not installed, or the executor works in other
            processes.
    """
    max_workers = _size_of(workers)
    if wanted is None:
        return ThreadsExecutor(max_workers=max_workers)
    if isinstance(wanted, str):
        word = wanted.lower()
        if word in _THREADS:
            return ThreadsExecutor(max_workers=max_workers)
        if word in _GREEN:
            if importlib.util.find_spec("eventlet") is None:
                raise exc.NotSupported(
                    f"executor '{wanted}' needs eventlet, which is not installed here: install it, or take"
                    " 'threads'"
                )
            return ThreadsExecutor(max_workers=max_workers, make=futurist.GreenThreadPoolExecutor)
        later = f"; {_TO_COME}" if word in _PROCESSES else ""
        raise ValueError(
            f"Unknown executor string '{wanted}' expected one of {sorted(_THREADS | _GREEN)}{later}"
        )
    if not isinstance(wanted, futures.Executor):
        raise TypeError(f"Unknown executor {wanted!r} ({type(wanted)}): {_TAKEN}{_instance(wanted)}")
    if not _ELSEWHERE.isdisjoint(kind.__name__ for kind in type(wanted).__mro__):
        # Refused here, because there it would fail at each task, with what pickle says of a lock.
        raise exc.NotSupported(f"executor {wanted!r} can not be used: {_TAKEN}; {_TO_COME}")
    return ThreadsExecutor(wanted)


def _size_of(workers: Any) -> int | None:
    """Read the size of a pool; Python's own choice is None."""
    if workers is None:
        return None
    try:
        size = int(workers)
    except (TypeError, ValueError):
        size = 0
    if size < 1:
        raise ValueError(f"max_workers must be a whole number above 0, not {workers!r}")
    return size


def _instance(wanted: object) -> str:
    is_class = isinstance(wanted, type) and issubclass(wanted, futures.Executor)
    return "; give an instance, not the class" if is_class else ""
