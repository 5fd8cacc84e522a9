"""The shell: carries out what the core commands, and tells it what came of that.

This is where a decision meets the world: moves go to the journal, questions to retries and deciders, calls to
the executor, news to the listeners. It runs in the engine's thread only.

The engine's round, which is always the same.

What the core commands is written down, told and begun (SCHEDULING), something comes back (WAITING), the core
hears of it (ANALYZING), until the core says that the flow has come to rest.

Numbers about a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow import states as st
from stackl_flow.atom import Atom, signature_of
from stackl_flow.engines import commands as c
from stackl_flow.engines import scheduler
from stackl_flow.engines.executors.base import Executor
from stackl_flow.engines.executors.calls import (
    EXECUTE,
    REVERT,
    Call,
    Cancelled,
    Completion,
    Progress,
    Report,
    Wake,
    perform,
)
from stackl_flow.engines.journal import Journal
from stackl_flow.engines.plan import RETRY, TASK, Plan
from stackl_flow.engines.scheduler import Scheduler
from stackl_flow.engines.storage import Storage
from stackl_flow.engines.values import Arguments
from stackl_flow.events import NO_RESULT, AtomTransition
from stackl_flow.failure import Failure
from stackl_flow.notifier import Notifier
from stackl_flow.patterns.deciders import pick_widest
from stackl_flow.retry import EXECUTE_REVERT_HISTORY, Decision, Retry
from stackl_flow.task import REVERT_FLOW_FAILURES, REVERT_RESULT, Task

_LOG = redaction.get_logger(__name__)


class Shell:
    """Carries out one run.

    Args:
        plan: what runs.
        core: decides.
        journal: remembers.
        storage: answers.
        arguments: finds what each call is handed.
        executor: performs the calls.
        notifier: tells of the atoms' moves.
    """

    #: Reads what a ``revert`` takes.
    _read = staticmethod(signature_of)

    def __init__(
        self,
        plan: Plan,
        core: Scheduler,
        journal: Journal,
        storage: Storage,
        arguments: Arguments,
        executor: Executor,
        notifier: Notifier,
    ) -> None:
        self._plan = plan
        self.core = core
        self._journal = journal
        self._storage = storage
        self._arguments = arguments
        self._executor = executor
        self._notifier = notifier
        #: Whether a task tells of its progress itself.
        self._watched = any(isinstance(atom, Task) and atom.has_progress_observers for atom in plan.atoms)
        self._told: list[c.Moved] = []
        self._results: dict[int, Any] = {}
        #: The state in which the flow came to rest, when it has, and the one it came from.
        self.rest: str | None = None
        self.rest_from: str | None = None
        #: What went wrong outside any atom.
        self.troubles: list[Failure] = []
        #: Failures of this run that nothing is done about: of reverts, and of all if nothing is undone.
        self.unresolved: list[Failure] = []
        self.discarded = 0
        self.completed = 0

    @property
    def listening(self) -> bool:
        """Whether anyone wants to be told of the atoms' moves."""
        return self._watched or bool(self._notifier)

    def idle(self, *, asked: bool) -> bool:
        """Say whether the next decision begins nothing, if nothing else happens before it.

        Args:
            asked: whether a pause was asked for.

        Returns:
            True when it does.
        """
        return asked or bool(self.troubles) or self.core.idle

    # ------------------------------------------------------------- hearing

    def events_of(self, reports: Iterable[Report]) -> list[c.Event]:
        """Turn what executors report into what the core hears, and keep the results.

        Args:
            reports: what was reported.

        Returns:
            The events.
        """
        events: list[c.Event] = []
        for entry in reports:
            if isinstance(entry, Completion):
                events.append(self._completed(entry))
            elif isinstance(entry, Progress):
                self._journal.keep_progress(*entry)
            elif isinstance(entry, Cancelled):
                events.append(c.Dropped(entry.number))
        return events

    def _completed(self, entry: Completion) -> c.Event:
        number, action, result = entry
        self.completed += 1
        if action == EXECUTE:
            result = self._journal.keep_executed(number, result)
            failed = isinstance(result, Failure)
            event: c.Event = c.Executed(number, not failed)
            outputs = self._plan.atoms[number].outputs
            if failed:
                self.discarded += self.core.resolves
            elif outputs and outputs[0][1] is not None:
                self._arguments.check_outputs(number, result)
        else:
            self._journal.keep_reverted(number, result)
            failed = isinstance(result, Failure)
            event = c.Reverted(number, not failed)
        if failed and not (action == EXECUTE and self.core.resolves):
            self.unresolved.append(result)
        if self.listening:
            self._results[number] = result
        return event

    # ------------------------------------------------------------- carrying out

    def carry_out(self, commands: list[c.Command]) -> None:
        """Carry commands out: first everything is written, then listeners hear of it, then calls begin.

        Args:
            commands: what the core commands.

        Raises:
            StorageFailure: it could not be written, and nothing began.
        """
        if not commands:
            self._journal.commit()  # progress alone: nothing waits for it, but somebody may be looking
        while commands:
            calls = self._settle(commands)
            if self.rest is not None:
                _, self.rest_from = self._journal.move_flow(self.rest)
            self._journal.commit()
            self._tell()
            if self.rest is not None:
                self._journal.commit()  # no later entry will take along what listeners noted just now
            commands = []
            for command in calls:
                commands += self._submit(command)

    def _settle(self, commands: list[c.Command]) -> list[c.Execute | c.Revert]:
        """Note the moves and answer the core's questions until only calls are left."""
        calls: list[c.Execute | c.Revert] = []
        listening = self.listening
        while commands:
            answers: list[c.Event] = []
            for command in commands:
                if isinstance(command, c.Move):
                    moved = self._journal.move(command)
                    if listening and moved is not None:
                        self._told.append(moved)
                elif isinstance(command, (c.Execute, c.Revert)):
                    calls.append(command)
                elif isinstance(command, c.Consult):
                    answers.append(self._guarded(self._consult, command))
                elif isinstance(command, c.Vote):
                    answers.append(self._guarded(self._vote, command))
                elif isinstance(command, c.Wave):
                    self._journal.note(scheduler.noted(self._journal.flow.meta, command, self._plan))
                elif isinstance(command, c.Finish):
                    self.rest = command.state
            commands = self.core.handle(answers) if answers else []
        return calls

    def _guarded(self, ask: Callable[[Any], c.Event], command: c.Consult | c.Vote) -> c.Event:
        try:
            return ask(command)
        except Exception:  # noqa: BLE001  raised again when the flow has come to rest
            self.troubles.append(Failure())
            return c.Broke()

    def _consult(self, command: c.Consult) -> c.Event:
        failed = self._plan.names[command.failed]
        retry = self._plan.atoms[command.retry]
        if not isinstance(retry, Retry):
            raise exc.InvalidState(f"atom '{retry.name}' was asked to decide but is no retry")
        failure = self._journal.by_name[failed].failure
        if failure is not None:
            self._journal.keep_attempt_failure(command.retry, command.asker, failure)
        arguments = self._arguments.for_execute(command.retry)
        arguments[EXECUTE_REVERT_HISTORY] = self._storage.get_retry_history(str(retry.name))
        answer = retry.on_failure(**arguments)
        try:
            decision = Decision(answer)
        except ValueError:
            raise exc.InvalidFormat(
                f"on_failure of retry '{retry.name}' returned {answer!r}: expected one of {list(Decision)}"
            ) from None
        return c.Consulted(command.retry, decision)

    def _vote(self, command: c.Vote) -> c.Event:
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
        against = [
            decider.depth
            for decider in deciders
            if decider.source not in ignored and not decider.decide(history=history)
        ]
        return c.Voted(command.atom, pick_widest(against) if against else None)

    # ------------------------------------------------------------- calls

    def _submit(self, command: c.Execute | c.Revert) -> list[c.Command]:
        """Hand a call over; if that cannot be done, tell the core that nothing came of it."""
        try:
            call = self._call_for(command)
            if self._plan.kinds[command.atom] == RETRY:
                # Retries steer the engine, so they run beside it, as TaskFlow's do.
                self._executor.report(perform(call))
            else:
                self._executor.submit(call)
        except Exception:  # noqa: BLE001  raised again when the flow has come to rest
            self.troubles.append(Failure())
            return self.core.handle([c.Dropped(command.atom), c.Broke()])
        return []

    def _call_for(self, command: c.Execute | c.Revert) -> Call:
        number = command.atom
        atom = self._plan.atoms[number]
        is_task = self._plan.kinds[number] == TASK
        sink = _ProgressSink(self, number) if is_task else None
        if isinstance(command, c.Revert):
            arguments = self._arguments.for_revert(number)
            arguments.update(self._extras(number, atom, is_task))
            return Call(number, atom, REVERT, arguments, sink)
        arguments = self._arguments.for_execute(number)
        if not is_task:
            arguments[EXECUTE_REVERT_HISTORY] = self._storage.get_retry_history(self._plan.names[number])
        return Call(number, atom, EXECUTE, arguments, sink)

    def _extras(self, number: int, atom: Atom, is_task: bool) -> dict[str, Any]:
        """Find what a ``revert`` is handed besides its arguments, as far as it takes that."""
        extras: dict[str, Any] = {REVERT_FLOW_FAILURES: self._storage.get_execute_failures()}
        if is_task:
            detail = self._journal.details[number]
            extras[REVERT_RESULT] = detail.results if detail.failure is None else detail.failure
        else:
            extras[EXECUTE_REVERT_HISTORY] = self._storage.get_retry_history(self._plan.names[number])
        takes = self._read(atom.revert)
        return extras if takes.accepts_any else {n: v for n, v in extras.items() if n in takes.names}

    def take_progress(self, told: Progress) -> None:
        """Take what a task tells of its progress while it runs; any thread may call this.

        Args:
            told: the progress.
        """
        if not self._executor.here():
            self._executor.report(told)
            return
        self._journal.keep_progress(*told)
        try:
            self._journal.commit()
        except exc.StorageFailure as error:
            # Not the task's fault; it stays on the page, and the engine's next write meets the same trouble.
            _LOG.warning("progress of atom '%s' is not stored yet: %s", self._plan.names[told.number], error)

    # ------------------------------------------------------------- telling

    def _tell(self) -> None:
        if self._told:
            told, self._told = self._told, []
            tell_moves(told, self._plan, self._journal, self._notifier, self._results)


