"""The shell: carries out what the core commands, and tells it what came of that.

This is where a decision meets the world: moves go to the ledger, questions to retries and deciders, calls to
the executor, news to the listeners. It runs in the engine's thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from stackl_flow import exceptions as exc
from stackl_flow import secrecy
from stackl_flow import states as st
from stackl_flow.atom import Atom, signature_of
from stackl_flow.calls import EXECUTE, REVERT, Call, Cancelled, Completion, Progress, Report, perform
from stackl_flow.engines import commands as c
from stackl_flow.engines import waves
from stackl_flow.engines.arguments import Arguments
from stackl_flow.engines.executors.base import Executor
from stackl_flow.engines.ledger import Ledger
from stackl_flow.engines.plan import RETRY, TASK, Plan
from stackl_flow.engines.run import Run
from stackl_flow.engines.storage import Storage
from stackl_flow.events import NO_RESULT, AtomMoved
from stackl_flow.failure import Failure
from stackl_flow.notifier import Notifier
from stackl_flow.patterns.deciders import pick_widest
from stackl_flow.retry import EXECUTE_REVERT_HISTORY, Decision, Retry
from stackl_flow.task import REVERT_FLOW_FAILURES, REVERT_RESULT, Task

_LOG = secrecy.logger(__name__)


class Shell:
    """Carries out one run.

    Args:
        plan: what runs.
        core: decides.
        ledger: remembers.
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
        core: Run,
        ledger: Ledger,
        storage: Storage,
        arguments: Arguments,
        executor: Executor,
        notifier: Notifier,
    ) -> None:
        self._plan = plan
        self.core = core
        self._ledger = ledger
        self._storage = storage
        self._arguments = arguments
        self._executor = executor
        self._notifier = notifier
        #: Whether a task tells of its progress itself.
        self._watched = any(isinstance(atom, Task) and atom.tells_progress for atom in plan.atoms)
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
                self._ledger.keep_progress(*entry)
            elif isinstance(entry, Cancelled):
                events.append(c.Dropped(entry.number))
        return events

    def _completed(self, entry: Completion) -> c.Event:
        number, action, result = entry
        self.completed += 1
        if action == EXECUTE:
            result = self._ledger.keep_executed(number, result)
            failed = isinstance(result, Failure)
            event: c.Event = c.Executed(number, not failed)
            outputs = self._plan.atoms[number].outputs
            if failed:
                self.discarded += self.core.resolves
            elif outputs and outputs[0][1] is not None:
                self._arguments.check_outputs(number, result)
        else:
            self._ledger.keep_reverted(number, result)
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
            self._ledger.commit()  # progress alone: nothing waits for it, but somebody may be looking
        while commands:
            calls = self._settle(commands)
            if self.rest is not None:
                _, self.rest_from = self._ledger.move_flow(self.rest)
            self._ledger.commit()
            self._tell()
            if self.rest is not None:
                self._ledger.commit()  # no later entry will take along what listeners noted just now
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
                    moved = self._ledger.move(command)
                    if listening and moved is not None:
                        self._told.append(moved)
                elif isinstance(command, (c.Execute, c.Revert)):
                    calls.append(command)
                elif isinstance(command, c.Consult):
                    answers.append(self._guarded(self._consult, command))
                elif isinstance(command, c.Vote):
                    answers.append(self._guarded(self._vote, command))
                elif isinstance(command, c.Wave):
                    self._ledger.note(waves.noted(self._ledger.flow.meta, command, self._plan))
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
        failure = self._ledger.by_name[failed].failure
        if failure is not None:
            self._ledger.keep_attempt_failure(command.retry, command.asker, failure)
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
            if self._ledger.state_of(decider.source) == st.IGNORE:
                ignored.add(decider.source)
            else:
                history[self._plan.names[decider.source]] = self._ledger.values[decider.source]
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
            detail = self._ledger.details[number]
            extras[REVERT_RESULT] = detail.results if detail.failure is None else detail.failure
        else:
            extras[EXECUTE_REVERT_HISTORY] = self._storage.get_retry_history(self._plan.names[number])
        takes = self._read(atom.revert)
        return extras if takes.takes_any else {n: v for n, v in extras.items() if n in takes.known}

    def take_progress(self, told: Progress) -> None:
        """Take what a task tells of its progress while it runs; any thread may call this.

        Args:
            told: the progress.
        """
        if not self._executor.here():
            self._executor.report(told)
            return
        self._ledger.keep_progress(*told)
        try:
            self._ledger.commit()
        except exc.StorageFailure as error:
            # Not the task's fault; it stays on the page, and the engine's next write meets the same trouble.
            _LOG.warning("progress of atom '%s' is not stored yet: %s", self._plan.names[told.number], error)

    # ------------------------------------------------------------- telling

    def _tell(self) -> None:
        if self._told:
            told, self._told = self._told, []
            tell_moves(told, self._plan, self._ledger, self._notifier, self._results)


def tell_moves(
    moves: Iterable[c.Moved],
    plan: Plan,
    ledger: Ledger,
    notifier: Notifier,
    results: dict[int, Any],
) -> None:
    """Tell listeners of atoms' moves.

    Args:
        moves: the moves, in the order in which they were made.
        plan: gives the atoms.
        ledger: gives their identities.
        notifier: knows who wants to be told.
        results: what their methods gave, by number; what is told is taken out.
    """
    for number, old, new in moves:
        atom = plan.atoms[number]
        kind, uuid = plan.kinds[number], ledger.details[number].uuid
        result = results.pop(number, NO_RESULT) if new in _WITH_RESULT else NO_RESULT
        notifier.notify(new, AtomMoved(new, old, kind, plan.names[number], uuid, result).details())
        if new in _PROGRESS and isinstance(atom, Task) and atom.tells_progress:
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
