"""The contract of executors, as a test class to inherit from.

An executor is complete when its subclass of ``ExecutorContract`` passes::

    class TestMine(ExecutorContract):
        @pytest.fixture
        def executor(self):
            return MyExecutor(max_workers=2)
"""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM
from stackl_flow.engines.executors.base import Executor
from stackl_flow.engines.executors.calls import (
    EXECUTE,
    Call,
    CallId,
    Cancelled,
    Completion,
    Process,
    Progress,
    Report,
    Run,
    Started,
)
from stackl_flow.engines.executors.mailbox import Mailbox
from stackl_flow.failure import Failure
from stackl_flow.task import FunctorTask
from stackl_flow.task_context import current_task

#: Seconds; longer than anything takes on a busy machine.
LONG = 60.0

_VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


def _ignore_progress(_: Progress) -> None:
    """Ignore progress."""


def make_call(work: Callable[[], Any], attempt: int = 1, name: str = "work") -> Call:
    """Create a call of a function, with the context variables of the caller."""
    run = Run("flow-uuid", "flow", SYSTEM, [], _ignore_progress, Process())
    call_id = CallId(run.flow_uuid, name, EXECUTE, attempt)
    atom = FunctorTask(lambda: work(), name=name)  # noqa: PLW0108  a builtin has no signature
    return Call(call_id, atom, {}, run, contextvars.copy_context(), 0)


def wait_for(mailbox: Mailbox, count: int) -> list[Report]:
    """Wait for a number of reports other than ``Started``."""
    found: list[Report] = []
    while len(found) < count:
        reports = mailbox.wait(LONG)
        assert reports, f"only {found} within {LONG} seconds"
        found += [report for report in reports if not isinstance(report, Started)]
    return found


class ExecutorContract:
    """What the engine relies on."""

    @pytest.fixture
    def mailbox(self, executor: Executor) -> Any:
        """Start the executor, and stop it at the end."""
        mailbox = Mailbox()
        executor.start(mailbox)
        yield mailbox
        executor.stop()

    def test_results(self, executor: Executor, mailbox: Mailbox) -> None:
        """Each call is completed once, under its own identity."""
        calls = [make_call(functools.partial(int, n), attempt=n) for n in range(1, 21)]
        for call in calls:
            executor.submit(call)
        reports = wait_for(mailbox, len(calls))
        assert all(isinstance(report, Completion) for report in reports)
        assert sorted((r.id, r.result) for r in reports if isinstance(r, Completion)) == [
            (call.id, call.id.attempt) for call in calls
        ]

    @pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), GeneratorExit()])
    def test_failures(self, executor: Executor, mailbox: Mailbox, error: BaseException) -> None:
        """Whatever a task raises is its result, and the executor goes on."""

        def fail() -> None:
            raise error

        executor.submit(make_call(fail))
        (report,) = wait_for(mailbox, 1)
        assert isinstance(report, Completion)
        assert isinstance(report.result, Failure)
        if isinstance(error, Exception):
            assert report.result.check(type(error))
        else:
            assert report.result.check(exc.TaskExit)
            assert type(error).__name__ in report.result.exception_str
        executor.submit(make_call(lambda: "fine", attempt=2))
        (report,) = wait_for(mailbox, 1)
        assert isinstance(report, Completion)
        assert (report.id.attempt, report.result) == (2, "fine")

    def test_context(self, executor: Executor, mailbox: Mailbox) -> None:
        """A call sees the context variables of its caller; what it sets is seen by no other."""

        def work() -> tuple[str, str, int]:
            seen = _VARIABLE.get()
            _VARIABLE.set("leaked")
            task = current_task()
            return seen, task.name, task.attempt

        def caller() -> Call:
            _VARIABLE.set("caller's")
            return make_call(work)

        executor.submit(contextvars.copy_context().run(caller))
        executor.submit(make_call(work, attempt=2))
        results = {r.id.attempt: r.result for r in wait_for(mailbox, 2) if isinstance(r, Completion)}
        assert results == {1: ("caller's", "work", 1), 2: ("none", "work", 2)}
        assert _VARIABLE.get() == "none"
        with pytest.raises(exc.InvalidState, match="no current task"):
            current_task()

    def test_recall(self, executor: Executor, mailbox: Mailbox) -> None:
        """A recalled call is reported as cancelled and is not performed; one that started completes."""
        if not executor.queues:
            performed: list[int] = []
            executor.submit(make_call(lambda: performed.append(1)))
            executor.cancel(call := make_call(lambda: performed.append(2), attempt=2))
            executor.submit(call)
            executor.cancel(call)
            reports = wait_for(mailbox, 2)
            assert Cancelled(call.id) in reports
            assert performed == [1]
            return
        running, gate = threading.Semaphore(0), threading.Event()
        done: list[int] = []

        def work(number: int) -> None:
            running.release()
            gate.wait(LONG)
            done.append(number)

        calls = [make_call(functools.partial(work, n), attempt=n) for n in range(1, 41)]
        for call in calls:
            executor.submit(call)
        assert running.acquire(timeout=LONG)
        for call in calls:
            executor.cancel(call)
        gate.set()
        reports = wait_for(mailbox, len(calls))
        recalled = {report.id.attempt for report in reports if isinstance(report, Cancelled)}
        assert recalled
        assert sorted([*done, *recalled]) == list(range(1, 41))

    def test_started(self, executor: Executor, mailbox: Mailbox) -> None:
        """Where calls can wait, the start of the work is reported, and is part of the completion."""
        if not executor.queues:
            return
        before = SYSTEM.now()
        call = make_call(lambda: None)
        executor.submit(call)
        reports: list[Report] = list(wait_for(mailbox, 1))
        (started,) = mailbox.take_started()
        assert started.id == call.id
        assert before <= started.at <= SYSTEM.now()
        assert isinstance(reports[0], Completion)
        assert reports[0].started_at == started.at

    def test_restart(self, executor: Executor, mailbox: Mailbox) -> None:
        """After a stop the executor starts again, with another mailbox."""
        executor.submit(make_call(lambda: 1))
        wait_for(mailbox, 1)
        executor.stop()
        again = Mailbox()
        executor.start(again)
        executor.submit(make_call(lambda: 2, attempt=2))
        (report,) = wait_for(again, 1)
        assert isinstance(report, Completion)
        assert (report.id.attempt, report.result) == (2, 2)
