"""What a board says when it will not do something."""

from __future__ import annotations

from stackl_flow import exceptions as exc
from stackl_flow.jobboards import moves as m
from stackl_flow.jobboards.job import Job
from stackl_flow.jobboards.reading import Found


def check_who(who: object) -> None:
    """Refuse a claimer without a name.

    Args:
        who: the name.

    Raises:
        TypeError: it is no text.
        ValueError: it is empty.
    """
    if not isinstance(who, str):
        raise TypeError(f"a claimer is named by a text, not by {type(who).__name__}")
    if not who:
        raise ValueError("a claimer needs a name that is not empty")


def off_board(job: Job, found: Found) -> exc.NotFound:
    """Make the error for a job that has ended.

    Args:
        job: the job.
        found: how it ended.

    Returns:
        The error, to be raised.
    """
    return exc.NotFound(f"job '{job.name}' ({job.uuid}) is off the board: it was {found.head}")


def unclaimable(job: Job, found: Found) -> exc.TaskFlowException:
    """Make the error for a job that cannot be claimed.

    Args:
        job: the job.
        found: where it stands.

    Returns:
        The error, to be raised.
    """
    if found.outcome is not None:
        return off_board(job, found)
    if found.head == m.LATER:
        return exc.UnclaimableJob(f"job '{job.name}' ({job.uuid}) is not to run yet")
    owner = found.posting.claims[-1].who if found.posting and found.posting.claims else "somebody"
    return exc.UnclaimableJob(f"job '{job.name}' ({job.uuid}) is already claimed by '{owner}'")


def not_owned(job: Job, who: str, owner: str | None) -> exc.JobFailure:
    """Make the error for a claim that is not there, or not any more.

    Args:
        job: the job.
        who: who says that he claims it.
        owner: who does.

    Returns:
        The error, to be raised.
    """
    now = "nobody claims it" if owner is None else f"'{owner}' claims it"
    if owner == who:
        now = "he lost it meanwhile and claimed it anew"
    return exc.JobFailure(
        f"'{who}' does not own job '{job.name}' ({job.uuid}): {now}; leave it to its owner, or claim it"
    )
