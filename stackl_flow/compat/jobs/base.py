"""TaskFlow's `taskflow.jobs.base`: what its boards are, and the two functions with which they are made."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from stackl_flow.compat.jobs.abstract import Job, JobBoard, JobBoardIterator, NotifyingJobBoard
from stackl_flow.jobboards import claims
from stackl_flow.jobboards.events import POSTED, REMOVAL
from stackl_flow.jobboards.record import JobPriority

__all__ = [
    "POSTED", "REMOVAL", "Job", "JobBoard", "JobBoardIterator", "JobPriority", "NotifyingJobBoard",
    "check_who", "format_posting",
]  # fmt: skip


def check_who(meth: Callable[..., Any]) -> Callable[..., Any]:
    """Make a decorator for verbs of a board: the claimer must have a name.

    Args:
        meth: a method that is called with a job and the claimer's name.

    Returns:
        The method that refuses others.
    """

    @functools.wraps(meth)
    def checked(self: Any, job: Any, who: Any, *args: Any, **kwargs: Any) -> Any:
        claims.check_owner(who)
        return meth(self, job, who, *args, **kwargs)

    return checked


def format_posting(
    uuid: str,
    name: str,
    created_on: Any = None,
    last_modified: Any = None,
    details: Mapping[str, Any] | None = None,
    book: Any = None,
    priority: JobPriority = JobPriority.NORMAL,
) -> dict[str, Any]:
    """Write a posting as plain data.

    Args:
        uuid: the job's identity.
        name: what it is called.
        created_on: when it was posted.
        last_modified: when it was last changed.
        details: what workers need to know.
        book: its logbook.
        priority: how urgent it is.

    Returns:
        The data.
    """
    times = {"created_on": created_on, "last_modified": last_modified}
    posting: dict[str, Any] = {"uuid": uuid, "name": name, "priority": priority.value}
    posting.update((word, when) for word, when in times.items() if when is not None)
    posting["details"] = details or {}
    if book is not None:
        posting["book"] = {"name": book.name, "uuid": book.uuid}
    return posting
