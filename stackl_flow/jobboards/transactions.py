"""What each change of a board writes: pure functions from what was read to the writes of one commit.

Every commit checks what its decision was based on, so that of two concurrent decisions only one is applied.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from stackl_flow import codec
from stackl_flow import exceptions as exc
from stackl_flow.jobboards.keys import (
    EXPIRING,
    GROUP,
    JOB,
    KEY,
    LOG,
    NAME,
    BoardKeys,
    group_of,
    name_tail,
    sort_key,
    time_key,
)
from stackl_flow.jobboards.record import CLAIMED, DEAD, UNREADABLE, WAITING, JobRecord, state_of_outcome
from stackl_flow.kv.items import ABSENT, PRESENT, Check, Item, Put, quote


class Writes(NamedTuple):
    """The arguments of one commit."""

    checks: tuple[Check, ...] = ()
    puts: tuple[Put, ...] = ()
    deletes: tuple[str, ...] = ()


class ClaimedJob(NamedTuple):
    """A claimed job as it was read.

    Attributes:
        record: the job.
        version: version of its item: the fencing token of the claim.
        lease: id of the lease that the claim depends on.
        is_lost: whether that lease has expired.
    """

    record: JobRecord
    version: int
    lease: str
    is_lost: bool = False


def post(keys: BoardKeys, record: JobRecord, now: float, *, new_group: bool) -> Writes:
    """Add a job to the board, and its group if that is new; conflicts if its idempotency key is taken."""
    checks: tuple[Check, ...] = (Check(keys.key(JOB, record.uuid), ABSENT),)
    puts = [*_add(keys, record, now), Put(_name_key(keys, record), "null")]
    if record.key is not None:
        idempotency_key = keys.key(KEY, quote(record.key))
        checks += (Check(idempotency_key, ABSENT),)
        puts.append(Put(idempotency_key, json.dumps(record.uuid)))
    if new_group:
        required = sorted(set(record.required_capabilities))
        puts.append(Put(keys.key(GROUP, group_of(required)), json.dumps(required)))
    return Writes(checks, tuple(puts))


def claim(keys: BoardKeys, record: JobRecord, version: int) -> Writes:
    """Claim a waiting job, whose record has the new claim as its last.

    The version that the commit returns is the fencing token of the claim. It conflicts if the job's item has
    another version than this, or if the lease has expired.
    """
    position = sort_key(record)
    waiting = keys.key(WAITING, position)
    return Writes(
        (Check(waiting, version), Check(keys.owner(record.lease), PRESENT)),
        (Put(keys.key(CLAIMED, position), record.to_text()),),
        (waiting, *_expiring_keys(keys, record)),
    )


def release(keys: BoardKeys, job: ClaimedJob, ended: JobRecord, now: float, delay: float = 0.0) -> Writes:
    """End a claim and have the job wait again; it cannot be claimed for ``delay`` seconds.

    ``ended`` is the record with the end of that claim in its history.
    """
    record = replace(ended, expires_at=None)
    if delay > 0:
        return _end_claim(keys, job, _add(keys, replace(record, not_before=now + delay), now))
    return _end_claim(keys, job, _put_unclaimed(keys, record, now))


def consume(keys: BoardKeys, job: ClaimedJob, outcome: dict[str, Any], now: float) -> Writes:
    """End a job and store its outcome; add ``log_ended`` for it, or for several jobs at once."""
    return _end_claim(keys, job, (_put_outcome(keys, job.record, state_of_outcome(outcome), outcome, now),))


def log_ended(keys: BoardKeys, ended: Iterable[tuple[str, JobRecord]], now: float) -> tuple[Put, ...]:
    """Log which jobs ended now in which state: for listings, and for their outcomes to expire.

    Jobs of one state that end in one commit are one entry.
    """
    by_state: dict[str, dict[str, list[str | None]]] = {}
    for state, record in ended:
        tail = name_tail(record.name, record.created_on, record.uuid)
        by_state.setdefault(state, {})[record.uuid] = [record.key, tail]
    return tuple(
        Put(keys.key(LOG, state, f"{time_key(now)}-{next(iter(entries))}"), json.dumps(entries))
        for state, entries in by_state.items()
    )


def trash(keys: BoardKeys, job: ClaimedJob, reason: str, now: float) -> Writes:
    """Make a claimed job a dead letter."""
    return _end_claim(keys, job, _put_dead(keys, job.record, reason, now))


def expire(keys: BoardKeys, record: JobRecord, version: int, reason: str, now: float) -> Writes:
    """Make a waiting job a dead letter."""
    waiting = keys.key(WAITING, sort_key(record))
    deletes = (waiting, *_expiring_keys(keys, record))
    return Writes((Check(waiting, version),), _put_dead(keys, record, reason, now), deletes)


def make_waiting(keys: BoardKeys, record: JobRecord, version: int, now: float) -> Writes:
    """Make a scheduled job a waiting one."""
    scheduled = keys.scheduled(record)
    puts = _add(keys, replace(record, not_before=None), now)
    return Writes((Check(scheduled, version),), puts, (scheduled,))


def requeue(keys: BoardKeys, record: JobRecord, key: str, version: int, now: float) -> Writes:
    """Make a dead letter, stored under ``key``, a waiting job without a history of claims."""
    fresh = replace(record, claims=(), reason="", expires_at=None, not_before=None, changed_on=now)
    deletes = (key, keys.key(LOG, DEAD, key.rpartition("/")[2]))
    return Writes((Check(key, version),), _add(keys, fresh, now), deletes)


def delete_outcomes(
    keys: BoardKeys, key: str, ended: Mapping[str, Any], max_operations: int | None
) -> Iterator[Writes]:
    """Delete the outcomes of the jobs logged under ``key``; their idempotency keys are free again.

    The log is deleted last, by the last of several commits if the store bounds them.
    """
    deletes: list[str] = []
    for uuid, entry in ended.items():
        # Earlier releases logged the idempotency key only.
        idempotency_key, tail = entry if isinstance(entry, list) else (entry, None)
        deletes.append(keys.key(JOB, uuid))
        if idempotency_key is not None:
            deletes.append(keys.key(KEY, quote(idempotency_key)))
        if tail is not None:
            deletes.append(keys.key(NAME, tail))
    deletes.append(key)
    size = max_operations or len(deletes)
    for start in range(0, len(deletes), size):
        yield Writes((Check(key, PRESENT),), (), tuple(deletes[start : start + size]))


def read_log_entry(text: str) -> dict[str, Any]:
    """Return which jobs ended: by uuid, what retention has to delete besides the outcome.

    Raises:
        InvalidFormat: the text is damaged.
    """
    try:
        ended = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise exc.InvalidFormat(f"it is no JSON ({error})") from error
    if not isinstance(ended, dict) or not all(map(_is_logged, ended.values())):
        raise exc.InvalidFormat("it is no list of jobs")
    return ended


def _is_logged(entry: object) -> bool:
    if isinstance(entry, list):
        return len(entry) == 2 and isinstance(entry[0], str | None) and isinstance(entry[1], str)  # noqa: PLR2004
    return entry is None or isinstance(entry, str)


def set_aside(
    keys: BoardKeys, item: Item, entry: Mapping[str, Any], location: tuple[str, str] | None, now: float
) -> Writes:
    """Move an unreadable item to the entries that are set aside.

    Args:
        keys: the keys of the board.
        item: the item.
        entry: what is stored of it.
        location: uuid and name of the job, if the item is its only record.
        now: the current time.
    """
    puts = [Put(keys.unreadable(item.key), json.dumps(entry))]
    if location is not None:
        uuid, name = location
        outcome = {"reason": entry["reason"]}
        stored = {"state": UNREADABLE, "at": now, "name": name, "key": None, "outcome": outcome}
        puts.append(Put(keys.key(JOB, uuid), json.dumps(stored)))
    return Writes((Check(item.key, item.version),), tuple(puts), (item.key,))


def _add(keys: BoardKeys, record: JobRecord, now: float) -> tuple[Put, ...]:
    """Put an unclaimed job, and where it is found by its uuid."""
    location = json.dumps({"sort_key": sort_key(record), "not_before": record.not_before})
    return (*_put_unclaimed(keys, record, now), Put(keys.key(JOB, record.uuid), location))


def _put_unclaimed(keys: BoardKeys, record: JobRecord, now: float) -> tuple[Put, ...]:
    if record.not_before is not None and record.not_before > now:
        return (Put(keys.scheduled(record), record.to_text()),)
    puts: Iterable[Put] = (Put(key, "null") for key in _expiring_keys(keys, record))
    return (Put(keys.key(WAITING, sort_key(record)), record.to_text()), *puts)


def _name_key(keys: BoardKeys, record: JobRecord) -> str:
    return keys.key(NAME, name_tail(record.name, record.created_on, record.uuid))


def _expiring_keys(keys: BoardKeys, record: JobRecord) -> tuple[str, ...]:
    if record.expires_at is None:
        return ()
    return (keys.key(EXPIRING, time_key(record.expires_at), sort_key(record)),)


def _end_claim(keys: BoardKeys, job: ClaimedJob, puts: tuple[Put, ...]) -> Writes:
    """End a claim if it is still the one that was read."""
    claimed = keys.key(CLAIMED, sort_key(job.record))
    owner = Check(keys.owner(job.lease), ABSENT if job.is_lost else PRESENT)
    return Writes((Check(claimed, job.version), owner), puts, (claimed,))


def _put_dead(keys: BoardKeys, record: JobRecord, reason: str, now: float) -> tuple[Put, ...]:
    dead = replace(record, reason=reason, changed_on=now)
    key = keys.key(DEAD, f"{time_key(now)}-{record.uuid}")
    outcome = _put_outcome(keys, record, DEAD, {"reason": reason}, now)
    return (Put(key, dead.to_text()), outcome, *log_ended(keys, [(DEAD, record)], now))


def _put_outcome(keys: BoardKeys, record: JobRecord, state: str, outcome: dict[str, Any], now: float) -> Put:
    stored = {
        "state": state,
        "at": now,
        "name": record.name,
        "key": record.key,
        "priority": record.priority.value,
        "created_on": record.created_on,
        "outcome": outcome,
    }
    if record.claims:
        stored["owner"], stored["claimed_on"] = record.claims[-1][:2]
    return Put(keys.key(JOB, record.uuid), codec.encode(stored))
