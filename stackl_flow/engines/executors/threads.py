"""Performs calls concurrently, on threads or on any other ``concurrent.futures`` or futurist executor."""

from __future__ import annotations

import importlib.util
import itertools
import os
import sys
from collections.abc import Callable
from concurrent import futures
from typing import Any, Final

import futurist

from stackl_flow import exceptions as exc
from stackl_flow import plugins
from stackl_flow.engines.executors import base
from stackl_flow.engines.executors.calls import (
    Call,
    Cancelled,
    Completion,
    Report,
    Started,
    failure_of,
    perform,
)
from stackl_flow.engines.executors.mailbox import Mailbox

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
        self._mailbox = Mailbox()
        #: By the id of the call: calls that are not complete, in the order in which they start, and those of
        #: them that have not started.
        self._incomplete: dict[int, _Work] = {}
        self._waiting: dict[int, _Work] = {}
        #: How many threads are ours alone: as many calls start without waiting.
        self._own_threads = 0
        workers = max_workers or getattr(executor, "_max_workers", None)
        self.slots = workers * _CALLS_PER_WORKER if workers else None

    def start(self, mailbox: Mailbox) -> None:
        """Create the pool, unless an executor was passed."""
        self._mailbox = mailbox
        if self._external is None:
            self._executor = self._make_pool(max_workers=self._max_workers)
            self._own_threads = getattr(self._executor, "_max_workers", 0)

    def stop(self, wait: bool = True) -> None:
        """Shut the pool down, unless an executor was passed; calls that have not started are dropped."""
        self._incomplete.clear()
        self._waiting.clear()  # so what is left in the queue of an executor does nothing
        if self._external is None and self._executor is not None:
            self._executor.shutdown(wait)
            self._executor = None

    def submit(self, call: Call) -> None:
        """Submit a call to the executor.

        Raises:
            RuntimeError: the executor is not started or accepts no more calls.
        """
        if self._executor is None:
            raise RuntimeError("executor is not started: call start() first")
        work = _Work(call, self._mailbox, self._waiting, self._incomplete)
        self._waiting[id(call)] = self._incomplete[id(call)] = work
        try:
            future = work.future = self._executor.submit(work)
        except BaseException:
            self._waiting.pop(id(call), None)
            self._incomplete.pop(id(call), None)
            raise
        if self._external is not None:  # only others than this class cancel or break it
            future.add_done_callback(work.check)

    def cancel(self, call: Call) -> None:
        """Recall a call that has not started, unless it has a thread of its own and is about to."""
        key = id(call)
        if self._own_threads and key in list(itertools.islice(self._incomplete, self._own_threads)):
            return
        work = self._waiting.pop(key, None)
        if work is not None:
            self._incomplete.pop(key, None)
            self._mailbox.put(Cancelled(call.id))
            if work.future is not None:
                work.future.cancel()


class _Work:
    """One call on its way through the executor.

    The call is in ``waiting`` until a thread starts it or it is recalled: the one that removes it there
    decides. This holds for every executor, also for one that does not let futures be cancelled.
    """

    __slots__ = ("_call", "_incomplete", "_mailbox", "_waiting", "future")

    def __init__(
        self, call: Call, mailbox: Mailbox, waiting: dict[int, _Work], incomplete: dict[int, _Work]
    ) -> None:
        self._call = call
        self._mailbox = mailbox
        self._waiting = waiting
        self._incomplete = incomplete
        self.future: futures.Future[None] | None = None

    def __call__(self) -> None:
        """Perform the call, unless it was recalled."""
        call = self._call
        run = call.run
        if self._waiting.pop(id(call), None) is None:
            return
        started_at = run.clock.now()
        self._mailbox.put_started(Started(call.id, started_at))
        try:
            report: Report = perform(call, started_at)
        except exc.ForkedProcess as error:
            # This thread is all that the child has of the executor. It would take the next calls of its copy
            # of the queue, and then wait for ever.
            sys.stderr.write(f"{error}\n")
            sys.stderr.flush()
            os._exit(_EXIT_FORKED)
        except BaseException as error:  # noqa: BLE001  the loop waits for a report in any case
            report = Completion(call.id, failure_of(error, f"atom '{call.id.atom}'"))
        self._incomplete.pop(id(call), None)
        self._mailbox.put(report)

    def check(self, future: futures.Future[None]) -> None:
        """Report a call that the executor did not perform."""
        call = self._call
        if future.cancelled():
            if self._waiting.pop(id(call), None) is not None:
                self._incomplete.pop(id(call), None)
                self._mailbox.put(Cancelled(call.id))
            return
        error = future.exception()
        if error is not None:  # for example, the executor was shut down
            self._waiting.pop(id(call), None)
            self._incomplete.pop(id(call), None)
            self._mailbox.put(Completion(call.id, failure_of(error, f"atom '{call.id.atom}'")))


