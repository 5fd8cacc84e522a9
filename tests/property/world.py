"""A simulated engine for the scheduler: performs its commands in any order, and checks each of them.

Everything that happens follows from the case and from what would be durable, so that an interrupted run
can be resumed and compared with one that was not interrupted.
"""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

from stackl_flow import states as st
from stackl_flow.engines import commands as c
from stackl_flow.engines.plan import FLOW, FLOW_END, RETRY, Plan, compile_flow
from stackl_flow.engines.scheduler import NO_BATCH, Scheduler
from stackl_flow.patterns import deciders
from stackl_flow.retry import Decision
from tests.support.random_flows import ALWAYS, OURS, Builder, Case, Recorder

#: More steps than a flow of a dozen atoms can need.
ENOUGH = 3000
DONE = {st.SUCCESS, st.IGNORE}
CLEAR = {st.PENDING, st.REVERTED, st.IGNORE}


@functools.lru_cache(maxsize=16)
def plan_for(case: Case) -> Plan:
    """Compile a case's flow."""
    return compile_flow(Builder(OURS, Recorder()).flow(case.flow))


class World:
    """One case, run to its end through any number of interruptions.

    Args:
        case: what runs.
        dice: chooses the order of completions; None for the order in which calls started.
        slots: maximum number of concurrent calls.
        in_batches: the scheduler's option of that name.
    """

    def __init__(
        self,
        case: Case,
        dice: random.Random | None = None,
        *,
        slots: int | None = None,
        in_batches: bool = False,
    ) -> None:
        self.plan = plan_for(case)
        self.specs = {atom.name: atom for atom in case.flow.atoms()}
        self.dice, self.slots = dice, slots
        self.options = {"slots": slots, "in_batches": in_batches, **dict(case.options)}
        count = len(self.plan)
        self.states, self.intentions = [st.PENDING] * count, [st.EXECUTE] * count
        self.batch = NO_BATCH
        self.before = [self._reach(index, self.plan.predecessors) for index in range(count)]
        self.behind = [self._reach(index, self.plan.successors) for index in range(count)]
        self.executions, self.reversions = [0] * count, [0] * count
        self.history: dict[int, int] = Counter()
        self.pending: list[int] = []
        self.log: list[tuple[list[c.Event] | None, list[c.Command]]] = []
        self.final_state: str | None = None

    def _reach(self, start: int, ways: tuple[tuple[int, ...], ...]) -> set[int]:
        seen, queue = {start}, [start]
        for node in queue:
            fresh = [other for other in ways[node] if other not in seen]
            seen.update(fresh)
            queue.extend(fresh)
        return {node for node in seen if node < len(self.plan)} - {start}

    # ------------------------------------------------------------------ running

    def run(self, *, steps: int = ENOUGH, suspend_at: int = -1) -> str | None:
        """Run until the flow is finished, or stop as a crash would.

        Returns:
            The flow's final state, None when stopped.
        """
        scheduler = Scheduler(self.plan, self.states, self.intentions, batch=self.batch, **self.options)
        self.pending, self.log, self.final_state = [], [], None
        self.initial = (list(self.states), list(self.intentions))
        self.initial_batch = self.batch
        events: list[c.Event] | None = None
        for step in range(steps):
            commands = scheduler.start() if events is None else scheduler.handle(events)
            self.log.append((events, list(commands)))
            answers = [answer for command in commands if (answer := self._perform(command))]
            if self.final_state is not None:
                self._check_final_state()
                return self.final_state
            assert answers or self.pending, "nothing runs, no question is open, and the flow has not ended"
            events = answers or self._next_completions()
            if step == suspend_at:
                events = [*events, c.Suspended()]
        assert steps < ENOUGH, "the run does not end"
        return None

    def replayed(self) -> list[list[c.Command]]:
        """Feed the recorded events of the last run to a new scheduler and return its commands."""
        scheduler = Scheduler(self.plan, *self.initial, batch=self.initial_batch, **self.options)
        return [scheduler.start() if events is None else scheduler.handle(events) for events, _ in self.log]

    def _next_completions(self) -> list[c.Event]:
        size = 1
        if self.dice is not None:
            self.dice.shuffle(self.pending)
            size = self.dice.randint(1, len(self.pending))
        completed, self.pending = self.pending[:size], self.pending[size:]
        return [self._outcome(index) for index in completed]

    def _outcome(self, index: int) -> c.Event:
        spec = self.specs[self.plan.names[index]]
        if self.states[index] == st.REVERTING:
            if self.plan.kinds[index] == RETRY:
                return c.Reverted(index, ok=True)
            limit, count = spec.revert_fails, self.reversions[index]
            return c.Reverted(index, ok=limit != ALWAYS and count > limit)
        if self.plan.kinds[index] == RETRY:
            return c.Executed(index, ok=True)
        return c.Executed(index, ok=spec.fails != ALWAYS and self.executions[index] > spec.fails)

    # ---------------------------------------------------------------- commands

    def _perform(self, command: c.Command) -> c.Event | None:
        assert self.final_state is None, "a command after the end"
        match command:
            case c.Transition():
                self._transition(command)
            case c.Execute(index):
                self._begin(index, st.RUNNING)
                assert all(self.states[other] in DONE for other in self.before[index])
            case c.Revert(index):
                self._begin(index, st.REVERTING)
                assert all(self.states[other] in CLEAR for other in self.behind[index])
            case c.Recall(index):
                return self._recall(index)
            case c.EvaluateRetry(retry, failed, _):
                assert self.states[failed] == st.FAILURE
                return c.RetryEvaluated(retry, self._decision(retry))
            case c.Batch():
                self.batch = command
            case c.EvaluateDeciders(index):
                return c.DecidersEvaluated(index, self._vote(index))
            case c.Finish(state):
                self.final_state = state
        return None

    def _recall(self, index: int) -> c.Event | None:
        """Recall a call that has not started: the dice decide whether it has."""
        if index not in self.pending or self.dice is None or self.dice.random() < 1 / 2:
            return None
        if self.plan.kinds[index] == RETRY:
            return None  # it is performed at once
        self.pending.remove(index)
        return c.Recalled(index)

    def _transition(self, transition: c.Transition) -> None:
        index, old = transition.atom, self.states[transition.atom]
        if transition.state_changed:
            allowed = (
                st.check_retry_transition if self.plan.kinds[index] == RETRY else st.check_task_transition
            )
            assert allowed(old, transition.state), (self.plan.names[index], old, transition.state)
        else:
            assert transition.state == old
        assert index not in self.pending or transition.state == old, "a call is under way"
        self.states[index], self.intentions[index] = transition.state, transition.intention
        if (
            transition.state_changed
            and self.plan.kinds[index] == RETRY
            and transition.state in {st.SUCCESS, st.REVERTED}
        ):
            self.history[index] = self.history[index] + 1 if transition.state == st.SUCCESS else 0
        if old == st.RUNNING and transition.state == st.PENDING:
            self.executions[index] -= 1
        if transition.state_changed and transition.state == st.RUNNING:
            self.executions[index] += 1
            if self.plan.kinds[index] != RETRY:
                assert self.executions[index] == self.reversions[index] + 1, (
                    "executed, not reverted, executed"
                )
        if transition.state_changed and transition.state == st.REVERTING and old != st.REVERT_FAILURE:
            self.reversions[index] += 1
            if self.plan.kinds[index] != RETRY:
                assert self.executions[index] == self.reversions[index], "reverted without an execution"

    def _begin(self, index: int, state: str) -> None:
        assert self.states[index] == state, "a call before its transition"
        assert index not in self.pending
        self.pending.append(index)
        assert self.slots is None or len(self.pending) <= self.slots

    def _decision(self, retry: int) -> Decision:
        spec = self.specs[self.plan.names[retry]]
        if spec.kind == "AlwaysRevert":
            return Decision.REVERT
        if spec.kind == "AlwaysRevertAll":
            return Decision.REVERT_ALL
        limit = 2 if spec.kind == "ParameterizedForEach" else spec.attempts
        if self.history[retry] < limit:
            return Decision.RETRY
        return Decision.REVERT_ALL if spec.revert_all else Decision.REVERT

    def _vote(self, index: int) -> deciders.Depth | None:
        held = self.plan.deciders[index]
        sources = {each.source for each in held if self.plan.kinds[each.source] not in {FLOW, FLOW_END}}
        ignored = {source for source in sources if self.states[source] == st.IGNORE}
        history: Mapping[str, Any] = {
            self.plan.names[source]: f"{self.plan.names[source]}#{self.executions[source]}"
            for source in sources - ignored
        }
        against = [
            each.depth for each in held if each.source not in ignored and not each.decide(history=history)
        ]
        return deciders.pick_widest(against) if against else None

    # --------------------------------------------------------------------- end

    def _check_final_state(self) -> None:
        assert not self.pending
        assert self.batch == NO_BATCH or self.final_state in {st.SUSPENDED, st.REVERT_FAILURE}
        happy = all(state in DONE for state in self.states)
        assert (self.final_state == st.SUCCESS) == (happy and self.final_state != st.SUSPENDED)
        if self.final_state == st.REVERT_FAILURE:
            assert st.REVERT_FAILURE in self.states
        if self.final_state in {st.SUCCESS, st.REVERTED}:
            assert {*self.states} <= {st.SUCCESS, st.REVERTED, st.PENDING, st.IGNORE}
        for index, state in enumerate(self.states):
            if self.plan.kinds[index] != RETRY and state not in {st.RUNNING, st.REVERTING}:
                should_be_done = state in {st.SUCCESS, st.FAILURE}
                assert self.executions[index] - self.reversions[index] == should_be_done
