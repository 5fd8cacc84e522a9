"""Where every atom stands, and which of them a move sets free.

For each node of the plan two counts are kept: how many nodes right before it are not done, and how
many right after it still stand. A node that begins or ends a flow has no state of its own, and neither
has, for its neighbours, an ignored atom: it is done when nothing before it is missing, and clear when
nothing after it stands.
"""

from __future__ import annotations

from collections.abc import Sequence

from stackl_flow.engines import marks as m
from stackl_flow.engines.plan import Plan


class Board:
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
        flags = m.FLAGS
        old = flags[self.state[index] * 4 + self.want[index]]
        new = flags[state * 4 + intention]
        if self.state[index] == m.IGNORED:
            old = self._through(index)
        if state == m.IGNORED:
            new = self._through(index)
        self.state[index] = state
        self.want[index] = intention
        changed = old ^ new
        # Those after it hear that it is done now (-1) or no longer (+1); those before it, that it is clear.
        if changed & m.DONE:
            self._tell(index, -1 if new & m.DONE else 1, self._succs, self.missing)
        if changed & m.CLEAR:
            self._tell(index, -1 if new & m.CLEAR else 1, self._preds, self.standing)

    def _through(self, index: int) -> int:
        """Say what an ignored atom is: no more than a way from those before it to those after it."""
        return m.DONE * (self.missing[index] == 0) + m.CLEAR * (self.standing[index] == 0)

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
                if neighbour >= atoms or self.state[neighbour] == m.IGNORED:
                    pending.append(neighbour)
                elif change < 0:
                    self.freed.append(neighbour)

    def may_execute(self, index: int) -> bool:
        """Say whether an atom is to execute and nothing before it is missing."""
        return self.state[index] == m.PENDING and self.want[index] == m.EXECUTE and self.missing[index] == 0

    def any_free(self) -> bool:
        """Say whether one of the atoms that were set free is to begin."""
        return any(self.may_execute(index) or self.may_revert(index) for index in self.freed)

    def may_revert(self, index: int) -> bool:
        """Say whether an atom is to revert (or retry) and nothing after it stands."""
        return (
            self.want[index] >= m.REVERT
            and self.state[index] in (m.SUCCEEDED, m.FAILED, m.REVERT_FAILED)
            and self.standing[index] == 0
        )

    def all_well(self) -> bool:
        """Say whether every atom succeeded or was ignored."""
        return self.state.count(m.SUCCEEDED) + self.state.count(m.IGNORED) == self._count