#: Exit status of a child that a task forked and that returned from the task (EX_SOFTWARE).
_EXIT_FORKED: Final = 70

EXECUTORS: Final = "stackl_flow.executors"
"""The entry point group of executors: callables that take ``max_workers`` and return an ``Executor``."""

BUILT_IN: Final = {
    "greenthreads": "stackl_flow.engines.executors.threads:greenthreads",
    "threads": "stackl_flow.engines.executors.threads:threads",
}
#: TaskFlow's names.
_ALIASES: Final = {
    **dict.fromkeys(("thread", "threads", "threaded"), "threads"),
    **dict.fromkeys(("greenthread", "greenthreads", "greenthreaded"), "greenthreads"),
}
_PROCESSES = frozenset({"process", "processes"})
#: Class names of executors that work in other processes or interpreters, including those of other libraries.
_OUT_OF_PROCESS = frozenset({"ProcessPoolExecutor", "InterpreterPoolExecutor"})
_EXPECTED = (
    "the parallel engine accepts a ThreadPoolExecutor of concurrent.futures or futurist, futurist's"
    " GreenThreadPoolExecutor or SynchronousExecutor, any other executor that works in this process, or one"
    f" of the names {sorted(_ALIASES)} or of an entry point in {EXECUTORS}"
)
_NO_PROCESSES = "executors that work in other processes are not supported yet"


def create_executor(executor: Any, max_workers: Any = None) -> base.Executor:
    """Create the executor from an engine's options.

    Args:
        executor: an executor of this library, of ``concurrent.futures`` or of futurist; the name of a kind or
            of an entry point; or None for threads.
        max_workers: size of its own pool, also as text.

    Raises:
        ValueError: unknown name, or the size is not a positive integer.
        TypeError: ``executor`` is not an executor.
        NotFound: the plugin of that name cannot be imported.
        NotSupported: the executor needs a package that is not installed, or works in other processes.
    """
    size = _parse_size(max_workers)
    if executor is None:
        return ThreadsExecutor(max_workers=size)
    if isinstance(executor, base.Executor):
        return executor
    if isinstance(executor, str):
        return _create_named(executor, size)
    if not isinstance(executor, futures.Executor):
        is_class = isinstance(executor, type) and issubclass(executor, futures.Executor)
        hint = "; pass an instance, not the class" if is_class else ""
        raise TypeError(f"Unknown executor {executor!r} ({type(executor)}): {_EXPECTED}{hint}")
    if not _OUT_OF_PROCESS.isdisjoint(kind.__name__ for kind in type(executor).__mro__):
        # Rejected here, because otherwise each task would fail with pickle's complaint about a lock.
        raise exc.NotSupported(f"executor {executor!r} cannot be used: {_EXPECTED}; {_NO_PROCESSES}")
    return ThreadsExecutor(executor)


def _create_named(name: str, size: int | None) -> base.Executor:
    """Create an executor of the entry point group ``stackl_flow.executors``, with the size of its pool."""
    alias = _ALIASES.get(name.lower(), name)
    installed = plugins.entry_points(EXECUTORS, BUILT_IN)
    if alias not in installed:
        known = sorted({*_ALIASES, *installed})
        reason = f"; {_NO_PROCESSES}" if name.lower() in _PROCESSES else ""
        raise ValueError(f"Unknown executor string '{name}' expected one of {known}{reason}")
    plugin: Callable[..., base.Executor] = plugins.load_plugin(
        installed[alias], f"executor '{name}'", "install the missing package"
    )
    return plugin(max_workers=size)


def greenthreads(max_workers: int | None = None) -> ThreadsExecutor:
    """Create an executor with a pool of greenthreads.

    Raises:
        NotSupported: eventlet is not installed.
    """
    if importlib.util.find_spec("eventlet") is None:
        raise exc.NotSupported(
            "executor 'greenthreads' requires eventlet, which is not installed: install it, or use 'threads'"
        )
    return ThreadsExecutor(max_workers=max_workers, make_pool=futurist.GreenThreadPoolExecutor)


def threads(max_workers: int | None = None) -> ThreadsExecutor:
    """Create an executor with a pool of threads."""
    return ThreadsExecutor(max_workers=max_workers)


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
