"""Where every atom stands, and which of them a move sets free.

For each node of the plan two counts are kept: how many nodes right before it are not done, and how
many right after it still stand. A node that begins or ends a flow has no state of its own, and neither
has, for its neighbours, an ignored atom: it is done when nothing before it is missing, and clear when
nothing after it stands.

States and intentions as small numbers, for the decision core's byte arrays.

How far a decision reaches: which atoms a failure, a retry or a decider's "no" concerns.

Atoms that have not begun are left out of what is to be undone: all of them wait for something that is being
undone, so they cannot begin. That spares a failure at the head of a long flow from touching all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from stackl_flow import states as st
from stackl_flow.engines.plan import FLOW, FLOW_END, TASK, Plan
from stackl_flow.patterns.deciders import Depth

STATES: Final = (
    st.PENDING, st.RUNNING, st.SUCCESS, st.FAILURE, st.REVERTING, st.REVERTED, st.REVERT_FAILURE,
    st.IGNORE, st.RETRYING,
)  # fmt: skip
(
    PENDING, RUNNING, SUCCEEDED, FAILED, REVERTING, REVERTED, REVERT_FAILED, IGNORED, RETRYING,
) = range(len(STATES))  # fmt: skip

INTENTIONS: Final = (st.EXECUTE, st.IGNORE, st.REVERT, st.RETRY)
EXECUTE, IGNORE, REVERT, RETRY = range(len(INTENTIONS))

STATE_OF: Final = {word: mark for mark, word in enumerate(STATES)}
INTENTION_OF: Final = {word: mark for mark, word in enumerate(INTENTIONS)}

DONE: Final = 2
CLEAR: Final = 1


def _flags(state: int, intention: int) -> int:
    done = state in (SUCCEEDED, IGNORED) and intention in (EXECUTE, IGNORE)
    clear = state in (PENDING, REVERTED, IGNORED)
    return DONE * done + CLEAR * clear


#: For each state and intention (``state * 4 + intention``): whether what follows may execute (DONE)
#: and whether what comes before may revert (CLEAR).
FLAGS: Final = tuple(
    _flags(state, intention) for state in range(len(STATES)) for intention in range(len(INTENTIONS))
)


class AtomTable:
    """States, intentions and counts of one run.

    Args:
        plan: what runs.
        states: each atom's state, as ``marks``.
        intentions: each atom's intention, as ``marks``.
    """

    __slots__ = ("_count", "_preds", "_succs", "freed", "missing", "standing", "state", "want")

    def __init__(self, plan: Plan, states: Sequence[int], intentions: Sequence[int]) -> None:
        self._count = len(plan)
        self._preds = plan.preds
        self._succs = plan.succs
        self.state = bytearray(self._count)
        self.want = bytearray(self._count)
        self.missing = [len(before) for before in plan.preds]
        self.standing = [0] * len(plan.succs)
        #: Atoms that a move may have set free since this was last emptied; not each of them is.
        self.freed: list[int] = []
        for node in range(self._count, len(plan.succs)):
            if not plan.preds[node]:
                self._tell(node, -1, self._succs, self.missing)
        for index, (state, intention) in enumerate(zip(states, intentions, strict=True)):
            if state or intention:
                self.put(index, state, intention)

    def put(self, index: int, state: int, intention: int) -> None:
        """Give an atom a state and an intention, and update its neighbours' counts.

        Args:
            index: the atom.
            state: its state.
            intention: its intention.
        """
        flags = FLAGS
        old = flags[self.state[index] * 4 + self.want[index]]
        new = flags[state * 4 + intention]
        if self.state[index] == IGNORED:
            old = self._through(index)
        if state == IGNORED:
            new = self._through(index)
        self.state[index] = state
        self.want[index] = intention
        changed = old ^ new
        # Those after it hear that it is done now (-1) or no longer (+1); those before it, that it is clear.
        if changed & DONE:
            self._tell(index, -1 if new & DONE else 1, self._succs, self.missing)
        if changed & CLEAR:
            self._tell(index, -1 if new & CLEAR else 1, self._preds, self.standing)

    def _through(self, index: int) -> int:
        """Say what an ignored atom is: no more than a way from those before it to those after it."""
        return DONE * (self.missing[index] == 0) + CLEAR * (self.standing[index] == 0)

    def _tell(self, node: int, change: int, ways: tuple[tuple[int, ...], ...], counts: list[int]) -> None:
        # A count that comes to zero, or leaves it, is news that a flow's begin or end passes on, and so does
        # an ignored atom: what lies behind it still waits for what lies before it.
        telling = 0 if change < 0 else 1
        atoms = self._count
        pending = [node]
        while pending:
            for neighbour in ways[pending.pop()]:
                left = counts[neighbour] = counts[neighbour] + change
                if left != telling:
                    continue
                if neighbour >= atoms or self.state[neighbour] == IGNORED:
                    pending.append(neighbour)
                elif change < 0:
                    self.freed.append(neighbour)

    def may_execute(self, index: int) -> bool:
        """Say whether an atom is to execute and nothing before it is missing."""
        return self.state[index] == PENDING and self.want[index] == EXECUTE and self.missing[index] == 0

    def any_free(self) -> bool:
        """Say whether one of the atoms that were set free is to begin."""
        return any(self.may_execute(index) or self.may_revert(index) for index in self.freed)

    def may_revert(self, index: int) -> bool:
        """Say whether an atom is to revert (or retry) and nothing after it stands."""
        return (
            self.want[index] >= REVERT
            and self.state[index] in (SUCCEEDED, FAILED, REVERT_FAILED)
            and self.standing[index] == 0
        )

    def all_well(self) -> bool:
        """Say whether every atom succeeded or was ignored."""
        return self.state.count(SUCCEEDED) + self.state.count(IGNORED) == self._count


def touched(board: AtomTable) -> Iterator[int]:
    """Go over all atoms that have begun, or could."""
    state, missing = board.state, board.missing
    for index in range(len(state)):
        if state[index] != PENDING or missing[index] == 0:
            yield index


def touched_after(plan: Plan, board: AtomTable, start: int) -> list[int]:
    """Collect the atoms after one that have begun.

    Args:
        plan: the plan.
        board: where the atoms stand.
        start: the atom after which to look.

    Returns:
        Their numbers.
    """
    return [index for index in _walk(plan, board, start) if board.state[index] != PENDING]


def undone_after(plan: Plan, board: AtomTable, start: int, *, wholly: bool = False) -> list[int]:
    """Collect the atoms after one that have to be set back before a retry runs.

    Args:
        plan: the plan.
        board: where the atoms stand.
        start: the retry.
        wholly: look at every atom after it, even behind those that have nothing to set back.

    Returns:
        Their numbers.
    """
    return [
        index
        for index in (plan.after(start) if wholly else _walk(plan, board, start))
        if board.state[index] != PENDING or board.want[index] != EXECUTE
    ]


def _walk(plan: Plan, board: AtomTable, start: int) -> Iterator[int]:
    if plan.deciders:  # an ignored atom may lie behind one that has not begun
        yield from plan.after(start)
        return
    count = len(plan)
    seen = {start}
    queue = [start]
    for node in queue:
        for after in plan.succs[node]:
            if after in seen:
                continue
            seen.add(after)
            if after < count:
                yield after
                if board.state[after] == PENDING and board.want[after] == EXECUTE:
                    continue
            queue.append(after)


def silenced(plan: Plan, index: int, depth: Depth) -> list[int]:
    """Collect the atoms that a decider's "no" has ignored.

    Args:
        plan: the plan.
        index: the atom at the end of the link.
        depth: how far the "no" reaches.

    Returns:
        Their numbers, the atom itself first.
    """
    if depth is Depth.ALL:
        return [index, *plan.after(index)]
    if depth is Depth.ATOM:
        return [index]
    count, kinds = len(plan), plan.kinds
    if depth is Depth.NEIGHBORS:
        return [index, *(after for after in plan.succs[index] if kinds[after] == TASK)]
    reached = {index: None}
    queue = [index]
    for node in queue:
        for after in plan.succs[node]:
            if kinds[after] in (FLOW, FLOW_END) or after in reached or after >= count:
                continue
            reached[after] = None
            if kinds[after] == TASK:
                queue.append(after)
    return list(reached)
