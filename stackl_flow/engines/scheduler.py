"""The scheduler: decides what runs next.

A pure object: events go in, commands come out. It does no I/O and has no clock, lock, thread or user code.

The rules are TaskFlow's, but for one. A failure is passed to the atom's nearest retry, then to the retries
around that one. A decider that rejects an atom has it ignored. After a failure, atoms that are to be reverted
are not started any more, and calls of them that have not begun are recalled: their atoms are PENDING again.
In TaskFlow, and with ``finish_selected``, atoms that were selected together run together even when one of
them fails.

A serial engine works in batches: all atoms of a batch complete before anything else is selected. To keep that
across a crash, a batch of several atoms is stored in the flow's metadata, in
the transaction in which its first atom starts. A run that resumes the flow finishes that batch first, and so
ends like the interrupted one would have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from stackl_flow import states as st
from stackl_flow.engines import commands as c
from stackl_flow.engines.atom_table import (
    EXECUTE,
    FAILED,
    IGNORE,
    IGNORED,
    INTENTION_CODES,
    INTENTIONS,
    PENDING,
    RETRY,
    RETRYING,
    REVERT,
    REVERT_FAILED,
    REVERTED,
    REVERTING,
    RUNNING,
    STATE_CODES,
    STATES,
    SUCCEEDED,
    AtomTable,
)
from stackl_flow.engines.commands import Batch
from stackl_flow.engines.plan import RETRY as RETRY_KIND
from stackl_flow.engines.plan import Plan
from stackl_flow.retry import Decision

#: Key in the flow's metadata; present only while a batch of several atoms is running.
META_BATCH: Final = "batch"

NO_BATCH: Final = Batch((), ())

#: Instead of the number of an atom: the whole flow.
EVERYTHING: Final = -1


def batch_names(batch: Batch, plan: Plan) -> dict[str, list[str]] | None:
    """Return a batch by name, as atoms are matched by name on resume; None for no batch."""
    if batch == NO_BATCH:
        return None
    names = plan.names
    return {kind: [names[index] for index in part] for kind, part in batch._asdict().items()}


def read_batch(meta: Mapping[str, Any], plan: Plan) -> Batch:
    """Read the batch from a flow's metadata; atoms that the plan no longer has are left out."""
    if META_BATCH not in meta:
        return NO_BATCH
    parts = {
        kind: tuple(plan.index[name] for name in names if name in plan.index)
        for kind, names in meta[META_BATCH].items()
    }
    return Batch(**parts)