def tell_moves(
    moves: Iterable[c.Moved],
    plan: Plan,
    journal: Journal,
    notifier: Notifier,
    results: dict[int, Any],
) -> None:
    """Tell listeners of atoms' moves.

    Args:
        moves: the moves, in the order in which they were made.
        plan: gives the atoms.
        journal: gives their identities.
        notifier: knows who wants to be told.
        results: what their methods gave, by number; what is told is taken out.
    """
    for number, old, new in moves:
        atom = plan.atoms[number]
        kind, uuid = plan.kinds[number], journal.details[number].uuid
        result = results.pop(number, NO_RESULT) if new in _WITH_RESULT else NO_RESULT
        notifier.notify(new, AtomTransition(new, old, kind, plan.names[number], uuid, result).details())
        if new in _PROGRESS and isinstance(atom, Task) and atom.has_progress_observers:
            _tell_progress(atom, _PROGRESS[new])


def _tell_progress(task: Task, progress: float) -> None:
    try:
        task.update_progress(progress)
    except Exception:  # noqa: BLE001  a program's own method watches the work and is not to break it
        _LOG.warning("update_progress(%s) of task '%s' raised", progress, task.name, exc_info=True)


_WITH_RESULT = frozenset({st.SUCCESS, st.FAILURE, st.REVERTED, st.REVERT_FAILURE})
_PROGRESS = {st.RUNNING: 0.0, st.SUCCESS: 1.0, st.REVERTING: 0.0, st.REVERTED: 1.0}


