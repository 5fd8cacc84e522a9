"""TaskFlow's `taskflow.jobs.base`."""

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
    """Decorate a method of a board with arguments job and claimer: the claimer must have a name."""

    @functools.wraps(meth)
    def wrapper(self: Any, job: Any, who: Any, *args: Any, **kwargs: Any) -> Any:
        claims.check_owner(who)
        return meth(self, job, who, *args, **kwargs)

    return wrapper


def format_posting(
    uuid: str,
    name: str,
    created_on: Any = None,
    last_modified: Any = None,
    details: Mapping[str, Any] | None = None,
    book: Any = None,
    priority: JobPriority = JobPriority.NORMAL,
) -> dict[str, Any]:
    """Return the data of a posted job as a dictionary.

    Args:
        uuid: the UUID of the job.
        name: its name.
        created_on: when the job was posted.
        last_modified: the time of the last change.
        details: data for the conductors.
        book: its logbook.
        priority: its priority.
    """
    times = {"created_on": created_on, "last_modified": last_modified}
    record: dict[str, Any] = {"uuid": uuid, "name": name, "priority": priority.value}
    record.update((key, time) for key, time in times.items() if time is not None)
    record["details"] = details or {}
    if book is not None:
        record["book"] = {"name": book.name, "uuid": book.uuid}
    return record
