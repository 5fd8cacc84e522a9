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
    """Say whether a thread runs.

    Args:
        thread: the thread, or None.

    Returns:
        True when there is one and it runs.
    """
    return thread.is_alive() if thread else False


def get_optimal_thread_count(default: int = 2) -> int:
    """Guess how many threads serve this machine best.

    Args:
        default: what to return where its processors cannot be counted.

    Returns:
        One more than it has processors.
    """
    processors = os.cpu_count()
    return default if processors is None else processors + 1


def daemon_thread(target: Callable[..., object], *args: Any, **kwargs: Any) -> threading.Thread:
    """Make a thread that does not keep the process alive.

    Args:
        target: what it calls once started.
        args: with these arguments.
        kwargs: with these, too.

    Returns:
        The thread, not started.
    """
    return threading.Thread(target=target, args=args, kwargs=kwargs, daemon=True)


def no_op(*args: Any, **kwargs: Any) -> None:
    """Do nothing.

    Args:
        args: anything.
        kwargs: anything.
    """


@dataclasses.dataclass
class _Bound:
    """A thread of a bundle, before, while and after it runs."""

    make: Factory
    before_start: Callback
    after_start: Callback
    before_join: Callback
    after_join: Callback
    running: threading.Thread | None = dataclasses.field(default=None, init=False)


class ThreadBundle:
    """Threads that start and stop together."""

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
        """Add a thread; what is called here must not call this bundle.

        Args:
            thread_factory: makes it, when the bundle starts.
            before_start: called with the thread before it starts.
            after_start: called with the thread when it has started.
            before_join: called with the thread before it is waited for, to make it end.
            after_join: called with the thread when it has ended.

        Raises:
            ValueError: one of these cannot be called.
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
        """Start the threads that do not run yet, first bound first.

        Returns:
            How many were started.
        """
        with self._lock:
            waiting = [bound for bound in self._bound if bound.running is None]
            for bound in waiting:
                thread = bound.make()
                bound.before_start(thread)
                thread.start()
                bound.running = thread
                bound.after_start(thread)
            return len(waiting)

    def stop(self) -> int:
        """Wait for the threads that run, last bound first.

        Returns:
            How many were waited for.
        """
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
        """Count the threads, running or not."""
        return len(self._bound)
