"""The engine's loop: performs the scheduler's commands and feeds the results back.

Every step is the same: transitions are committed and notified, and calls are submitted (SCHEDULING); reports
come back (WAITING) and are applied (ANALYZING). The loop ends when the scheduler says that the flow is
finished. It runs in the engine's thread only; other threads reach it through the executor's reports.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from typing import Any, ClassVar, Final

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow import states as st
from stackl_flow.atom import Atom, Signature, signature_of
from stackl_flow.engines import commands as c
from stackl_flow.engines import scheduler as scheduling
from stackl_flow.engines.executors.base import Executor
from stackl_flow.engines.executors.calls import (
    EXECUTE,
    REVERT,
    Call,
    Cancelled,
    Completion,
    Progress,
    Report,
    WakeUp,
    perform,
)
from stackl_flow.engines.journal import AppliedTransition, Journal
from stackl_flow.engines.lazy_copy import LazyCopy
from stackl_flow.engines.plan import RETRY, TASK, Plan
from stackl_flow.engines.scheduler import Scheduler
from stackl_flow.engines.storage import Storage
from stackl_flow.engines.values import ArgumentBinder
from stackl_flow.error_text import is_a
from stackl_flow.events import NO_RESULT, AtomTransition
from stackl_flow.failure import Failure
from stackl_flow.notifier import Notifier
from stackl_flow.patterns.deciders import pick_widest
from stackl_flow.retry import EXECUTE_REVERT_HISTORY, Decision, Retry
from stackl_flow.task import REVERT_FLOW_FAILURES, REVERT_RESULT, Task

_LOG = redaction.get_logger(__name__)

_STATES_WITH_RESULT: Final = frozenset({st.SUCCESS, st.FAILURE, st.REVERTED, st.REVERT_FAILURE})
_PROGRESS_OF_STATE: Final = {st.RUNNING: 0.0, st.SUCCESS: 1.0, st.REVERTING: 0.0, st.REVERTED: 1.0}
_STATISTICS_NAMES: Final = {st.SCHEDULING: "scheduling", st.WAITING: "waiting", st.ANALYZING: "analyzing"}


class Loop:
    """One run of a flow.

    A subclass may override ``revert_signature``, ``final_state`` and ``take_notifications``, and set
    ``missing_value_ends_run``.

    Args:
        plan: the plan.
        scheduler: decides what runs next.
        journal: records what happens.
        storage: answers queries about the flow.
        arguments: provides the arguments of calls.
        executor: performs the calls.
        notifier: receives the transitions of atoms.
        statistics: measures the run.
        change_flow_state: changes the flow's state and notifies.

    Attributes:
        result_state: the state in which the flow finished, or None while it runs.
        previous_state: the flow's state before that.
        errors: failures outside any atom, such as those of a decider or an executor.
        unresolved: failures of this run that nothing is done about: those of reverts, and all if failures are
            not resolved.
        pending_notifications: transitions that have not been notified yet.
        completed: how many calls completed.
        discarded: how many failures of ``execute`` were passed to retries or reverted.
    """

    def __init__(
        self,
        plan: Plan,
        scheduler: Scheduler,
        journal: Journal,
        storage: Storage,
        arguments: ArgumentBinder,
        executor: Executor,
        notifier: Notifier,
        statistics: Statistics,
        change_flow_state: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self.scheduler = scheduler
        self._journal = journal
        self._storage = storage
        self._arguments = arguments
        self._executor = executor
        self._notifier = notifier
        self._statistics = statistics
        self._change_flow_state = change_flow_state
        self._has_progress_observers = any(
            isinstance(atom, Task) and atom.has_progress_observers for atom in plan.atoms
        )
        self._results: dict[int, Any] = {}
        self._failures: dict[str, Failure] = {}
        self._failures_version = -1
        self._suspend_requested = False
        self.pending_notifications: list[AppliedTransition] = []
        self.result_state: str | None = None
        self.previous_state: str | None = None
        self.errors: list[Failure] = []
        self.unresolved: list[Failure] = []
        self.completed = 0
        self.discarded = 0

    #: Whether an argument without a value ends the run, instead of being the failure of its atom.
    missing_value_ends_run: ClassVar[bool] = False

    # ------------------------------------------------------------------ hooks

    def revert_signature(self, atom: Atom) -> Signature:
        """Return which of ``result``, ``flow_failures`` and ``history`` an atom's ``revert`` accepts."""
        return signature_of(atom.revert)

    def final_state(self, state: str) -> str:
        """Return the flow's final state for the scheduler's."""
        return state

    def take_notifications(self) -> list[AppliedTransition]:
        """Remove and return the transitions to notify now; the others stay in ``pending_notifications``."""
        notifications, self.pending_notifications = self.pending_notifications, []
        return notifications

    @property
    def is_batch_running(self) -> bool:
        """Whether calls of the current batch are incomplete (serial executors only)."""
        scheduler = self.scheduler
        return (
            self._executor.in_batches
            and self.result_state is None
            and bool(scheduler.running or scheduler.queued)
        )

    # ------------------------------------------------------------------ running

    def suspend(self) -> None:
        """Request suspension; any thread may call this."""
        self._suspend_requested = True
        self._executor.report(WakeUp())

    def run(self, timeout: float | None, *, stepwise: bool) -> Generator[str, None, None]:
        """Run until the flow is finished.

        Args:
            timeout: maximum seconds to wait for reports in one step.
            stepwise: yield in each stage, where the caller may request suspension.

        Yields:
            The engine's states, if ``stepwise``.
        """
        scheduler, executor, enter = self.scheduler, self._executor, self._statistics.enter
        events: list[c.Event] = []
        started = False
        while True:
            idle = stepwise and started and self._is_idle()
            if not idle:
                stage = enter(st.SCHEDULING)
                if stepwise:
                    yield stage
            events += self._control_events()
            if started:
                commands = scheduler.handle(events)
            else:
                commands = scheduler.apply(events) + scheduler.start()
                started = True
            self._perform(commands)
            if self.result_state is not None:
                break
            stage = enter(st.WAITING)
            if stepwise:
                yield stage
            reports = executor.wait(timeout)
            stage = enter(st.ANALYZING)
            if stepwise:
                yield stage
            events = self._read_reports(reports)
            if stepwise or self._has_observers:
                # Observers of a completion may request suspension, which has to take effect before anything
                # starts.
                self._perform(scheduler.apply(events))
                events = []
        if stepwise and not idle:  # TaskFlow's machine completes the cycle before it finishes
            yield from map(enter, (st.WAITING, st.ANALYZING))

    @property
    def _has_observers(self) -> bool:
        return self._has_progress_observers or bool(self._notifier)

    def _is_idle(self) -> bool:
        """Return whether the next decision starts nothing if no event arrives before it."""
        return self._suspend_requested or bool(self.errors) or self.scheduler.is_idle

    def _control_events(self) -> list[c.Event]:
        events: list[c.Event] = []
        if self._suspend_requested:
            self._suspend_requested = False
            self._change_flow_state(st.SUSPENDING)
            self._executor.cancel()
            events.append(c.Suspended())
        if self.errors:
            events.append(c.Aborted())
        return events

    # ------------------------------------------------------------------ reports

    def _read_reports(self, reports: Iterable[Report]) -> list[c.Event]:
        """Record reports of the executor, and turn them into core events."""
        events: list[c.Event] = []
        for report in reports:
            if isinstance(report, Completion):
                events.append(self._record_completion(report))
            elif isinstance(report, Progress):
                self._journal.record_progress(*report)
            elif isinstance(report, Cancelled):
                events.append(c.Recalled(report.number))
        return events

    def _record_completion(self, completion: Completion) -> c.Event:
        number, action, result = completion
        self.completed += 1
        resolves = self.scheduler.resolves_failures
        if action == EXECUTE:
            result = self._journal.record_executed(number, result)
            failed = is_a(result, Failure)
            event: c.Event = c.Executed(number, not failed)
            outputs = self._plan.atoms[number].outputs
            if failed:
                self.discarded += resolves
            elif outputs and outputs[0][1] is not None:
                self._arguments.check_outputs(number, result)
        else:
            self._journal.record_reverted(number, result)
            failed = is_a(result, Failure)
            event = c.Reverted(number, not failed)
        if failed and not (action == EXECUTE and resolves):
            self.unresolved.append(result)
        if self._has_observers:
            self._results[number] = result
        return event

    # ------------------------------------------------------------------ commands

    def _perform(self, commands: list[c.Command]) -> None:
        """Perform commands: first everything is committed, then notified, then calls are submitted.

        Raises:
            StorageFailure: the commit failed, and no call was submitted.
        """
        if not commands:
            self._journal.commit()  # progress only: nothing depends on it, but other processes may read it
        while commands:
            calls = self._record(commands)
            if self.result_state is not None:
                _, self.previous_state = self._journal.change_flow_state(self.result_state)
            self._journal.commit()
            if self.pending_notifications:
                self._notify()
            if self.result_state is not None:
                self._journal.commit()  # no later commit writes what observers changed just now
            commands = []
            for command in calls:
                commands += self._submit(command)

    def _record(self, commands: list[c.Command]) -> list[c.Execute | c.Revert]:
        """Record transitions and answer the scheduler's questions until only calls are left."""
        calls: list[c.Execute | c.Revert] = []
        has_observers = self._has_observers
        while commands:
            answers: list[c.Event] = []
            for command in commands:
                if isinstance(command, c.Transition):
                    applied = self._journal.apply(command)
                    if has_observers and applied is not None:
                        self.pending_notifications.append(applied)
                elif isinstance(command, (c.Execute, c.Revert)):
                    calls.append(command)
                elif isinstance(command, c.EvaluateRetry):
                    answers.append(self._answer(self._evaluate_retry, command))
                elif isinstance(command, c.EvaluateDeciders):
                    answers.append(self._answer(self._evaluate_deciders, command))
                elif isinstance(command, c.Batch):
                    batch = scheduling.batch_names(command, self._plan)
                    self._journal.set_metadata(scheduling.META_BATCH, batch)
                elif isinstance(command, c.Finish):
                    self.result_state = self.final_state(command.state)
            commands = self.scheduler.handle(answers) if answers else []
        return calls

    def _answer(
        self, evaluate: Callable[[Any], c.Event], command: c.EvaluateRetry | c.EvaluateDeciders
    ) -> c.Event:
        try:
            return evaluate(command)
        except Exception:  # noqa: BLE001  raised again when the flow is finished
            self.errors.append(Failure())
            return c.Aborted()

    def _evaluate_retry(self, command: c.EvaluateRetry) -> c.Event:
        failed = self._plan.names[command.failed]
        retry = self._plan.atoms[command.retry]
        if not isinstance(retry, Retry):
            raise exc.InvalidState(f"atom '{retry.name}' is not a retry and cannot decide about a failure")
        failure = self._journal.by_name[failed].failure
        if failure is not None:
            self._journal.record_attempt_failure(command.retry, command.child, failure)
        arguments = self._arguments.for_execute(command.retry)
        arguments[EXECUTE_REVERT_HISTORY] = self._storage.get_retry_history(str(retry.name))
        answer = retry.on_failure(**arguments)
        try:
            decision = Decision(answer)
        except ValueError:
            raise exc.InvalidFormat(
                f"on_failure of retry '{retry.name}' returned {answer!r}: expected one of {list(Decision)}"
            ) from None
        return c.RetryEvaluated(command.retry, decision)

    def _evaluate_deciders(self, command: c.EvaluateDeciders) -> c.Event:
        count = len(self._plan)
        history: dict[str, Any] = {}
        deciders = self._plan.deciders[command.atom]
        ignored = set()
        for decider in deciders:
            if decider.source >= count:
                continue
            if self._journal.state_of(decider.source) == st.IGNORE:
                ignored.add(decider.source)
            else:
                history[self._plan.names[decider.source]] = self._journal.values[decider.source]
        rejections = [
            decider.depth
            for decider in deciders
            if decider.source not in ignored and not decider.decide(history=history)
        ]
        return c.DecidersEvaluated(command.atom, pick_widest(rejections) if rejections else None)

    # ------------------------------------------------------------------ calls

    def _submit(self, command: c.Execute | c.Revert) -> list[c.Command]:
        """Submit a call; if that fails, abort the run."""
        try:
            call = self._try_create_call(command)
            if call is None:
                return []
            if self._plan.kinds[command.atom] == RETRY:
                # Retries steer the engine, so they run in its thread, as TaskFlow's do.
                self._executor.report(perform(call))
            else:
                self._executor.submit(call)
        except Exception:  # noqa: BLE001  raised again when the flow is finished
            self.errors.append(Failure())
            return self.scheduler.handle([c.Recalled(command.atom), c.Aborted()])
        return []

    def _try_create_call(self, command: c.Execute | c.Revert) -> Call | None:
        """Create a call, or report at once how it ends: an argument without a value is its atom's failure."""
        try:
            return self._create_call(command)
        except exc.ValueNotProvided:
            if self.missing_value_ends_run:
                raise
            failure = Failure()
        if isinstance(command, c.Execute):
            self._executor.report(Completion(command.atom, EXECUTE, failure))
            return None
        cause = self._journal.details[command.atom].failure
        never_ran = cause is not None and cause.check(exc.ValueNotProvided)
        self._executor.report(Completion(command.atom, REVERT, None if never_ran else failure))
        return None

    def _create_call(self, command: c.Execute | c.Revert) -> Call:
        number = command.atom
        atom = self._plan.atoms[number]
        is_task = self._plan.kinds[number] == TASK
        progress = _ProgressReporter(self, number) if is_task else None
        if isinstance(command, c.Revert):
            arguments = self._arguments.for_revert(number)
            arguments.update(self._revert_extras(number, atom, is_task))
            return Call(number, atom, REVERT, arguments, progress)
        arguments = self._arguments.for_execute(number)
        if not is_task:
            arguments[EXECUTE_REVERT_HISTORY] = self._storage.get_retry_history(self._plan.names[number])
        return Call(number, atom, EXECUTE, arguments, progress)

    def _revert_extras(self, number: int, atom: Atom, is_task: bool) -> dict[str, Any]:
        """Return the result and the failures for a ``revert``, as far as it accepts them."""
        extras: dict[str, Any] = {REVERT_FLOW_FAILURES: LazyCopy(self._flow_failures())}
        if is_task:
            detail = self._journal.details[number]
            extras[REVERT_RESULT] = detail.results if detail.failure is None else detail.failure
        else:
            extras[EXECUTE_REVERT_HISTORY] = self._storage.get_retry_history(self._plan.names[number])
        signature = self.revert_signature(atom)
        if signature.accepts_any:
            return extras
        return {name: value for name, value in extras.items() if name in signature.names}

    def _flow_failures(self) -> dict[str, Failure]:
        """Return the failures of ``execute``, one dictionary until there are others."""
        version = self._journal.failures_version
        if self._failures_version != version:
            self._failures_version = version
            self._failures = self._storage.get_execute_failures()
        return self._failures

    def report_progress(self, progress: Progress) -> None:
        """Store progress that a task reports while it runs; any thread may call this."""
        if not self._executor.is_engine_thread():
            self._executor.report(progress)
            return
        self._journal.record_progress(*progress)
        try:
            self._journal.commit()
        except exc.StorageFailure as error:
            # Not the task's fault. It stays in the write buffer, and the engine's next commit meets the same
            # error.
            name = self._plan.names[progress.number]
            _LOG.warning("progress of atom '%s' is not stored yet: %s", name, error)

    # ------------------------------------------------------------------ notifications

    def _notify(self) -> None:
        notifications = self.take_notifications()
        notify_transitions(notifications, self._plan, self._journal, self._notifier, self._results)


