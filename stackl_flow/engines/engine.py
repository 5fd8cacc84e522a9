"""The engine: prepares a flow, runs its loop, and raises the failures that are left."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from stackl_flow import codec as codecs
from stackl_flow import error_text
from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.engines import base
from stackl_flow.engines.base import EngineOptions
from stackl_flow.engines.executors import threads
from stackl_flow.engines.executors.base import Executor
from stackl_flow.engines.executors.calls import Wrapper
from stackl_flow.engines.executors.serial import SerialExecutor
from stackl_flow.engines.interrupts import InterruptHandler
from stackl_flow.engines.journal import Journal
from stackl_flow.engines.loop import Loop, Statistics, notify_transitions
from stackl_flow.engines.plan import Plan, compile_flow
from stackl_flow.engines.scheduler import Scheduler, read_batch
from stackl_flow.engines.storage import Storage
from stackl_flow.engines.values import ArgumentBinder, InjectedValues, Providers
from stackl_flow.events import FlowTransition
from stackl_flow.failure import Failure
from stackl_flow.patterns.base import Item
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import FlowDetail

if TYPE_CHECKING:
    from stackl_flow.engines.executors.wire import Encoder

#: States in which a run ends without raising the failures of atoms.
_STATES_WITHOUT_ERRORS = frozenset({st.SUCCESS, st.SUSPENDED})


class FlowEngine(base.Engine):
    """Runs a flow on an executor.

    A subclass may override ``create_executor`` and ``create_storage``, and set ``loop_class``.

    Args:
        flow: the flow, or a lone task.
        flow_detail: the flow's detail.
        backend: where the detail is stored; None keeps it in this process.
        options: see ``EngineOptions``, and the options of the executor.

    Attributes:
        executor: performs the calls.
    """

    #: The loop of each run.
    loop_class: ClassVar[type[Loop]] = Loop

    #: Whether atoms that were selected together with one that fails run, as in TaskFlow.
    finish_selected: ClassVar[bool] = False

    def __init__(
        self,
        flow: Item,
        flow_detail: FlowDetail,
        backend: Backend | None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(flow, flow_detail, backend, options)
        self._engine_options = EngineOptions.from_mapping(self._options, self.EXTRA_OPTIONS)
        self._journal = Journal(flow_detail, backend, self._engine_options.clock, self._engine_options.owner)
        self._injected = InjectedValues(self._journal)
        self._storage = self.create_storage(self._journal, self._injected, self._get_providers)
        self._run_lock = threading.Lock()
        self._plan: Plan | None = None
        self._arguments: ArgumentBinder | None = None
        self._is_prepared = False
        self._statistics = Statistics(self._engine_options.gather_statistics)
        self._loop: Loop | None = None
        self._wrappers: list[Wrapper] = list(self._engine_options.wrap)
        self.executor = self.create_executor()

    def create_executor(self) -> Executor:
        """Create the executor that performs the calls."""
        return SerialExecutor()

    def create_storage(
        self, journal: Journal, injected: InjectedValues, providers: Callable[[], Providers | None]
    ) -> Storage:
        """Create the storage; ``providers`` returns the providers once the flow is compiled."""
        return Storage(journal, injected, providers)

    def _get_providers(self) -> Providers | None:
        return None if self._arguments is None else self._arguments.providers

    @property
    def storage(self) -> Storage:
        """State, results and values of the flow."""
        return self._storage

    @property
    def statistics(self) -> dict[str, Any]:
        """Numbers about the current or last run: seconds in each engine state, and counts of atoms."""
        return self._statistics.values()

    @property
    def compilation(self) -> Plan | None:
        """The plan, or None before ``compile``."""
        return self._plan

    def add_wrapper(self, wrap: Wrapper) -> None:
        """Have the work of each call wrapped, for example to trace it; takes effect with the next call.

        ``wrap(call, perform)`` is called in the thread that does the work, with the context variables of the
        task, for ``execute`` and ``revert`` of tasks and retries. It calls ``perform()`` once and returns its
        result; an exception that it raises or lets pass is the failure of the task. The wrapper added first
        is the outermost. ``call`` has ``id`` (flow, atom, action, attempt), ``atom`` and ``arguments``.
        """
        self._wrappers.append(wrap)

    def remove_wrapper(self, wrap: Wrapper) -> None:
        """Remove a wrapper.

        Raises:
            ValueError: it was not added.
        """
        self._wrappers.remove(wrap)

    # ------------------------------------------------------------------ preparation

    def compile(self) -> None:
        """Compile the flow into a plan, once.

        Raises:
            CompilationFailure: the flow cannot be compiled.
            Duplicate: two atoms have the same name.
        """
        if self._plan is None:
            self._plan = compile_flow(self._flow)
            self._arguments = ArgumentBinder(self._plan, self._journal, self._injected)

    def prepare(self) -> None:
        """Take ownership of the flow, match it with what is stored, and reset it if it was reverted.

        Raises:
            InvalidState: the engine is not compiled.
            FlowChanged: the flow does not match what is stored.
            StorageFailure: the backend cannot be used.
        """
        self._prepare()
        try:
            self._journal.commit()
        except BaseException:
            self._discard_state()
            raise

    def _prepare(self) -> None:
        """Prepare without a commit: the changes are written with the next one."""
        plan, _ = self._require_plan("prepare")
        if not self._journal.process.is_here:  # forked since
            self._discard_state()
        self._journal.queues = self.executor.queues
        if not self._is_prepared:
            self._journal.take_ownership(plan)
            self._injected.store_unowned()
            self._change_state(st.RESUMING)
            self._injected.inject_defaults(plan, transient=self._engine_options.inject_transient)
            self._change_state(st.SUSPENDED)
            self._is_prepared = True
        if self._engine_options.reset_reverted and self._storage.get_flow_state() == st.REVERTED:
            self.reset()

    def validate(self) -> None:
        """Check that every required argument has a provider, and that every task can be sent where it runs.

        Raises:
            InvalidState: the engine is not compiled and prepared.
            MissingDependencies: a required argument has no provider.
            NotSupported: the executor sends calls to other processes, which cannot find a task.
        """
        plan, arguments = self._require_plan("validate")
        if not self._is_prepared:
            raise exc.InvalidState("Can not validate an engine which has not had its storage populated")
        arguments.bind()
        if self.executor.target is not None and self.executor.encoder is None:
            self.executor.encoder = self._create_encoder(plan, self.executor.target)

    def _create_encoder(self, plan: Plan, target: str) -> Encoder:
        from stackl_flow.engines.executors.wire import Encoder  # noqa: PLC0415  most executors need none

        codec = codecs.DEFAULT if self._backend is None else self._backend.codec
        return Encoder(plan, self._journal.flow.meta, target, codec, self._engine_options.factories)

    def reset(self) -> None:
        """Reset the flow and all its atoms to PENDING.

        Raises:
            InvalidState: the engine is not prepared, or the flow is running.
        """
        plan, _ = self._require_plan("reset")
        if not self._is_prepared:
            raise exc.InvalidState("Can not reset an engine which has not had its storage populated")
        state = self._storage.get_flow_state()
        if state != st.PENDING:
            st.check_flow_transition(state, st.PENDING)  # raises before any atom is touched
            transitions = self._journal.reset_atoms()
            self._storage.change_flow_state(st.PENDING)
            notify_transitions(transitions, plan, self._journal, self._atom_notifier, {}, {}, {})
            self._notify(st.PENDING, state)

    def _require_plan(self, verb: str) -> tuple[Plan, ArgumentBinder]:
        if self._plan is None or self._arguments is None:
            raise exc.InvalidState(f"Can not {verb} an engine which has not been compiled")
        return self._plan, self._arguments

    # ------------------------------------------------------------------ running

    def run(self, timeout: float | None = None) -> None:
        """Run the flow until it is finished or suspended.

        Args:
            timeout: maximum seconds to wait for calls in one step; None for no limit.

        Raises:
            ExecutionFailure: another thread is running this engine.
            WrappedFailure: several atoms failed; a single failure is raised as itself.
            OwnershipLost: another process has taken the flow over.
            KeyboardInterrupt: Ctrl-C was pressed in the main thread; the flow is suspended.
        """
        if not self._run_lock.acquire(blocking=False):
            raise exc.ExecutionFailure("Engine currently locked, please try again later")
        try:
            loop = self._create_loop()
            with InterruptHandler(loop):
                for _ in self._run_loop(loop, timeout, stepwise=False):
                    pass
            if loop.interrupts:
                raise KeyboardInterrupt
            Failure.reraise_if_any(self._failures(loop))
        finally:
            self._run_lock.release()

    def run_iter(self, timeout: float | None = None) -> Generator[str, bool | None, None]:
        """Run the flow step by step; send a true value, or close the generator, to request suspension.

        Args:
            timeout: maximum seconds to wait for calls in one step; None for no limit.

        Yields:
            The engine's states and, at the end, the flow's.

        Raises:
            WrappedFailure: several atoms failed; a single failure is raised as itself.
            OwnershipLost: another process has taken the flow over.
            KeyboardInterrupt: Ctrl-C was pressed in the main thread during a step; the flow is suspended.
        """
        loop = self._create_loop()
        closed = False
        steps = self._run_loop(loop, timeout, stepwise=True)
        while True:
            with InterruptHandler(loop):
                state = next(steps, None)
            if state is None:
                break
            if closed:
                continue
            try:
                suspend = yield state
            except GeneratorExit:
                closed = True
                self.suspend()
            except Exception:  # noqa: BLE001  an exception thrown into the generator is raised at the end
                closed = True
                loop.abort(Failure())
            else:
                if suspend:
                    self.suspend()
        if loop.interrupts:
            raise KeyboardInterrupt
        failures = self._failures(loop)
        if len(failures) == 1 and error_text.is_a(failures[0].exception, StopIteration):
            raise exc.WrappedFailure(failures)  # Python does not let a generator raise StopIteration
        Failure.reraise_if_any(failures)

    def suspend(self) -> None:
        """Request suspension: running calls finish, nothing new starts. Any thread may call this.

        Without effect if the engine is not running.

        Raises:
            InvalidState: the engine is not compiled.
        """
        self._require_plan("suspend")
        loop = self._loop
        if loop is not None:
            loop.suspend()

    def _create_loop(self) -> Loop:
        self.compile()
        self._prepare()
        try:
            self.validate()
        except exc.MissingDependencies:
            self._journal.commit()  # there is no run whose commits would include what was prepared
            raise
        plan, arguments = self._require_plan("run")
        details = self._journal.details
        scheduler = Scheduler(
            plan,
            [detail.state or st.PENDING for detail in details],
            [detail.intention or st.EXECUTE for detail in details],
            slots=self.executor.slots,
            in_batches=self.executor.in_batches,
            batch=read_batch(self._journal.flow.meta, plan),
            defer_reverts=self._engine_options.defer_reverts,
            never_resolve=self._engine_options.never_resolve,
            finish_selected=self.finish_selected,
        )
        return self.loop_class(
            plan, scheduler, self._journal, self._storage, arguments, self.executor,
            self._atom_notifier, self._statistics, self._change_state, self._wrappers, self._journal.process,
        )  # fmt: skip

    def _run_loop(self, loop: Loop, timeout: float | None, *, stepwise: bool) -> Generator[str, None, None]:
        self._statistics.begin(loop)
        self._loop = loop
        self.executor.start(loop.mailbox)
        try:
            self._change_state(st.RUNNING)
            if stepwise:
                self._journal.commit()  # the caller may read the stored flow between steps
            yield st.RESUMING
            yield from loop.run(timeout, stepwise=stepwise)
        except BaseException:
            self._discard_state()
            raise
        finally:
            self._loop = None
            if self._journal.process.is_here:  # the threads of an executor do not exist in a forked child
                self.executor.stop(wait=loop.interrupts <= 1)
            self._journal.close()
            self._statistics.end()
        if loop.result_state is not None and loop.previous_state is not None:
            self._notify(loop.result_state, loop.previous_state)
            self._journal.close()  # an observer may have changed metadata, which opens the connection again
            yield loop.result_state

    def _failures(self, loop: Loop) -> list[Failure]:
        """Return the failures to raise at the end of a run."""
        if loop.errors or loop.result_state in _STATES_WITHOUT_ERRORS:
            return loop.errors
        if loop.unresolved:
            return loop.unresolved
        storage = self._storage
        return [*storage.get_execute_failures().values(), *storage.get_revert_failures().values()]

    def _change_state(self, state: str) -> None:
        """Change the flow's state and notify; it is written with the next commit."""
        changed, previous = self._journal.change_flow_state(state)
        if changed:
            self._notify(state, previous)

    def _discard_state(self) -> None:
        """Have the next run read the flow again: what was not written did not happen."""
        self._is_prepared = self._backend is None

    def _notify(self, state: str, previous: str) -> None:
        event = FlowTransition(state, previous, self._storage.flow_name, self._storage.flow_uuid, self)
        self._notifier.notify(state, event.details())


class SerialEngine(FlowEngine):
    """Runs one atom after the other, in the thread that calls ``run``."""


class ParallelEngine(FlowEngine):
    """Runs atoms concurrently, on threads or on an executor that you pass.

    Its extra options: ``executor`` (a ``concurrent.futures`` or futurist executor, which may be shared, or a
    name: "threads", "greenthreads" or that of an entry point in ``stackl_flow.executors``) and
    ``max_workers``.
    """

    EXTRA_OPTIONS = frozenset({"executor", "max_workers"})

    def create_executor(self) -> Executor:
        """Create an executor from the options ``executor`` and ``max_workers``."""
        return threads.create_executor(self._options.get("executor"), self._options.get("max_workers"))
