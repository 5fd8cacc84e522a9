"""State, intention and readiness of every atom, as byte arrays.

For each node of the plan two counts are kept: how many of its predecessors are not done, and how many of its
successors are not clear. An atom is ready to execute when the first is zero and ready to revert when the
second is, and a transition updates the counts of its neighbours only: a step costs the same in a flow of ten
atoms and of a million.

The nodes where flows begin and end have no state, and an ignored atom has none as far as its neighbours are
concerned. Such a node is done when all its predecessors are, and clear when all its successors are.

The closures at the end of the class say which atoms a failure, a retry or a decider affects. Atoms that have
not started are left out of a rollback: each of them waits for an atom that is being reverted, so none can
start. A failure at the head of a long flow therefore does not touch all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from stackl_flow import states as st
from stackl_flow.engines.plan import FLOW, FLOW_END, TASK, Plan
from stackl_flow.patterns.deciders import Depth

#: States and intentions by code: a code is an index here.
STATES: Final = (
    st.PENDING, st.RUNNING, st.SUCCESS, st.FAILURE, st.REVERTING, st.REVERTED, st.REVERT_FAILURE,
    st.IGNORE, st.RETRYING,
)  # fmt: skip
(
    PENDING, RUNNING, SUCCEEDED, FAILED, REVERTING, REVERTED, REVERT_FAILED, IGNORED, RETRYING,
) = range(len(STATES))  # fmt: skip

INTENTIONS: Final = (st.EXECUTE, st.IGNORE, st.REVERT, st.RETRY)
EXECUTE, IGNORE, REVERT, RETRY = range(len(INTENTIONS))

STATE_CODES: Final = {state: code for code, state in enumerate(STATES)}
INTENTION_CODES: Final = {intention: code for code, intention in enumerate(INTENTIONS)}

DONE: Final = 2
CLEAR: Final = 1


def _flags(state: int, intention: int) -> int:
    done = state in (SUCCEEDED, IGNORED) and intention in (EXECUTE, IGNORE)
    clear = state in (PENDING, REVERTED, IGNORED)
    return DONE * done + CLEAR * clear


#: By state and intention (``state * 4 + intention``): whether successors may execute (DONE) and
#: predecessors may revert (CLEAR).
FLAGS: Final = tuple(
    _flags(state, intention) for state in range(len(STATES)) for intention in range(len(INTENTIONS))
)


class AtomTable:
    """The atoms of one run.

    Args:
        plan: the plan.
        states: each atom's state code.
        intentions: each atom's intention code.

    Attributes:
        state: each atom's state code.
        intention: each atom's intention code.
        candidates: atoms whose counts may have reached zero since the list was last taken. Check each of
            them with ``can_execute`` and ``can_revert``.
        blocked: atoms that perhaps could execute and no longer can, since the list was last taken. Check each
            of them with ``can_execute``.
    """

    __slots__ = (
        "_atom_count", "_plan", "_predecessors", "_successors", "_unclear_after", "_undone_before",
        "blocked", "candidates", "intention", "state",
    )  # fmt: skip

    def __init__(self, plan: Plan, states: Sequence[int], intentions: Sequence[int]) -> None:
        self._plan = plan
        self._atom_count = len(plan)
        self._predecessors = plan.predecessors
        self._successors = plan.successors
        self.state = bytearray(self._atom_count)
        self.intention = bytearray(self._atom_count)
        self._undone_before = [len(before) for before in plan.predecessors]
        self._unclear_after = [0] * len(plan.successors)
        self.candidates: list[int] = []
        self.blocked: list[int] = []
        for node in range(self._atom_count, len(plan.successors)):
            if not plan.predecessors[node]:
                self._propagate(node, -1, self._successors, self._undone_before)
        for index, (state, intention) in enumerate(zip(states, intentions, strict=True)):
            if state or intention:
                self.update(index, state, intention)

    def update(self, index: int, state: int, intention: int) -> None:
        """Set an atom's state and intention, and update the counts of its neighbours."""
        flags = FLAGS
        old = flags[self.state[index] * 4 + self.intention[index]]
        new = flags[state * 4 + intention]
        if self.state[index] == IGNORED:
            old = self._flags_of_ignored(index)
        if state == IGNORED:
            new = self._flags_of_ignored(index)
        self.state[index] = state
        self.intention[index] = intention
        changed = old ^ new
        if changed & DONE:
            self._propagate(index, -1 if new & DONE else 1, self._successors, self._undone_before)
        if changed & CLEAR:
            self._propagate(index, -1 if new & CLEAR else 1, self._predecessors, self._unclear_after)

    def _flags_of_ignored(self, index: int) -> int:
        return DONE * (self._undone_before[index] == 0) + CLEAR * (self._unclear_after[index] == 0)

    def _propagate(
        self, node: int, change: int, neighbours_of: tuple[tuple[int, ...], ...], counts: list[int]
    ) -> None:
        # A count that reaches zero, or leaves it, passes on through nodes without a state of their own.
        threshold = 0 if change < 0 else 1
        atoms = self._atom_count
        pending = [node]
        while pending:
            for neighbour in neighbours_of[pending.pop()]:
                left = counts[neighbour] = counts[neighbour] + change
                if left != threshold:
                    continue
                if neighbour >= atoms or self.state[neighbour] == IGNORED:
                    pending.append(neighbour)
                elif change < 0:
                    self.candidates.append(neighbour)
                elif self.state[neighbour] == PENDING:
                    self.blocked.append(neighbour)

    def can_execute(self, index: int) -> bool:
        """Return whether an atom is to execute and all its predecessors are done."""
        return (
            self.state[index] == PENDING
            and self.intention[index] == EXECUTE
            and self._undone_before[index] == 0
        )

    def can_revert(self, index: int) -> bool:
        """Return whether an atom is to revert or retry and all its successors are clear."""
        return (
            self.intention[index] >= REVERT
            and self.state[index] in (SUCCEEDED, FAILED, REVERT_FAILED)
            and self._unclear_after[index] == 0
        )

    def has_ready_candidate(self) -> bool:
        """Return whether one of the candidates can start."""
        return any(self.can_execute(index) or self.can_revert(index) for index in self.candidates)

    def all_succeeded(self) -> bool:
        """Return whether every atom succeeded or was ignored."""
        return self.state.count(SUCCEEDED) + self.state.count(IGNORED) == self._atom_count

    # ------------------------------------------------------------------ closures

    def started_or_ready(self) -> Iterator[int]:
        """Iterate over the atoms that have started or could start."""
        state, undone_before = self.state, self._undone_before
        for index in range(len(state)):
            if state[index] != PENDING or undone_before[index] == 0:
                yield index

    def started_dependents_of(self, start: int) -> list[int]:
        """List the atoms after one that have started."""
        return [index for index in self._started_region(start) if self.state[index] != PENDING]

    def dependents_to_reset(self, start: int, *, everywhere: bool = False) -> list[int]:
        """List the atoms after a retry that have to be reset before its next attempt.

        Args:
            start: the retry.
            everywhere: also look behind atoms that need no reset themselves.
        """
        return [
            index
            for index in (self._plan.dependents_of(start) if everywhere else self._started_region(start))
            if self.state[index] != PENDING or self.intention[index] != EXECUTE
        ]

    def _started_region(self, start: int) -> Iterator[int]:
        """Iterate over the atoms after one, without going on behind those that have not started."""
        plan = self._plan
        if plan.deciders:  # an ignored atom may be behind one that has not started
            yield from plan.dependents_of(start)
            return
        count, state, intention = self._atom_count, self.state, self.intention
        seen = {start}
        queue = [start]
        for node in queue:
            for after in self._successors[node]:
                if after in seen:
                    continue
                seen.add(after)
                if after < count:
                    yield after
                    if state[after] == PENDING and intention[after] == EXECUTE:
                        continue
                queue.append(after)

    def ignored_by(self, index: int, depth: Depth) -> list[int]:
        """List the atoms that are ignored when a decider rejects one, that atom first.

        Args:
            index: the atom at the end of the link.
            depth: how far the rejection extends.
        """
        plan = self._plan
        if depth is Depth.ALL:
            return [index, *plan.dependents_of(index)]
        if depth is Depth.ATOM:
            return [index]
        count, kinds = self._atom_count, plan.kinds
        if depth is Depth.NEIGHBORS:
            return [index, *(after for after in self._successors[index] if kinds[after] == TASK)]
        ignored = {index: None}
        queue = [index]
        for node in queue:
            for after in self._successors[node]:
                if kinds[after] in (FLOW, FLOW_END) or after in ignored or after >= count:
                    continue
                ignored[after] = None
                if kinds[after] == TASK:
                    queue.append(after)
        return list(ignored)
