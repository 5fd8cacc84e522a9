"""What fits a board: every job that is posted can be claimed, ended and trashed.

A store bounds its commits, and a job that could not be ended would be in the way of all others. So ``post``
refuses details that leave no room for what is stored with them later, and an outcome that is too large is
replaced by one that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stackl_flow import codec, error_text
from stackl_flow import exceptions as exc
from stackl_flow.failure import Failure
from stackl_flow.jobboards import events
from stackl_flow.jobboards.record import JobRecord
from stackl_flow.jobboards.transactions import Writes
from stackl_flow.kv.items import Limits, Put, text_size

#: Bytes of the reason of a dead letter.
MAX_REASON: Final = 4_096
#: The share of a commit that is left to the claims of a job, the reason of its end, keys and events.
_RESERVED_SHARE: Final = 8
#: Bytes of a key of the change feed, and of the log of ended jobs.
_EXTRA_KEYS: Final = 1_000
#: Texts of a failure in an outcome that is cut, in bytes.
_SHORT_FAILURE: Final = 16_384


def check_details(store: str, limits: Limits, record: JobRecord) -> None:
    """Check that a job can be stored and ended.

    Args:
        store: the name of the store.
        limits: its limits.
        record: the job.

    Raises:
        ValueTooLarge: the details are too large.
    """
    bounds = [bound for bound in (limits.value, limits.commit) if bound is not None]
    if not bounds:
        return
    size, room = text_size(record.to_text()), min(bounds)
    room -= room // _RESERVED_SHARE
    if size > room:
        raise exc.ValueTooLarge(
            f"job '{record.name}' with its details has {size} bytes, and a board in '{store}' accepts {room} "
            f"(of {min(bounds)}, the rest is reserved for its claims and its end): nothing was posted; store "
            f"large values elsewhere, such as in the flow's inputs, and a reference in the details",
            size=size,
            limit=room,
        )


def fits(limits: Limits, writes: Writes, record: JobRecord) -> bool:
    """Return whether the end of a claim fits a commit, together with its event and the log of ended jobs."""
    if limits.value is None and limits.commit is None:
        return True
    puts = (*writes.puts, Put("", events.describe([(events.REMOVAL, record)])))
    if limits.value is not None and any(text_size(put.value) > limits.value for put in puts):
        return False
    if limits.commit is None:
        return True
    extra = _EXTRA_KEYS + 4 * limits.overhead
    return limits.commit_size(writes.checks, puts, writes.deletes) + extra <= limits.commit


def shorter_outcome(outcome: Mapping[str, Any], limits: Limits, limit: int | None = None) -> dict[str, Any]:
    """Return an outcome in place of one that is too large: that of a job that failed, with the reason.

    Args:
        outcome: the outcome.
        limits: the limits of the store.
        limit: the limit that the store named, if it did.
    """
    text = codec.encode(dict(outcome))
    bounds = [bound for bound in (limits.value, limits.commit, limit) if bound is not None]
    known = f" ({min(bounds)})" if bounds else ""
    error = exc.ValueTooLarge(
        f"the job has ended, but its outcome has {text_size(text)} bytes, more than the board accepts with "
        f"what belongs to it{known}: "
        f"store large values elsewhere and have the flow provide references to them",
        size=text_size(text),
        limit=min(bounds, default=None),
    )
    failure = Failure.from_exception(error)
    given = outcome.get("failure")
    if isinstance(given, Mapping):
        given = Failure.from_dict(dict(given)).shortened(_SHORT_FAILURE)
        failure = given
    shorter: dict[str, Any] = {"failure": failure.to_dict(include_args=False), "too_large": str(error)}
    state = outcome.get("state")
    return {"state": state, **shorter} if isinstance(state, str) else shorter


def is_shorter(outcome: Mapping[str, Any]) -> bool:
    """Return whether an outcome is one that ``shorter_outcome`` returned."""
    return "too_large" in outcome


def short_reason(reason: str) -> str:
    """Return a reason that fits any board."""
    return error_text.shorten(reason, MAX_REASON)