class Scheduler:
    """Decides one run of a plan.

    Args:
        plan: the plan.
        states: each atom's state at the beginning; all PENDING if left out.
        intentions: each atom's intention at the beginning; all EXECUTE if left out.
        slots: how many calls may run at once; None for no limit.
        in_batches: select the next batch only when the previous one is complete, as a serial engine does.
        batch: the batch that an earlier run stored last.
        defer_reverts: an inner retry that gives up has everything reverted, not only its own flow.
        never_resolve: a failure stops the flow; nothing is reverted and no retry is asked.
        finish_selected: atoms that were selected together with one that fails run, as in TaskFlow.

    Attributes:
        resolves_failures: whether failures are passed to retries and reverted.
    """

    __slots__ = (
        "_aborted", "_batch", "_calls", "_commands", "_defer_reverts", "_failed", "_finish_selected",
        "_finished", "_in_batches", "_is_queue_started", "_is_selected", "_plan", "_queue",
        "_resumed", "_retry_question", "_revert_failed", "_reverting", "_selected", "_slots", "_suspended",
        "_table", "_unanswered", "_unresolved_failure", "_waiting_for_deciders", "_withdrawn",
        "_withdrawn_count", "resolves_failures",
    )  # fmt: skip

    def __init__(
        self,
        plan: Plan,
        states: Sequence[str] | None = None,
        intentions: Sequence[str] | None = None,
        *,
        slots: int | None = None,
        in_batches: bool = False,
        batch: Batch = NO_BATCH,
        defer_reverts: bool = False,
        never_resolve: bool = False,
        finish_selected: bool = False,
    ) -> None:
        count = len(plan)
        self._plan = plan
        self._slots = slots
        self._in_batches = in_batches
        self._batch = batch
        self._defer_reverts = defer_reverts
        self._finish_selected = finish_selected
        self.resolves_failures = not never_resolve
        self._table = AtomTable(
            plan,
            [STATE_CODES[state] for state in states] if states else bytes(count),
            [INTENTION_CODES[intention] for intention in intentions] if intentions else bytes(count),
        )
        #: Atoms whose calls are running: handed over and not complete.
        self._calls: set[int] = set()
        #: Atoms that an earlier run left running: a call of theirs may have begun then.
        self._resumed: set[int] = set()
        # Selected atoms wait in ``_selected`` until the selection is complete, then in the queue for a slot.
        self._selected: list[int] = []
        self._is_selected = bytearray(count)
        self._queue: deque[int] = deque()
        #: Entries of the queue that do not count any more: how many, by atom. They are its oldest there,
        #: and never at the front of the queue.
        self._withdrawn: dict[int, int] = {}
        self._withdrawn_count = 0
        self._is_queue_started = False  # what is selected and queued is marked as started
        self._waiting_for_deciders: set[int] = set()
        self._failed: deque[int] = deque()
        #: Atoms after which all that has started is being reverted (EVERYTHING: all of the flow). A further
        #: failure there changes nothing, so that many failures cost no more than the atoms they revert.
        self._reverting: set[int] = set()
        #: The failed atom, the atom below the retry that is asked, and the first retry asked for it or -1.
        self._retry_question: tuple[int, int, int] | None = None
        self._suspended = self._aborted = self._finished = False
        self._revert_failed = self._unresolved_failure = self._unanswered = False
        self._commands: list[c.Command] = []

    @property
    def running(self) -> int:
        """How many calls are running: handed over and not complete."""
        return len(self._calls)

    @property
    def queued(self) -> int:
        """How many atoms are selected and have not started."""
        return len(self._queue) - self._withdrawn_count

    @property
    def is_idle(self) -> bool:
        """Whether the next decision starts nothing if no event arrives before it."""
        if self._start_blocked or self._failed or self._queue:
            return self._start_blocked
        return self._unresolved_failure or self._revert_failed or not self._table.has_ready_candidate()

    def start(self) -> list[c.Command]:
        """Begin, or resume the flow from its atoms' states; return the first commands."""
        self._commands = []
        table = self._table
        for index, state in enumerate(table.state):
            if state in (RUNNING, REVERTING, RETRYING):
                self._resumed.add(index)
                self._select(index)
            elif state == FAILED and table.intention[index] == EXECUTE and self.resolves_failures:
                self._failed.append(index)
        if self._in_batches:  # the last batch has to complete before anything else is selected
            for index in self._batch.executes:
                if table.can_execute(index):
                    self._select(index)
            for index in self._batch.reverts:
                if table.can_revert(index):
                    self._select(index)
            self._enqueue_selected()
        else:
            self._set_batch(NO_BATCH)
        table.candidates = list(range(len(self._plan)))
        self._advance()
        return self._commands

    def handle(self, events: Iterable[c.Event]) -> list[c.Command]:
        """Apply events and decide what to do next.

        Returns:
            The commands in the order in which they are to be performed. Transitions have to be durable before
            the calls that follow them start.
        """
        return self.apply(events) + self.decide()

    def apply(self, events: Iterable[c.Event]) -> list[c.Command]:
        """Apply events without deciding what to do next; return the transitions that follow from them."""
        self._commands = []
        for event in events:
            self._apply(event)
        return self._commands

    def decide(self) -> list[c.Command]:
        """Decide what to do next; returns commands like ``handle``."""
        self._commands = []
        self._advance()
        return self._commands

    # ------------------------------------------------------------------ events

    def _apply(self, event: c.Event) -> None:
        if type(event) is c.Executed:  # by far the most frequent, and a match costs more
            self._executed(*event)
            return
        match event:
            case c.Reverted(index, ok):
                self._reverted(index, ok)
            case c.RetryEvaluated():
                self._retry_evaluated(event)
            case c.DecidersEvaluated():
                self._deciders_evaluated(event)
            case c.Recalled(index):
                self._recalled(index)
            case c.Interrupted(index):
                self._calls.discard(index)
                self._queue.append(index)
                self._is_queue_started = False
                self._suspended = True
            case c.Unanswered():
                self._retry_question = None
                self._waiting_for_deciders.clear()
                self._suspended = self._unanswered = True
                self._recall(list(self._calls))
            case c.Aborted():
                self._aborted = True
                self._retry_question = None
                self._waiting_for_deciders.clear()
                self._recall(list(self._calls))
            case c.Suspended():
                self._suspended = True
                self._recall(list(self._calls))

    def _executed(self, index: int, ok: bool) -> None:
        self._calls.discard(index)
        if self._resumed:
            self._resumed.discard(index)
        table = self._table
        if ok:
            self._transition(index, SUCCEEDED, table.intention[index])
            if table.intention[index] >= REVERT:
                table.candidates.append(index)
            return
        self._transition(index, FAILED, table.intention[index])
        if self._finish_selected:
            self._mark_selected_started()
        if not self.resolves_failures:
            self._unresolved_failure = True
            if not self._finish_selected:
                self._recall(list(self._calls))
        else:
            self._failed.append(index)

    def _reverted(self, index: int, ok: bool) -> None:
        self._calls.discard(index)
        self._transition(index, REVERTED if ok else REVERT_FAILED, self._table.intention[index])
        self._revert_failed = self._revert_failed or not ok

    def _recall(self, indexes: Iterable[int]) -> None:
        """Recall calls; a call that has begun completes."""
        self._commands += [c.Recall(index) for index in indexes]

    def _recalled(self, index: int) -> None:
        """Undo the start of an atom, unless a call of an earlier run may have begun."""
        self._calls.discard(index)
        table = self._table
        if (
            self._finish_selected
            or table.state[index] != RUNNING
            or index in self._resumed
            or self._plan.kinds[index] == RETRY_KIND
        ):
            self._queue.append(index)
            self._is_queue_started = False
            return
        self._transition(index, PENDING, table.intention[index])
        table.candidates.append(index)

    def _retry_evaluated(self, event: c.RetryEvaluated) -> None:
        assert self._retry_question is not None  # noqa: S101  an answer without a question is a bug of the loop
        failed, _, first = self._retry_question
        self._retry_question = None
        retry = event.retry
        if event.decision == Decision.RETRY:
            if self._table.intention[retry] != REVERT:
                self._set_intention(retry, RETRY)
            self._revert_after(retry, failed)
        elif event.decision == Decision.REVERT_ALL:
            self._revert_after(EVERYTHING, failed)
        else:
            self._resolve_failure(failed, retry, retry if first < 0 else first)

    def _deciders_evaluated(self, event: c.DecidersEvaluated) -> None:
        self._waiting_for_deciders.discard(event.atom)
        if event.depth is None:
            self._select(event.atom)
            return
        for index in self._table.ignored_by(event.atom, event.depth):
            if self._table.state[index] != IGNORED:
                self._transition(index, IGNORED, IGNORE)

    # ------------------------------------------------------------------ decisions

    def _advance(self) -> None:
        while self._failed and self._retry_question is None and not (self._aborted or self._unanswered):
            failed = self._failed.popleft()
            self._resolve_failure(failed, failed, -1)
        if self._retry_question is not None or self._waiting_for_deciders:
            return
        if self._table.blocked:
            self._unqueue()
        if not (self._suspended or self._aborted or self._revert_failed or self._unresolved_failure):
            self._select_ready()
            if self._waiting_for_deciders:
                return
        self._start_queued()
        if not self._calls and not self._finished and (not self._queue or self._start_blocked):
            self._finished = True
            if not self._queue or (self._unresolved_failure and not self._finish_selected):
                self._set_batch(NO_BATCH)
            self._commands.append(c.Finish(self._final_state()))

    def _unqueue(self) -> None:
        """Withdraw atoms from the queue that must not start any more: a failure was decided since.

        Their entries stay until they are at the front, so that this costs nothing for the other atoms.
        """
        table = self._table
        blocked, table.blocked = table.blocked, []
        not_queued = set(self._selected)
        for index in blocked:
            is_queued = self._is_selected[index] and index not in not_queued
            if is_queued and table.state[index] == PENDING and not table.can_execute(index):
                self._is_selected[index] = 0
                self._withdrawn[index] = self._withdrawn.get(index, 0) + 1
                self._withdrawn_count += 1
        self._drop_withdrawn()

    def _drop_withdrawn(self) -> None:
        """Remove withdrawn entries from the front of the queue."""
        queue, withdrawn = self._queue, self._withdrawn
        while withdrawn and queue and queue[0] in withdrawn:
            index = queue.popleft()
            self._withdrawn_count -= 1
            withdrawn[index] -= 1
            if not withdrawn[index]:
                del withdrawn[index]

    @property
    def _start_blocked(self) -> bool:
        """Whether not even selected atoms may start."""
        return self._suspended or self._aborted or (self._unresolved_failure and not self._finish_selected)

    def _select_ready(self) -> None:
        """Select all ready atoms, unless the current batch is incomplete."""
        if self._in_batches and (self._calls or self._queue):
            return
        table = self._table
        while table.candidates and not self._waiting_for_deciders:  # ignoring atoms may make others ready
            candidates, table.candidates = table.candidates, []
            for index in candidates:
                if not self._is_selected[index]:
                    self._select_if_ready(index)
        if self._waiting_for_deciders:
            return
        if self._in_batches:
            self._set_batch(self._batch_of_selected())
        self._enqueue_selected()

    def _select_if_ready(self, index: int) -> None:
        """Select an atom that can start; one with deciders has them evaluated first."""
        if self._table.can_execute(index):
            if index not in self._plan.deciders:
                self._select(index)
            elif index not in self._waiting_for_deciders:
                self._waiting_for_deciders.add(index)
                self._commands.append(c.EvaluateDeciders(index))
        elif self._table.can_revert(index):
            self._select(index)

    def _select(self, index: int) -> None:
        self._is_selected[index] = 1
        self._selected.append(index)
        self._is_queue_started = False

    def _batch_of_selected(self) -> Batch:
        """Return the batch to store; none for a single atom, whose state is enough."""
        selected, intention = self._selected, self._table.intention
        if len(selected) <= 1:
            return NO_BATCH
        return Batch(
            tuple(index for index in selected if intention[index] < REVERT),
            tuple(index for index in selected if intention[index] >= REVERT),
        )

    def _set_batch(self, batch: Batch) -> None:
        if batch != self._batch:
            self._batch = batch
            self._commands.append(batch)

    def _enqueue_selected(self) -> None:
        if len(self._selected) > 1:
            self._selected.sort(key=self._sort_key)
        self._queue.extend(self._selected)
        self._selected.clear()

    def _sort_key(self, index: int) -> tuple[int, int]:
        """Higher priority first; then in the order of the flow, reversed for reverts."""
        table = self._table
        reverting = table.intention[index] >= REVERT and table.state[index] != RUNNING
        return -self._plan.atoms[index].priority, -index if reverting else index

    def _start_queued(self) -> None:
        table, calls = self._table, self._calls
        while self._queue and not self._start_blocked and len(calls) != self._slots:
            index = self._queue.popleft()
            if self._withdrawn:
                self._drop_withdrawn()
            self._is_selected[index] = 0
            self._mark_started(index)
            calls.add(index)
            reverting = table.state[index] == REVERTING
            self._commands.append(c.Revert(index) if reverting else c.Execute(index))

    def _mark_selected_started(self) -> None:
        """Mark what is selected as started: after a failure, a resumed run has to do the same as this one."""
        if not self._is_queue_started:
            for index in (*self._queue, *self._selected):
                if index not in self._withdrawn or self._is_selected[index]:
                    self._mark_started(index)
            self._is_queue_started = True

    def _mark_started(self, index: int) -> None:
        table = self._table
        state, intention = table.state[index], table.intention[index]
        if state == PENDING:
            self._transition(index, RUNNING, intention)
        elif state == RETRYING or (intention == RETRY and state != RUNNING):
            if state != RETRYING:
                self._transition(index, RETRYING, EXECUTE)
            for dependent in table.dependents_to_reset(index, everywhere=state == RETRYING):
                self._transition(dependent, PENDING, EXECUTE)
            self._transition(index, RUNNING, EXECUTE)
        elif state not in (RUNNING, REVERTING):
            self._transition(index, REVERTING, intention)

    def _resolve_failure(self, failed: int, child: int, first: int) -> None:
        """Ask the retry around an atom what to do; without one, revert."""
        retry = self._plan.retry_of[child]
        if retry >= 0:
            self._retry_question = (failed, child, first)
            self._commands.append(c.EvaluateRetry(retry, failed, child))
        elif first < 0 or self._defer_reverts:
            self._revert_after(EVERYTHING, failed)
        else:
            self._set_intention(first, REVERT)
            self._revert_after(first, failed)

    def _revert_after(self, start: int, failed: int) -> None:
        """Revert what has started after an atom, or everything, because an atom failed."""
        if start in self._reverting or EVERYTHING in self._reverting:
            self._set_intention(failed, REVERT)
            return
        table = self._table
        everything = start == EVERYTHING
        for index in table.started_or_ready() if everything else table.started_dependents_of(start):
            self._set_intention(index, REVERT)
        self._reverting.add(start)

    def _final_state(self) -> str:
        if self._aborted or self._unresolved_failure:
            return st.FAILURE
        if self._revert_failed:
            return st.REVERT_FAILURE
        table = self._table
        if self._suspended and (
            self._unanswered or self._queue or self._selected or table.has_ready_candidate()
        ):
            return st.SUSPENDED
        return st.SUCCESS if table.all_succeeded() else st.REVERTED

    # ------------------------------------------------------------------ transitions

    def _transition(self, index: int, state: int, intention: int) -> None:
        state_changed = self._table.state[index] != state
        if self._reverting and intention < REVERT:
            self._reverting.clear()  # something may start again
        self._table.update(index, state, intention)
        self._commands.append(c.Transition(index, STATES[state], INTENTIONS[intention], state_changed))

    def _set_intention(self, index: int, intention: int) -> None:
        if self._table.intention[index] != intention:
            self._transition(index, self._table.state[index], intention)
            if self._table.state[index] == PENDING:
                self._table.blocked.append(index)
            if (
                index in self._calls
                and intention >= REVERT
                and self._table.state[index] == RUNNING
                and index not in self._resumed
                and not self._finish_selected
            ):
                self._recall([index])
        self._table.candidates.append(index)