def notify_transitions(
    transitions: Iterable[AppliedTransition],
    plan: Plan,
    journal: Journal,
    notifier: Notifier,
    results: dict[int, Any],
) -> None:
    """Notify observers of transitions, in order; ``results`` by number are removed once notified."""
    for number, old, new in transitions:
        atom = plan.atoms[number]
        kind, uuid = plan.kinds[number], journal.details[number].uuid
        result = results.pop(number, NO_RESULT) if new in _STATES_WITH_RESULT else NO_RESULT
        notifier.notify(new, AtomTransition(new, old, kind, plan.names[number], uuid, result).details())
        if new in _PROGRESS_OF_STATE and isinstance(atom, Task) and atom.has_progress_observers:
            _update_progress(atom, _PROGRESS_OF_STATE[new])


def _update_progress(task: Task, progress: float) -> None:
    try:
        task.update_progress(progress)
    except Exception:  # noqa: BLE001  an observer must not break the run
        _LOG.warning("update_progress(%s) of task '%s' raised", progress, task.name, exc_info=True)


class _ProgressReporter:
    """Passes the progress of one call to the loop."""

    __slots__ = ("_loop", "_number")

    def __init__(self, loop: Loop, number: int) -> None:
        self._loop = loop
        self._number = number

    def __call__(self, progress: float, details: dict[str, Any]) -> None:
        self._loop.report_progress(Progress(self._number, progress, details))


