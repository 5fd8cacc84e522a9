"""Waves: what a serial engine chose together.

All of a wave comes back before anything else is chosen, even when one of its atoms fails. For that to hold
across a crash, a wave of several atoms is noted with the flow, in the transaction in which its first atom
begins: a run that takes the flow up finishes that wave before it chooses anew, and ends like the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stackl_flow.engines import marks as m
from stackl_flow.engines.board import Board
from stackl_flow.engines.commands import Wave
from stackl_flow.engines.plan import Plan

#: Name of the note in the flow's meta; there only while a wave of several atoms is under way.
META_WAVE: Final = "wave"

NONE: Final = Wave((), ())


def wave_of(picked: Sequence[int], board: Board) -> Wave:
    """Say what is to be remembered of a choice.

    Args:
        picked: the atoms that were chosen.
        board: where they stand.

    Returns:
        The wave; none of a lone atom, whose own state says it all.
    """
    if len(picked) <= 1:
        return NONE
    return Wave(
        tuple(index for index in picked if board.want[index] < m.REVERT),
        tuple(index for index in picked if board.want[index] >= m.REVERT),
    )


def left_of(wave: Wave, board: Board) -> list[int]:
    """Say which atoms of a wave have not begun.

    Args:
        wave: what was chosen.
        board: where every atom stands now.

    Returns:
        Their numbers.
    """
    left = [index for index in wave.executes if board.may_execute(index)]
    return left + [index for index in wave.reverts if board.may_revert(index)]


def noted(meta: Mapping[str, Any], wave: Wave, plan: Plan) -> dict[str, Any]:
    """Put a wave into a flow's notes, by name, as atoms are matched by name when the flow is taken up.

    Args:
        meta: the notes so far.
        wave: what was chosen.
        plan: gives the names.

    Returns:
        The new notes.
    """
    notes = {name: value for name, value in meta.items() if name != META_WAVE}
    if wave != NONE:
        names = plan.names
        notes[META_WAVE] = {kind: [names[index] for index in part] for kind, part in wave._asdict().items()}
    return notes


def read(meta: Mapping[str, Any], plan: Plan) -> Wave:
    """Find the wave in a flow's notes.

    Args:
        meta: the notes.
        plan: gives the numbers; an atom that it does not have is left out.

    Returns:
        The wave.
    """
    if META_WAVE not in meta:
        return NONE
    kinds = {
        kind: tuple(plan.index[name] for name in names if name in plan.index)
        for kind, names in meta[META_WAVE].items()
    }
    return Wave(**kinds)
