"""TaskFlow's `taskflow.utils.threading_utils`."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable
from threading import get_ident
from typing import Any

__all__ = ["ThreadBundle", "daemon_thread", "get_ident", "get_optimal_thread_count", "is_alive", "no_op"]

Factory = Callable[[], threading.Thread]
Callback = Callable[[threading.Thread], object]


def is_alive(thread: threading.Thread | None) -> bool:
    """Return whether there is a thread and it runs."""
    return thread.is_alive() if thread else False


def get_optimal_thread_count(default: int = 2) -> int:
    """Return the number of processors plus one, or ``default`` if it is unknown."""
    processors = os.cpu_count()
    return default if processors is None else processors + 1


def daemon_thread(target: Callable[..., object], *args: Any, **kwargs: Any) -> threading.Thread:
    """Create a daemon thread that calls ``target``; it is not started."""
    return threading.Thread(target=target, args=args, kwargs=kwargs, daemon=True)


def no_op(*args: Any, **kwargs: Any) -> None:
    """Do nothing, with any arguments."""


@dataclasses.dataclass
class _Bound:
    """A thread of a bundle with its callbacks."""

    factory: Factory
    before_start: Callback
    after_start: Callback
    before_join: Callback
    after_join: Callback
    running: threading.Thread | None = dataclasses.field(default=None, init=False)


class ThreadBundle:
    """Threads that are started and stopped together."""

    def __init__(self) -> None:
        self._bound: list[_Bound] = []
        self._lock = threading.Lock()

    def bind(
        self,
        thread_factory: Factory,
        before_start: Callback | None = None,
        after_start: Callback | None = None,
        before_join: Callback | None = None,
        after_join: Callback | None = None,
    ) -> None:
        """Add a thread. The callbacks must not use this bundle.

        Args:
            thread_factory: creates the thread when the bundle starts.
            before_start: called with the thread before it starts.
            after_start: called with the thread after it has started.
            before_join: called with the thread before it is joined, to make it end.
            after_join: called with the thread after it has ended.

        Raises:
            ValueError: an argument is not callable.
        """
        calls = [
            no_op if call is None else call for call in (before_start, after_start, before_join, after_join)
        ]
        for call in (thread_factory, *calls):
            if not callable(call):
                raise ValueError(f"Provided callback {call!r} must be callable")  # noqa: TRY004  TaskFlow raises this
        with self._lock:
            self._bound.append(_Bound(thread_factory, *calls))

    def start(self) -> int:
        """Start the threads that do not run, in order of addition, and return their number."""
        with self._lock:
            stopped = [bound for bound in self._bound if bound.running is None]
            for bound in stopped:
                thread = bound.factory()
                bound.before_start(thread)
                thread.start()
                bound.running = thread
                bound.after_start(thread)
            return len(stopped)

    def stop(self) -> int:
        """Join the running threads, in reverse order of addition, and return their number."""
        count = 0
        with self._lock:
            for bound in reversed(self._bound):
                thread = bound.running
                if thread is not None:
                    bound.before_join(thread)
                    thread.join()
                    bound.running = None
                    count += 1
                    bound.after_join(thread)
        return count

    def __len__(self) -> int:
        return len(self._bound)
