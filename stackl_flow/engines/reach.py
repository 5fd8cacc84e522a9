"""How far a decision reaches: which atoms a failure, a retry or a decider's "no" concerns.

Atoms that have not begun are left out of what is to be undone: all of them wait for something that is being
undone, so they cannot begin. That spares a failure at the head of a long flow from touching all of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackl_flow.engines import marks as m
from stackl_flow.engines.board import Board
from stackl_flow.engines.plan import FLOW, FLOW_END, TASK, Plan
from stackl_flow.patterns.deciders import Depth


def touched(board: Board) -> Iterator[int]:
    """Go over all atoms that have begun, or could."""
    state, missing = board.state, board.missing
    for index in range(len(state)):
        if state[index] != m.PENDING or missing[index] == 0:
            yield index


def touched_after(plan: Plan, board: Board, start: int) -> list[int]:
    """Collect the atoms after one that have begun.

    Args:
        plan: the plan.
        board: where the atoms stand.
        start: the atom after which to look.

    Returns:
        Their numbers.
    """
    return [index for index in _walk(plan, board, start) if board.state[index] != m.PENDING]


def undone_after(plan: Plan, board: Board, start: int, *, wholly: bool = False) -> list[int]:
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
        if board.state[index] != m.PENDING or board.want[index] != m.EXECUTE
    ]


def _walk(plan: Plan, board: Board, start: int) -> Iterator[int]:
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
                if board.state[after] == m.PENDING and board.want[after] == m.EXECUTE:
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
