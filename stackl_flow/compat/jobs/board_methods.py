"""A turn made of single verbs, for boards whose verbs somebody else has written, or put in place."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow.jobboards.job import CONSUMED, TRASHED, Ending, Late, Turn

#: The verbs of TaskFlow's boards by which claims are made and ended.
VERBS: Final = ("claim", "consume", "abandon", "trash", "iterjobs", "_fetch_jobs")

_NAMES: Final[Mapping[str, str]] = {CONSUMED: "consume", TRASHED: "trash"}


def own(kind: type[Any]) -> Mapping[str, Any]:
    """Note what a class answers to the verbs.

    Args:
        kind: the class, before anybody could change it.

    Returns:
        Functions by verb.
    """
    return {verb: getattr(kind, verb) for verb in VERBS}


def is_changed(board: Any, noted: Mapping[str, Any]) -> bool:
    """Say whether a board answers to a verb with something else than what was noted.

    Args:
        board: the board.
        noted: what ``own`` noted.
    """
    return any(getattr(getattr(board, verb), "__func__", None) is not meant for verb, meant in noted.items())


def turn(board: Any, who: str, ends: Iterable[Ending], want: int, timeout: float | None) -> Turn:
    """End claims and claim jobs, one after the other.

    Args:
        board: anything with TaskFlow's verbs.
        who: the claimer.
        ends: how claims of his end.
        want: how many jobs to claim at most.
        timeout: how many seconds to rest when there was nothing to end and nothing to claim.

    Returns:
        What came of it.
    """
    late: list[Late] = []
    told = list(ends)
    for ending in told:
        try:
            getattr(board, _NAMES.get(ending.how, "abandon"))(ending.job, who)
        except (exc.JobFailure, exc.NotFound) as error:
            late.append(Late(ending, error))
    claimed = tuple(_claimed(board, who, want)) if want > 0 else ()
    if want > 0 and not claimed and not told and timeout:
        time.sleep(timeout)  # as TaskFlow's conductors do: such a board cannot be asked to wake us
    return Turn(claimed, tuple(late), math.inf)


def _claimed(board: Any, who: str, want: int) -> Iterable[Any]:
    for job in board.iterjobs(only_unclaimed=True):
        try:
            board.claim(job, who)
        except (exc.UnclaimableJob, exc.NotFound):
            continue
        yield job
        want -= 1
        if not want:
            return