class _ProgressSink:
    """Where a running task's progress goes."""

    __slots__ = ("_number", "_shell")

    def __init__(self, shell: Shell, number: int) -> None:
        self._shell = shell
        self._number = number

    def __call__(self, progress: float, details: dict[str, Any]) -> None:
        self._shell.take_progress(Progress(self._number, progress, details))


_NAMES: Final = {st.SCHEDULING: "scheduling", st.WAITING: "waiting", st.ANALYZING: "analyzing"}


class Watch:
    """Measures how long the engine is in each of its states; atoms are counted when somebody asks.

    Args:
        gather: whether such numbers are wanted; how long a run took is kept in any case.
    """

    def __init__(self, gather: bool) -> None:
        self._gather = gather
        self._shell: Shell | None = None
        self._numbers: dict[str, Any] = {}
        self._began = 0.0
        self._forget()

    def _forget(self) -> None:
        self._seconds = dict.fromkeys(_NAMES, 0.0)
        self._state: str | None = None
        self._since = 0.0

    def begin(self, shell: Shell) -> None:
        """Begin anew with a run.

        Args:
            shell: carries the run out, and knows how many atoms are where.
        """
        self._shell = shell
        self._numbers = {}
        self._forget()
        self._began = time.monotonic()

    def enter(self, state: str) -> str:
        """Note that the engine comes to a state, which is returned."""
        if self._gather:
            now = time.monotonic()
            if self._state is not None:
                self._seconds[self._state] += now - self._since
            self._state, self._since = state, now
        return state

    def end(self) -> None:
        """Note that the run is over, and let go of it."""
        now = time.monotonic()
        if self._state is not None:
            self._seconds[self._state] += now - self._since
        self._count()
        self._shell = None
        self._numbers["active_for"] = now - self._began

    def numbers(self) -> dict[str, Any]:
        """Return the numbers about the present or last run, as they are now."""
        self._count()
        return self._numbers

    def _count(self) -> None:
        shell = self._shell
        if self._gather and shell is not None:
            self._numbers.update(
                seconds_per_state={name: self._seconds[state] for state, name in _NAMES.items()},
                completed=shell.completed,
                discarded_failures=shell.discarded,
                incomplete=shell.core.running,
                awaiting=shell.core.awaiting,
            )


