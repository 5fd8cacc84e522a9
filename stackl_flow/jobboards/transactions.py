"""What each order to a board writes: pure functions from what was read to one commit.

Every commit checks what it was decided on, so that of two who decide at once only one lands.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from stackl_flow import codec
from stackl_flow.jobboards.job import (
    CLAIMED,
    CONSUMED,
    DONE,
    GROUP,
    JOB,
    KEY,
    LATER,
    OVERDUE,
    TRASH,
    TRASHED,
    WAITING,
    Posting,
)
from stackl_flow.jobboards.keys import Places, group_of, spot_of, stamp
from stackl_flow.kv.items import ABSENT, PRESENT, Check, Put, quote


class Writes(NamedTuple):
    """One commit."""

    checks: tuple[Check, ...] = ()
    puts: tuple[Put, ...] = ()
    deletes: tuple[str, ...] = ()


class Held(NamedTuple):
    """A claimed job as it was read: the posting, the version of its item, and the lease of its claim.

    The version is the claim's fencing number. ``lost``: the lease ran out.
    """

    posting: Posting
    version: int
    lease: str
    lost: bool = False


def post(places: Places, posting: Posting, now: float, *, new_group: bool) -> Writes:
    """Put a new job on the board.

    Args:
        places: makes keys.
        posting: the job.
        now: seconds since 1970 UTC.
        new_group: nobody has posted a job with these needs yet.

    Returns:
        The commit; it conflicts when the posting's key is taken.
    """
    checks: tuple[Check, ...] = (Check(places.at(JOB, posting.uuid), ABSENT),)
    puts = list(_enter(places, posting, now))
    if posting.key is not None:
        taken = places.at(KEY, quote(posting.key))
        checks += (Check(taken, ABSENT),)
        puts.append(Put(taken, json.dumps(posting.uuid)))
    if new_group:
        puts.append(Put(places.at(GROUP, group_of(posting.needs)), json.dumps(sorted(set(posting.needs)))))
    return Writes(checks, tuple(puts))


def claim(places: Places, posting: Posting, version: int) -> Writes:
    """Give a waiting job to somebody.

    Args:
        places: makes keys.
        posting: the job, with the new claim as its last.
        version: the version of the waiting item.

    Returns:
        The commit; the version it gives is the claim's fencing number. It conflicts when the lease ran out.
    """
    spot = spot_of(posting)
    waiting = places.at(WAITING, spot)
    return Writes(
        (Check(waiting, version), Check(places.owner(posting.lease), PRESENT)),
        (Put(places.at(CLAIMED, spot), posting.to_text()),),
        (waiting, *_overdue(places, posting)),
    )


def give_back(places: Places, held: Held, how: str, now: float, pause: float = 0.0) -> Writes:
    """Put a claimed job back among the waiting.

    Args:
        places: makes keys.
        held: the job as it was read.
        how: LOST, ABANDONED, DEFERRED, RELEASED or UNBEGUN.
        now: seconds since 1970 UTC.
        pause: for how many seconds it is not to be claimed.

    Returns:
        The commit.
    """
    posting = replace(held.posting.let_go(how, now), claim_by=None)
    if pause > 0:
        return _let_go(places, held, _enter(places, replace(posting, not_before=now + pause), now))
    return _let_go(places, held, _shelve(places, posting, now))


def consume(places: Places, held: Held, outcome: dict[str, Any], now: float) -> Writes:
    """Take a job off the board, and keep its outcome for those who wait for it.

    Args:
        places: makes keys.
        held: the job as it was read.
        outcome: what came of it; JSON.
        now: seconds since 1970 UTC.

    Returns:
        The commit; ``note`` is to go with it, for this job or for several.
    """
    return _let_go(places, held, (_outcome(places, held.posting, CONSUMED, outcome, now),))


def note(places: Places, ended: Mapping[str, str | None], now: float) -> Put:
    """Note that jobs have ended, for their outcomes to be forgotten in time.

    Args:
        places: makes keys.
        ended: for each job the key it was posted under.
        now: seconds since 1970 UTC.

    Returns:
        What is to be put.
    """
    return Put(places.at(DONE, f"{stamp(now)}-{next(iter(ended))}"), json.dumps(ended))


def trash(places: Places, held: Held, reason: str, now: float) -> Writes:
    """Take a claimed job off the board and keep it, with a reason, to be looked at.

    Args:
        places: makes keys.
        held: the job as it was read.
        reason: why.
        now: seconds since 1970 UTC.

    Returns:
        The commit.
    """
    return _let_go(places, held, _trashed(places, held.posting, reason, now))


def give_up(places: Places, posting: Posting, version: int, reason: str, now: float) -> Writes:
    """Trash a job that nobody has claimed.

    Args:
        places: makes keys.
        posting: the job.
        version: the version of the waiting item.
        reason: why.
        now: seconds since 1970 UTC.

    Returns:
        The commit.
    """
    spot = places.at(WAITING, spot_of(posting))
    gone = (spot, *_overdue(places, posting))
    return Writes((Check(spot, version),), _trashed(places, posting, reason, now), gone)


def fall_due(places: Places, posting: Posting, version: int, now: float) -> Writes:
    """Put a job whose time has come among the waiting.

    Args:
        places: makes keys.
        posting: the job.
        version: the version of the item that was kept for later.
        now: seconds since 1970 UTC.

    Returns:
        The commit.
    """
    kept = _later(places, posting)
    return Writes((Check(kept, version),), _enter(places, replace(posting, not_before=None), now), (kept,))


def requeue(places: Places, posting: Posting, key: str, version: int, now: float) -> Writes:
    """Put a trashed job back on the board, as if it had never been claimed.

    Args:
        places: makes keys.
        posting: the job.
        key: key of the trashed item.
        version: its version.
        now: seconds since 1970 UTC.

    Returns:
        The commit.
    """
    anew = replace(posting, claims=(), reason="", claim_by=None, not_before=None, changed_on=now)
    return Writes(
        (Check(key, version),), _enter(places, anew, now), (key, places.at(DONE, key.rpartition("/")[2]))
    )


def forget(places: Places, key: str, ended: Mapping[str, str | None]) -> Writes:
    """Forget the outcomes of jobs that ended long ago.

    Args:
        places: makes keys.
        key: key of the item that says when they ended.
        ended: what it says: for each job the key it was posted under, which is free again.

    Returns:
        The commit.
    """
    jobs = [places.at(JOB, uuid) for uuid in ended]
    keys = [places.at(KEY, quote(posted)) for posted in ended.values() if posted is not None]
    return Writes((Check(key, PRESENT),), (), (key, *jobs, *keys))


def _enter(places: Places, posting: Posting, now: float) -> tuple[Put, ...]:
    """Write a job that is free, and where it is to be looked for."""
    return (*_shelve(places, posting, now), Put(places.at(JOB, posting.uuid), _still(posting)))


def _shelve(places: Places, posting: Posting, now: float) -> tuple[Put, ...]:
    """Write a job that is free: to be claimed, or not yet."""
    if posting.not_before is not None and posting.not_before > now:
        return (Put(_later(places, posting), posting.to_text()),)
    puts: Iterable[Put] = (Put(key, "null") for key in _overdue(places, posting))
    return (Put(places.at(WAITING, spot_of(posting)), posting.to_text()), *puts)


def _later(places: Places, posting: Posting) -> str:
    return places.at(LATER, stamp(posting.not_before or 0.0), spot_of(posting))


def _overdue(places: Places, posting: Posting) -> tuple[str, ...]:
    if posting.claim_by is None:
        return ()
    return (places.at(OVERDUE, stamp(posting.claim_by), spot_of(posting)),)


def _let_go(places: Places, held: Held, puts: tuple[Put, ...]) -> Writes:
    """End a claim that is still the one that was read, and write what else comes of it."""
    claimed = places.at(CLAIMED, spot_of(held.posting))
    owner = Check(places.owner(held.lease), ABSENT if held.lost else PRESENT)
    return Writes((Check(claimed, held.version), owner), puts, (claimed,))


def _trashed(places: Places, posting: Posting, reason: str, now: float) -> tuple[Put, ...]:
    kept = replace(posting, reason=reason, changed_on=now)
    where = places.at(TRASH, f"{stamp(now)}-{posting.uuid}")
    outcome = _outcome(places, posting, TRASHED, {"reason": reason}, now)
    return (Put(where, kept.to_text()), outcome, note(places, {posting.uuid: posting.key}, now))


def _outcome(places: Places, posting: Posting, how: str, outcome: dict[str, Any], now: float) -> Put:
    told = {"ended": how, "at": now, "name": posting.name, "key": posting.key, "outcome": outcome}
    return Put(places.at(JOB, posting.uuid), codec.encode(told))


def _still(posting: Posting) -> str:
    """Say where a job that is on the board is to be looked for."""
    return json.dumps({"spot": spot_of(posting), "not_before": posting.not_before})
