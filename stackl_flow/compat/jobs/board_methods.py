"""A batch of claims and completions made of single calls, for boards with TaskFlow's methods only."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow.jobboards.base import ClaimBatch, JobCompletion, RejectedCompletion
from stackl_flow.jobboards.record import CONSUMED, TRASHED

#: The methods of TaskFlow's boards that make and end claims.
METHODS: Final = ("claim", "consume", "abandon", "trash", "iterjobs", "_fetch_jobs")

_NAMES: Final[Mapping[str, str]] = {CONSUMED: "consume", TRASHED: "trash"}


def methods_of(kind: type[Any]) -> Mapping[str, Any]:
    """Return the functions of a class that implement `METHODS`."""
    return {name: getattr(kind, name) for name in METHODS}


def is_overridden(board: Any, originals: Mapping[str, Any]) -> bool:
    """Return whether any of the methods of a board is not the one that `methods_of` returned."""
    return any(
        getattr(getattr(board, name), "__func__", None) is not original
        for name, original in originals.items()
    )


def complete_and_claim(
    board: Any, owner: str, completions: Iterable[JobCompletion], limit: int, timeout: float | None
) -> ClaimBatch:
    """End claims and claim jobs, one by one.

    Args:
        board: any board with TaskFlow's methods.
        owner: the owner of the claims.
        completions: how its claims end.
        limit: the maximum number of jobs to claim.
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
        time.sleep(timeout)  # as in TaskFlow: these boards have no wake-ups
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
