"""The engine's loop: performs the scheduler's commands and feeds the results back.

Every step is the same: transitions are committed and notified, and calls are submitted (SCHEDULING); reports
come back (WAITING) and are applied (ANALYZING). The loop ends when the scheduler says that the flow is
finished. It runs in the engine's thread only; other threads reach it through its mailbox.

RUNNING is committed before a call is handed over and means that the work may have started. When it did start
is stored later, together with something else or within `_START_DELAY`.
"""

from __future__ import annotations

import contextvars
import inspect
import math
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
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
    ON_FAILURE,
    REVERT,
    Call,
    CallId,
    Cancelled,
    Completion,
    Interrupted,
    Process,
    Progress,
    Report,
    Run,
    Started,
    WakeUp,
    Wrapper,
    failure_of,
    is_main_thread,
    perform,
)
from stackl_flow.engines.executors.mailbox import Mailbox
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
from stackl_flow.patterns.deciders import call_decider, pick_widest
from stackl_flow.retry import EXECUTE_REVERT_HISTORY, Decision, Retry
from stackl_flow.task import REVERT_FLOW_FAILURES, REVERT_RESULT, Task
from stackl_flow.task_context import CURRENT

_LOG = redaction.get_logger(__name__)

_new_tuple: Any = tuple.__new__

