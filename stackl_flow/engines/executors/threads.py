"""Performs calls concurrently, on threads or on any other ``concurrent.futures`` or futurist executor."""

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

#: Calls submitted per worker: enough that no thread waits for the engine, few enough that a flow of a million
#: atoms does not fill the pool's queue with a million futures.
_CALLS_PER_WORKER = 16


class ThreadsExecutor(base.Executor):
    """Performs calls on its own thread pool or on an executor that you pass.

    Args:
        executor: the executor to submit to; it may be shared and is not shut down. None for its own pool.
        max_workers: size of its own pool; Python's default if left out.
        make_pool: creates its own pool.
    """

    def __init__(
        self,
        executor: futures.Executor | None = None,
        max_workers: int | None = None,
        make_pool: Callable[..., futures.Executor] | None = None,
    ) -> None:
        self._external = executor
        self._executor = executor
        self._max_workers = max_workers
        self._make_pool = make_pool or futures.ThreadPoolExecutor
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._pending: dict[int, futures.Future[Completion]] = {}
        workers = max_workers or getattr(executor, "_max_workers", None)
        self.slots = workers * _CALLS_PER_WORKER if workers else None

    def start(self) -> None:
        """Create the pool, unless an executor was passed."""
        self._reports = queue.SimpleQueue()
        if self._external is None:
            self._executor = self._make_pool(max_workers=self._max_workers)

    def stop(self) -> None:
        """Shut the pool down, unless an executor was passed."""
        if self._external is None and self._executor is not None:
            self._executor.shutdown()
            self._executor = None

    def submit(self, call: Call) -> None:
        """Submit a call to the executor.

        Raises:
            RuntimeError: the executor is not started or accepts no more calls.
        """
        if self._executor is None:
            raise RuntimeError("executor is not started: call start() first")
        future = self._executor.submit(perform, call)
        self._pending[call.number] = future
        future.add_done_callback(_CompletionCallback(self._reports, call))

    def report(self, report: Report) -> None:
        """Queue a report for ``wait``."""
        self._reports.put(report)

    def wait(self, timeout: float | None = None) -> list[Report]:
        """Wait until something is reported, at most ``timeout`` seconds."""
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
        """Recall the calls that have not started; their futures report that they were cancelled."""
        for future in list(self._pending.values()):
            future.cancel()


class _CompletionCallback:
    """Reports the completion of a call when its future is done."""

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
            # The executor itself failed the call, for example because it was shut down.
            self._reports.put(Completion(call.number, call.action, Failure.from_exception(error)))
        else:
            # KeyboardInterrupt and the like in a worker thread do not come from the atom.
            wrapped = RuntimeError(f"worker thread was terminated by {error!r}")
            self._reports.put(Completion(call.number, call.action, Failure.from_exception(wrapped)))


_GREENTHREADS = frozenset({"greenthread", "greenthreads", "greenthreaded"})
_THREADS = frozenset({"thread", "threads", "threaded"})
_PROCESSES = frozenset({"process", "processes"})
#: Class names of executors that work in other processes or interpreters, including those of other libraries.
_OUT_OF_PROCESS = frozenset({"ProcessPoolExecutor", "InterpreterPoolExecutor"})
_EXPECTED = (
    "the parallel engine accepts a ThreadPoolExecutor of concurrent.futures or futurist, futurist's"
    " GreenThreadPoolExecutor or SynchronousExecutor, any other executor that works in this process, or one"
    f" of the names {sorted(_THREADS | _GREENTHREADS)}"
)
_NO_PROCESSES = "executors that work in other processes are not supported yet"


def create_executor(executor: Any, max_workers: Any = None) -> ThreadsExecutor:
    """Create the executor from an engine's options.

    Args:
        executor: a ``concurrent.futures`` or futurist executor, the name of a kind, or None for threads.
        max_workers: size of its own pool, also as text.

    Raises:
        ValueError: unknown name, or the size is not a positive integer.
        TypeError: ``executor`` is not an executor.
        NotSupported: the executor needs a package that is not installed, or works in other processes.
    """
    size = _parse_size(max_workers)
    if executor is None:
        return ThreadsExecutor(max_workers=size)
    if isinstance(executor, str):
        name = executor.lower()
        if name in _THREADS:
            return ThreadsExecutor(max_workers=size)
        if name in _GREENTHREADS:
            if importlib.util.find_spec("eventlet") is None:
                raise exc.NotSupported(
                    f"executor '{executor}' requires eventlet, which is not installed: install it, or use"
                    " 'threads'"
                )
            return ThreadsExecutor(max_workers=size, make_pool=futurist.GreenThreadPoolExecutor)
        reason = f"; {_NO_PROCESSES}" if name in _PROCESSES else ""
        raise ValueError(
            f"Unknown executor string '{executor}' expected one of {sorted(_THREADS | _GREENTHREADS)}{reason}"
        )
    if not isinstance(executor, futures.Executor):
        is_class = isinstance(executor, type) and issubclass(executor, futures.Executor)
        hint = "; pass an instance, not the class" if is_class else ""
        raise TypeError(f"Unknown executor {executor!r} ({type(executor)}): {_EXPECTED}{hint}")
    if not _OUT_OF_PROCESS.isdisjoint(kind.__name__ for kind in type(executor).__mro__):
        # Rejected here, because otherwise each task would fail with pickle's complaint about a lock.
        raise exc.NotSupported(f"executor {executor!r} cannot be used: {_EXPECTED}; {_NO_PROCESSES}")
    return ThreadsExecutor(executor)


def _parse_size(max_workers: Any) -> int | None:
    if max_workers is None:
        return None
    try:
        size = int(max_workers)
    except (TypeError, ValueError):
        size = 0
    if size < 1:
        raise ValueError(f"max_workers must be a positive integer, not {max_workers!r}")
    return size