class Statistics:
    """Seconds that the engine spends in each of its states, and counts of atoms.

    Args:
        enabled: whether to collect them; the duration of a run is kept in any case.
    """

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._loop: Loop | None = None
        self._values: dict[str, Any] = {}
        self._started_at = 0.0
        self._reset()

    def _reset(self) -> None:
        self._seconds = dict.fromkeys(_STATISTICS_NAMES, 0.0)
        self._state: str | None = None
        self._entered_at = 0.0

    def begin(self, loop: Loop) -> None:
        """Reset the numbers for a new run."""
        self._loop = loop
        self._values = {}
        self._reset()
        self._started_at = time.monotonic()

    def enter(self, state: str) -> str:
        """Record that the engine enters a state; returns the state."""
        if self._enabled:
            now = time.monotonic()
            if self._state is not None:
                self._seconds[self._state] += now - self._entered_at
            self._state, self._entered_at = state, now
        return state

    def end(self) -> None:
        """Record the end of the run, and release its loop."""
        now = time.monotonic()
        if self._state is not None:
            self._seconds[self._state] += now - self._entered_at
        self._count()
        self._loop = None
        self._values["active_for"] = now - self._started_at

    def values(self) -> dict[str, Any]:
        """Return the numbers about the current or last run."""
        self._count()
        return self._values

    def _count(self) -> None:
        loop = self._loop
        if self._enabled and loop is not None:
            self._values.update(
                seconds_per_state={name: self._seconds[state] for state, name in _STATISTICS_NAMES.items()},
                completed=loop.completed,
                discarded_failures=loop.discarded,
                incomplete=loop.scheduler.running,
                awaiting=loop.scheduler.queued,
            )