_STATES_WITH_RESULT: Final = frozenset({st.SUCCESS, st.FAILURE, st.REVERTED, st.REVERT_FAILURE})
_PROGRESS_OF_STATE: Final = {st.RUNNING: 0.0, st.SUCCESS: 1.0, st.REVERTING: 0.0, st.REVERTED: 1.0}
#: States in which a call of an atom begins; its listeners and its work see the same context variables.
_STARTING_STATES: Final = frozenset({st.RUNNING, st.REVERTING})
#: How often Ctrl-C suspends a flow: then running calls are not waited for, and then the engine stops at once.
_MAX_INTERRUPTS: Final = 2
#: Seconds that a call takes from here to a thread that is free; it did not wait then.
_SHORT_WAIT: Final = 0.05
#: Seconds after which the start of a call is stored, if nothing else is.
_START_DELAY: Final = 0.2
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
        wrappers: wrap the work of each call; see ``calls.Wrapper``.
        process: the process that owns the flow.

    Attributes:
        mailbox: receives the reports on calls.
        result_state: the state in which the flow finished, or None while it runs.
        previous_state: the flow's state before that.
        errors: failures outside any atom, such as those of a decider or an executor.
        unresolved: failures of this run that nothing is done about: those of reverts, and all if failures are
            not resolved.
        pending_notifications: transitions that have not been notified yet.
        completed: how many calls completed.
        discarded: how many failures of ``execute`` were passed to retries or reverted.
        late: how many reports on calls that were not running were dropped.
        interrupts: how often Ctrl-C was pressed in the main thread.
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
        wrappers: Sequence[Wrapper],
        process: Process,
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
        #: By atom, for observers: when its call was handed over, and how long the call that ended waited.
        self._handed_over: dict[int, float] = {}
        self._waited: dict[int, float] = {}
        self._failures: dict[str, Failure] = {}
        self._failures_version = -1
        self._suspend_requested = False
        self._thread: int | None = None
        self._run = Run(
            journal.flow.uuid, journal.flow.name, journal.clock, wrappers, self.report_progress, process
        )
        #: Calls that were handed over and are not complete.
        self._calls: dict[CallId, Call] = {}
        #: Those that are known to have started, and when that is looked at next.
        self._started: set[CallId] = set()
        self._next_look = 0.0
        #: By atom: the context variables of its listeners since its call began.
        self._contexts: dict[int, contextvars.Context] = {}
        #: Whether the code of a decider runs, and whether a call has entered the engine again.
        self._in_decider = self._in_engine = False
        self.mailbox = Mailbox()
        self.pending_notifications: list[AppliedTransition] = []
        self.result_state: str | None = None
        self.previous_state: str | None = None
        self.errors: list[Failure] = []
        self.unresolved: list[Failure] = []
        self.completed = 0
        self.discarded = 0
        self.late = 0
        self.interrupts = 0

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

    @property
    def running(self) -> int:
        """How many calls have started and are not complete, as far as that is known."""
        if not self._executor.queues:
            return self.scheduler.running
        started = self._started.union(report.id for report in self.mailbox.peek_started())
        return sum(call_id in started for call_id in list(self._calls))

    @property
    def waiting(self) -> int:
        """How many atoms are selected and have not started."""
        return self.scheduler.queued + self.scheduler.running - self.running

    # ------------------------------------------------------------------ running

    def suspend(self) -> None:
        """Request suspension; any thread may call this."""
        self._suspend_requested = True
        self.mailbox.put(WakeUp())

    def abort(self, failure: Failure) -> None:
        """Have nothing new started, and end with this failure; only between two steps."""
        self.errors.append(failure)
        self.mailbox.put(WakeUp())

    def interrupt(self) -> None:
        """Handle Ctrl-C, in the main thread: the flow is suspended, and the code of an atom is broken off.

        The code of the engine itself is not broken off, so that what is stored stays correct.

        Raises:
            KeyboardInterrupt: the code of an atom is running here, or Ctrl-C was pressed for the third time.
        """
        self.interrupts += 1
        self.suspend()
        call = CURRENT.get(None)
        in_call = isinstance(call, Call) and call.run is self._run and not self._in_engine
        if in_call or self._in_decider or self.interrupts > _MAX_INTERRUPTS:
            raise KeyboardInterrupt

    def run(self, timeout: float | None, *, stepwise: bool) -> Generator[str, None, None]:
        """Run until the flow is finished.

        Args:
            timeout: maximum seconds to wait for reports in one step.
            stepwise: yield in each stage, where the caller may request suspension.

        Yields:
            The engine's states, if ``stepwise``.
        """
        scheduler, enter = self.scheduler, self._statistics.enter
        wait = self._wait if self._executor.queues else self.mailbox.wait
        self._thread = threading.get_ident()
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
            reports = wait(timeout)
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
            events.append(c.Suspended())
            if self.interrupts > 1:  # the calls that still run are not waited for
                events += [c.Interrupted(call.number) for call in self._calls.values()]
                self._calls.clear()
        if self.errors:
            events.append(c.Aborted())
        return events

    # ------------------------------------------------------------------ reports

    def _wait(self, timeout: float | None) -> list[Report]:
        """Wait for reports, and meanwhile store which calls have started."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            now = time.monotonic()
            if now >= self._next_look:
                self._next_look = now + _START_DELAY
                if self._record_started(self.mailbox.take_started()):
                    self._journal.commit()
            wake_up_at = self._next_look if len(self._started) < len(self._calls) else math.inf
            seconds = min(wake_up_at, deadline) - now
            reports = self.mailbox.wait(None if seconds == math.inf else max(0.0, seconds))
            if reports or time.monotonic() >= deadline:
                return reports

    def _record_started(self, started: Iterable[Started]) -> bool:
        """Record when calls started; return whether one of them is still running."""
        found = False
        for call_id, at in started:
            call = self._calls.get(call_id)
            if call is not None:
                found = True
                self._started.add(call_id)
                self._journal.record_started(call.number, at)
        return found

    def _record_progress(self, call: Call, report: Progress) -> None:
        if report.id not in self._started:  # shown with its progress, the task must not seem to wait
            self._record_started(self.mailbox.take_started())
        self._journal.record_progress(call.number, report.progress, report.details)

    def _read_reports(self, reports: Iterable[Report]) -> list[c.Event]:
        """Record reports of the executor, and turn them into core events."""
        events: list[c.Event] = []
        for report in reports:
            if type(report) is Completion:  # by far the most frequent
                call = self._calls.pop(report.id, None)
                if call is None:
                    self._drop(report)
                    continue
                if self._started:
                    self._started.discard(report.id)
                events.append(self._record_completion(call.number, report))
                continue
            if isinstance(report, WakeUp):
                continue
            call = self._calls.get(report.id)
            if call is None:
                self._drop(report)
            elif isinstance(report, Progress):
                self._record_progress(call, report)
            elif isinstance(report, Started):
                self._record_started([report])
            else:
                del self._calls[report.id]
                self._started.discard(report.id)
                if isinstance(report, Interrupted):
                    self.interrupts = self.interrupts or 1
                    self._suspend_requested = True
                    events.append(c.Interrupted(call.number))
                else:
                    events.append(c.Recalled(call.number))
        return events

    def _drop(self, report: Completion | Progress | Started | Cancelled | Interrupted) -> None:
        """Record a report on a call that is not running: it ended already, or belongs to another attempt."""
        self.late += 1
        flow, atom, action, attempt = report.id
        _LOG.warning(
            "dropped a late report (%s) on '%s' of atom '%s', attempt %s, of flow '%s' (%s): that call is not"
            " running any more", type(report).__name__, action, atom, attempt, self._run.flow_name, flow,
        )  # fmt: skip

    def _record_completion(self, number: int, completion: Completion) -> c.Event:
        (_, _, action, _), result, started_at = completion
        self.completed += 1
        if started_at is not None:
            self._journal.set_started(number, started_at)
            handed_over_at = self._handed_over.pop(number, None)
            if handed_over_at is not None and started_at - handed_over_at > _SHORT_WAIT:
                self._waited[number] = started_at - handed_over_at
        resolves = self.scheduler.resolves_failures
        if action == EXECUTE:
            result = self._journal.record_executed(number, result)
            failed = self._journal.details[number].failure is not None
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
                elif isinstance(command, c.Recall):
                    self._recall(command.atom)
                elif isinstance(command, (c.EvaluateRetry, c.EvaluateDeciders)):
                    answers.append(self._answer(command))
                elif isinstance(command, c.Batch):
                    batch = scheduling.batch_names(command, self._plan)
                    self._journal.set_metadata(scheduling.META_BATCH, batch)
                elif isinstance(command, c.Finish):
                    self.result_state = self.final_state(command.state)
            commands = self.scheduler.handle(answers) if answers else []
        return calls

    def _answer(self, command: c.EvaluateRetry | c.EvaluateDeciders) -> c.Event:
        try:
            if isinstance(command, c.EvaluateRetry):
                return self._evaluate_retry(command)
            return self._evaluate_deciders(command)
        except exc.ForkedProcess:
            raise
        except Exception:  # noqa: BLE001  raised again when the flow is finished
            self.errors.append(Failure())
            return c.Aborted()
        except BaseException as error:  # noqa: BLE001  raised again, too
            if isinstance(error, KeyboardInterrupt) and is_main_thread():
                self.interrupts = self.interrupts or 1
                self._change_flow_state(st.SUSPENDING)
                return c.Unanswered()
            if isinstance(command, c.EvaluateRetry):
                what = f"'on_failure' of retry '{self._plan.names[command.retry]}'"
            else:
                what = f"a decider of atom '{self._plan.names[command.atom]}'"
            self.errors.append(failure_of(error, what))
            return c.Aborted()

    def _recall(self, number: int) -> None:
        name, attempt = self._plan.names[number], self._journal.details[number].attempt
        for action in (EXECUTE, REVERT):
            call = self._calls.get(CallId(self._run.flow_uuid, name, action, attempt))
            if call is not None:
                self._executor.cancel(call)

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
        answer = self._call_on_failure(command.retry, retry, arguments)
        if inspect.iscoroutine(answer):
            answer.close()  # it never runs, and Python would warn of that, too
        try:
            decision = Decision(answer)
        except ValueError:
            raise exc.InvalidFormat(
                f"on_failure of retry '{retry.name}' returned {answer!r}: expected one of {list(Decision)}"
            ) from None
        return c.RetryEvaluated(command.retry, decision)

    def _call_on_failure(self, number: int, retry: Retry, arguments: dict[str, Any]) -> Any:
        """Call ``on_failure`` with a task context of its own."""
        call = self._new_call(number, ON_FAILURE, arguments)

        def work() -> Any:
            token = CURRENT.set(call)
            try:
                return retry.on_failure(**arguments)
            finally:
                CURRENT.reset(token)

        return call.context.run(work)

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
        self._in_decider = True
        try:
            rejections = [
                decider.depth
                for decider in deciders
                if decider.source not in ignored and not call_decider(decider.decide, history)
            ]
        finally:
            self._in_decider = False
        return c.DecidersEvaluated(command.atom, pick_widest(rejections) if rejections else None)

    # ------------------------------------------------------------------ calls

    def _submit(self, command: c.Execute | c.Revert) -> list[c.Command]:
        """Submit a call; if that fails, abort the run."""
        try:
            try:
                call = self._create_call(command)
            except exc.ValueNotProvided:
                if self.missing_value_ends_run:
                    raise
                self._report_missing_value(command, Failure())
                return []
            self._calls[call.id] = call
            if self._plan.kinds[command.atom] == RETRY:
                # Retries steer the engine, so they run in its thread, as TaskFlow's do.
                self.mailbox.put(perform(call))
            else:
                if self._executor.queues and self._has_observers:
                    self._handed_over[command.atom] = self._run.clock.now()
                self._executor.submit(call)
        except exc.ForkedProcess:
            raise
        except Exception:  # noqa: BLE001  raised again when the flow is finished
            self._calls = {key: call for key, call in self._calls.items() if call.number != command.atom}
            self.errors.append(Failure())
            return self.scheduler.handle([c.Recalled(command.atom), c.Aborted()])
        return []

    def _report_missing_value(self, command: c.Execute | c.Revert, failure: Failure) -> None:
        """Report at once how a call ends: an argument without a value is its atom's failure."""
        action: str = EXECUTE
        result: Failure | None = failure
        if isinstance(command, c.Revert):
            cause = self._journal.details[command.atom].failure
            never_ran = cause is not None and cause.check(exc.ValueNotProvided)
            action = REVERT
            result = None if never_ran else failure
        call = self._new_call(command.atom, action, {})
        self._calls[call.id] = call
        self.mailbox.put(Completion(call.id, result))

    def _create_call(self, command: c.Execute | c.Revert) -> Call:
        number = command.atom
        atom = self._plan.atoms[number]
        is_task = self._plan.kinds[number] == TASK
        if isinstance(command, c.Revert):
            arguments = self._arguments.for_revert(number)
            arguments.update(self._revert_extras(number, atom, is_task))
            return self._new_call(number, REVERT, arguments)
        arguments = self._arguments.for_execute(number)
        if not is_task:
            arguments[EXECUTE_REVERT_HISTORY] = self._storage.get_retry_history(self._plan.names[number])
        return self._new_call(number, EXECUTE, arguments)

    def _new_call(self, number: int, action: str, arguments: dict[str, Any]) -> Call:
        name, run, attempt = self._plan.names[number], self._run, self._journal.details[number].attempt
        context = self._contexts[number].copy() if number in self._contexts else contextvars.copy_context()
        # Made by tuple itself: the constructors of named tuples take twice as long.
        call_id = _new_tuple(CallId, (run.flow_uuid, name, action, attempt))
        call: Call = _new_tuple(Call, (call_id, self._plan.atoms[number], arguments, run, context, number))
        return call

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
        if threading.get_ident() != self._thread:
            self.mailbox.put(progress)
            return
        call = self._calls.get(progress.id)
        if call is None:
            self._drop(progress)
            return
        self._in_engine = True
        before = self.interrupts
        try:
            self._journal.record_progress(call.number, progress.progress, progress.details)
            self._journal.commit()
        except exc.OwnershipLost as error:
            _warn_not_stored(progress, error)
            if isinstance(error, exc.ForkedProcess):
                raise
        except exc.StorageFailure as error:
            # Not the task's fault. It stays in the write buffer, and the engine's next commit meets the same
            # error.
            _warn_not_stored(progress, error)
        finally:
            self._in_engine = False
        if self.interrupts > before:
            raise KeyboardInterrupt

    # ------------------------------------------------------------------ notifications

    def _notify(self) -> None:
        notifications = self.take_notifications()
        notify_transitions(
            notifications,
            self._plan,
            self._journal,
            self._notifier,
            self._results,
            self._contexts,
            self._waited,
        )


