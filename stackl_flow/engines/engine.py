"""The engine: the only place where deciding meets doing.

It gets a flow ready, has it go round until it rests, and raises what is left of its failures.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from typing import Any, ClassVar

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.engines import base, scheduler
from stackl_flow.engines.base import Options
from stackl_flow.engines.executors.base import Executor
from stackl_flow.engines.executors.calls import Wake
from stackl_flow.engines.executors.serial import SerialExecutor
from stackl_flow.engines.executors.threads import executor_for
from stackl_flow.engines.journal import Journal
from stackl_flow.engines.loop import Rounds, Shell, Watch, tell_moves
from stackl_flow.engines.plan import Plan, compile_flow
from stackl_flow.engines.scheduler import Scheduler
from stackl_flow.engines.storage import Storage
from stackl_flow.engines.values import Arguments, InjectedValues, Providers
from stackl_flow.events import FlowTransition
from stackl_flow.failure import Failure
from stackl_flow.patterns.base import Item
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import FlowDetail

_QUIET = frozenset({st.SUCCESS, st.SUSPENDED})


class FlowEngine(base.Engine):
    """Runs a flow on an executor.

    Args:
        flow: the flow, or a lone task.
        flow_detail: what is known of it.
        backend: where that is stored, or None to keep it in this process.
        options: see ``Options``; those of the executor besides.
    """

    #: Carries out each run; a facade may have another.
    _SHELL: ClassVar[type[Shell]] = Shell

    def __init__(
        self,
        flow: Item,
        flow_detail: FlowDetail,
        backend: Backend | None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(flow, flow_detail, backend, options)
        self._told = Options.read(self._options, self.EXTRA_OPTIONS)
        self._journal = Journal(flow_detail, backend, self._told.clock, self._told.owner)
        self._given = InjectedValues(self._journal)
        self._storage = Storage(self._journal, self._given, self._providers)
        self._lock = threading.Lock()
        self._plan: Plan | None = None
        self._arguments: Arguments | None = None
        self._prepared = False
        self._validated = False
        self._watch = Watch(self._told.gather_statistics)
        self._round = Rounds(self._watch, self._change_state)
        self._executor = self._make_executor()

    def _make_executor(self) -> Executor:
        """Make what performs the calls."""
        return SerialExecutor()

    def _providers(self) -> Providers | None:
        return None if self._arguments is None else self._arguments.providers

    @property
    def storage(self) -> Storage:
        """Answers what there is to know of the flow."""
        return self._storage

    @property
    def statistics(self) -> dict[str, Any]:
        """Numbers about the present or last run: seconds by engine state, counts of atoms."""
        return self._watch.numbers()

    @property
    def compilation(self) -> Plan | None:
        """The plan, or None before ``compile``."""
        return self._plan

    # ------------------------------------------------------------- getting ready

    def compile(self) -> None:
        """Make the plan, once.

        Raises:
            CompilationFailure: the flow cannot be made into a plan.
            Duplicate: two atoms have one name.
        """
        if self._plan is None:
            self._plan = compile_flow(self._flow)
            self._arguments = Arguments(self._plan, self._journal, self._given)

    def prepare(self) -> None:
        """Take the flow over, match it with what is stored, and set it back if it had been undone.

        Raises:
            InvalidState: it was not compiled.
            FlowChanged: the flow is not the one that was stored.
            StorageFailure: the backend cannot be used.
        """
        self._take_up()
        try:
            self._journal.commit()
        except BaseException:
            self._forget()
            raise

    def _take_up(self) -> None:
        """Take the flow over; what is noted of that goes with the next entry."""
        plan, _ = self._compiled("prepare")
        if not self._prepared:
            self._journal.open(plan)
            self._given.settle()
            self._change_state(st.RESUMING)
            self._given.give_own(plan, transient=self._told.inject_transient)
            self._change_state(st.SUSPENDED)
            self._prepared = True
        if self._told.reset_reverted and self._storage.get_flow_state() == st.REVERTED:
            self.reset()

    def validate(self) -> None:
        """Check that every atom can get what it needs.

        Raises:
            InvalidState: it was not compiled and prepared.
            MissingDependencies: nobody provides something that is needed.
        """
        _, arguments = self._compiled("validate")
        if not self._prepared:
            raise exc.InvalidState("Can not validate an engine which has not had its storage populated")
        arguments.bind()
        self._validated = True

    def reset(self) -> None:
        """Set the flow and all its atoms back to the beginning.

        Raises:
            InvalidState: it was not prepared, or the flow is running.
        """
        plan, _ = self._compiled("reset")
        if not self._prepared:
            raise exc.InvalidState("Can not reset an engine which has not had its storage populated")
        state = self._storage.get_flow_state()
        if state != st.PENDING:
            st.check_flow_transition(state, st.PENDING)  # refused before any atom is touched
            moves = self._journal.reset_atoms()
            self._storage.change_flow_state(st.PENDING)
            tell_moves(moves, plan, self._journal, self._atom_notifier, {})
            self._tell(st.PENDING, state)

    def _compiled(self, what: str) -> tuple[Plan, Arguments]:
        if self._plan is None or self._arguments is None:
            raise exc.InvalidState(f"Can not {what} an engine which has not been compiled")
        return self._plan, self._arguments

    # ------------------------------------------------------------- running

    def run(self, timeout: float | None = None) -> None:
        """Run the flow to its end, or to a suspension.

        Args:
            timeout: how many seconds to wait for calls before looking up again; None: as long as it takes.

        Raises:
            ExecutionFailure: another thread is running this engine.
            WrappedFailure: several atoms failed; a single failure is raised as itself.
            OwnershipLost: another process has taken the flow over.
        """
        if not self._lock.acquire(blocking=False):
            raise exc.ExecutionFailure("Engine currently locked, please try again later")
        try:
            shell = self._shell()
            for _ in self._rounds(shell, timeout, stepwise=False):
                pass
            Failure.reraise_if_any(self._failures(shell))
        finally:
            self._lock.release()

    def run_iter(self, timeout: float | None = None) -> Generator[str, bool | None, None]:
        """Run the flow step by step; sending a true value, or closing, asks for a pause.

        Args:
            timeout: how many seconds to wait for calls before looking up again.

        Yields:
            The engine's states and, at last, the flow's.

        Raises:
            WrappedFailure: several atoms failed; a single failure is raised as itself.
            OwnershipLost: another process has taken the flow over.
        """
        shell = self._shell()
        closed = False
        for state in self._rounds(shell, timeout, stepwise=True):
            if closed:
                continue
            try:
                pause = yield state
            except GeneratorExit:
                closed = True
                self.suspend()
            except Exception:  # noqa: BLE001  whatever was thrown in is raised again at the end
                closed = True
                shell.troubles.append(Failure())
                self._executor.report(Wake())
            else:
                if pause:
                    self.suspend()
        failures = self._failures(shell)
        if len(failures) == 1 and isinstance(failures[0].exception, StopIteration):
            raise exc.WrappedFailure(failures)  # Python lets no generator raise StopIteration itself
        Failure.reraise_if_any(failures)

    def suspend(self) -> None:
        """Ask for a pause: what runs may finish, nothing new begins. Any thread may call this.

        Raises:
            InvalidState: it was not compiled.
        """
        self._compiled("suspend")
        self._round.suspend(self._executor)

    def _failures(self, shell: Shell) -> list[Failure]:
        """Collect what is to be raised at the end."""
        if shell.troubles or shell.rest in _QUIET:
            return shell.troubles
        if shell.unresolved:
            return shell.unresolved
        storage = self._storage
        return [*storage.get_execute_failures().values(), *storage.get_revert_failures().values()]

    def _shell(self) -> Shell:
        """Get everything ready for one run."""
        self.compile()
        self._take_up()
        try:
            self.validate()
        except exc.MissingDependencies:
            self._journal.commit()  # no entry of a run will take along what was noted
            raise
        plan, arguments = self._compiled("run")
        details = self._journal.details
        core = Scheduler(
            plan,
            [detail.state or st.PENDING for detail in details],
            [detail.intention or st.EXECUTE for detail in details],
            slots=self._executor.slots,
            in_waves=self._executor.waves,
            wave=scheduler.read(self._journal.flow.meta, plan),
            defer_reverts=self._told.defer_reverts,
            never_resolve=self._told.never_resolve,
        )
        return self._SHELL(
            plan, core, self._journal, self._storage, arguments, self._executor, self._atom_notifier
        )

    def _rounds(self, shell: Shell, timeout: float | None, *, stepwise: bool) -> Generator[str, None, None]:
        self._watch.begin(shell)
        self._round.begin()
        self._executor.start()
        try:
            self._change_state(st.RUNNING)
            if stepwise:
                self._journal.commit()  # whoever takes the steps may be looking
            yield st.RESUMING
            yield from self._round.go(shell, self._executor, timeout, stepwise=stepwise)
        except BaseException:
            self._executor.cancel()  # nobody will hear of what has not begun
            self._forget()
            raise
        finally:
            self._executor.stop()
            self._journal.close()
            self._watch.end()
        if shell.rest is not None and shell.rest_from is not None:
            self._tell(shell.rest, shell.rest_from)
            self._journal.close()  # a listener may have taken a note, which opens the connection again
            yield shell.rest

    def _change_state(self, state: str) -> None:
        """Move the flow and tell of it; it is written with the moves of the atoms that follow."""
        moved, old = self._journal.move_flow(state)
        if moved:
            self._tell(state, old)

    def _forget(self) -> None:
        """Have the flow read anew by the next run: what was not written did not happen."""
        self._prepared = self._backend is None

    def _tell(self, state: str, old: str) -> None:
        told = FlowTransition(state, old, self._storage.flow_name, self._storage.flow_uuid, self)
        self._notifier.notify(state, told.details())


class SerialEngine(FlowEngine):
    """Runs one atom after the other, in the thread that calls ``run``."""


class ParallelEngine(FlowEngine):
    """Runs atoms at the same time, on threads or on an executor that is given.

    Its further options: ``executor`` (a ``concurrent.futures`` or futurist executor, which may be shared, or
    a word: "threads", "greenthreads") and ``max_workers``.
    """

    EXTRA_OPTIONS = frozenset({"executor", "max_workers"})

    def _make_executor(self) -> Executor:
        return executor_for(self._options.get("executor"), self._options.get("max_workers"))
