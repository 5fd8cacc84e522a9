"""A turn made of single verbs, for boards whose verbs somebody else has written, or put in place."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow.jobboards.base import ClaimBatch, Completion, RejectedCompletion
from stackl_flow.jobboards.record import CONSUMED, TRASHED

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


def complete_and_claim(
    board: Any, owner: str, completions: Iterable[Completion], limit: int, timeout: float | None
) -> ClaimBatch:
    """End claims and make new ones, one by one.

    Args:
        board: anything with the methods of TaskFlow's boards.
        owner: the owner of the claims.
        completions: how its claims end.
        limit: maximum number of jobs to claim.
        timeout: seconds to sleep if there was nothing to end and nothing to claim.
    """
    rejected: list[RejectedCompletion] = []
    ends = list(completions)
    for completion in ends:
        try:
            getattr(board, _NAMES.get(completion.disposition, "abandon"))(completion.job, owner)
        except (exc.JobFailure, exc.NotFound) as error:
            rejected.append(RejectedCompletion(completion, error))
    claimed = tuple(_claim(board, owner, limit)) if limit > 0 else ()
    if limit > 0 and not claimed and not ends and timeout:
        time.sleep(timeout)  # as TaskFlow's conductors do: such a board has no notification
    return ClaimBatch(claimed, tuple(rejected), math.inf)


def _claim(board: Any, owner: str, limit: int) -> Iterable[Any]:
    for job in board.iterjobs(only_unclaimed=True):
        try:
            board.claim(job, owner)
        except (exc.UnclaimableJob, exc.NotFound):
            continue
        yield job
        limit -= 1
        if not limit:
            return