class Rounds:
    """Goes round until the flow rests.

    Args:
        watch: is told of each stage of a round.
        move_flow: moves the flow to a state and tells of it.
    """

    def __init__(self, watch: Watch, move_flow: Callable[[str], None]) -> None:
        self._watch = watch
        self._move_flow = move_flow
        self._pause = False

    def begin(self) -> None:
        """Forget what was asked for before."""
        self._pause = False

    def suspend(self, executor: Executor) -> None:
        """Ask for a pause; any thread may call this.

        Args:
            executor: what the round waits for.
        """
        self._pause = True
        executor.report(Wake())

    def go(
        self, shell: Shell, executor: Executor, timeout: float | None, *, stepwise: bool
    ) -> Generator[str, None, None]:
        """Go round.

        Args:
            shell: carries out what is decided.
            executor: performs the calls.
            timeout: how many seconds to wait for calls before looking up again.
            stepwise: somebody looks at each stage, and may ask for a pause there.

        Yields:
            The engine's states, if somebody looks.
        """
        core, watch = shell.core, self._watch
        events: list[c.Event] = []
        begun = False
        while True:
            idle = stepwise and begun and shell.idle(asked=self._pause)
            if not idle:
                stage = watch.enter(st.SCHEDULING)
                if stepwise:
                    yield stage
            events += self._orders(shell, executor)
            if begun:
                commands = core.handle(events)
            else:
                commands = core.hear(events) + core.start()
                begun = True
            shell.carry_out(commands)
            if shell.rest is not None:
                break
            stage = watch.enter(st.WAITING)
            if stepwise:
                yield stage
            reports = executor.wait(timeout)
            stage = watch.enter(st.ANALYZING)
            if stepwise:
                yield stage
            events = shell.events_of(reports)
            if stepwise or shell.listening:
                # Those who see an end may ask for a pause, which is to count before anything begins.
                shell.carry_out(core.hear(events))
                events = []
        if stepwise and not idle:  # TaskFlow's machine goes all the way round before it rests
            yield from map(watch.enter, (st.WAITING, st.ANALYZING))

    def _orders(self, shell: Shell, executor: Executor) -> list[c.Event]:
        """Turn what came from outside into what the core hears."""
        orders: list[c.Event] = []
        if self._pause:
            self._pause = False
            self._move_flow(st.SUSPENDING)
            executor.cancel()
            orders.append(c.Suspended())
        if shell.troubles:
            orders.append(c.Broke())
        return orders