def _warn_not_stored(progress: Progress, error: Exception) -> None:
    _LOG.warning("progress of atom '%s' is not stored yet: %s", progress.id.atom, error)


def notify_transitions(
    transitions: Iterable[AppliedTransition],
    plan: Plan,
    journal: Journal,
    notifier: Notifier,
    results: dict[int, Any],
    contexts: dict[int, contextvars.Context],
    waited: dict[int, float],
) -> None:
    """Notify observers of transitions, in order.

    What an observer sets in context variables when an atom begins is seen by its call and by the observers of
    its later transitions, up to its end, and by nothing else.

    Args:
        transitions: the transitions.
        plan: the plan.
        journal: has the details of the atoms.
        notifier: the observers.
        results: the results of atoms by number, removed once notified.
        contexts: the context variables of atoms that are running, by number.
        waited: how long calls waited in an executor by number, removed once notified.
    """
    for number, old, new in transitions:
        atom = plan.atoms[number]
        kind, uuid = plan.kinds[number], journal.details[number].uuid
        result = results.pop(number, NO_RESULT) if new in _STATES_WITH_RESULT else NO_RESULT
        wait = waited.pop(number, None) if new in _STATES_WITH_RESULT else None
        event = AtomTransition(new, old, kind, plan.names[number], uuid, result, wait)
        if new in _STARTING_STATES:
            contexts[number] = contextvars.copy_context()
        context = contexts.get(number)
        if context is None:
            notifier.notify(new, event.details())
        else:
            context.run(notifier.notify, new, event.details())
            if new not in _STARTING_STATES:
                del contexts[number]
        if new in _PROGRESS_OF_STATE and isinstance(atom, Task) and atom.has_progress_observers:
            _update_progress(atom, _PROGRESS_OF_STATE[new])


def _update_progress(task: Task, progress: float) -> None:
    try:
        task.update_progress(progress)
    except Exception:  # noqa: BLE001  an observer must not break the run
        _LOG.warning("update_progress(%s) of task '%s' raised", progress, task.name, exc_info=True)


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
                incomplete=loop.running,
                late_reports=loop.late,
                awaiting=loop.waiting,
            )
