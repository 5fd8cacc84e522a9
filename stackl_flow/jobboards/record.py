"""The job record: what a board stores of a job, as one frozen value and as JSON text.

What is read is checked, because it may have been damaged, or written by another release: a text that is no
record is an error, and the board sets it aside (see ``unreadable``).

Besides the record this module defines the vocabulary that goes with it: job states, the ways in which a claim
ends (dispositions), priorities, the history of claims, and the options of ``post``.

A job is in one of six states. The first three are on the board, the last three have ended::

    scheduled --(not_before is reached)--> waiting --(claim)--> claimed --(consume)--> succeeded or failed
                                              ^                    |
                                              +-----(abandon)------+--(trash)--> dead
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any, Final, NamedTuple, Self

from stackl_flow import codec, error_text
from stackl_flow import exceptions as exc
from stackl_flow import states as st

# Job states.
WAITING: Final = "waiting"
SCHEDULED: Final = "scheduled"
CLAIMED: Final = "claimed"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
DEAD: Final = "dead"
#: The state of an entry that cannot be read; see ``unreadable``.
UNREADABLE: Final = "unreadable"
#: The states of jobs on the board, and those of jobs that have ended.
BOARD_STATES: Final = (WAITING, CLAIMED, SCHEDULED)
ENDED_STATES: Final = (SUCCEEDED, FAILED, DEAD)
#: States of a job that was consumed; a dead job can be requeued.
CONSUMED_STATES: Final = frozenset({SUCCEEDED, FAILED})

# Dispositions: how a claim ended. The first two end the job, too; after the others it waits again.
CONSUMED: Final = "consumed"
TRASHED: Final = "trashed"
#: The lease of the claim expired.
LOST: Final = "lost"
ABANDONED: Final = "abandoned"
#: Abandoned because of a problem that may pass; the job waits for a delay that grows with each claim.
DEFERRED: Final = "deferred"
#: Given back by an owner that cannot run the job; others can claim it at once, that owner after a delay.
DECLINED: Final = "declined"
#: Given back in a graceful shutdown.
RELEASED: Final = "released"
#: Given back before its run started; the claim is removed from the history.
UNSTARTED: Final = "unstarted"
#: The dispositions that count towards ``max_claims``.
FAILED_CLAIMS: Final = frozenset({LOST, ABANDONED, DEFERRED, DECLINED})
#: Maximum length in bytes of a reason in the history of claims, and of how many claims the reasons are kept.
_MAX_REASON: Final = 1_000
_MAX_REASONS: Final = 10


class JobPriority(Enum):
    """The priority of a job: five levels, highest first, as in TaskFlow."""

    VERY_HIGH = "VERY_HIGH"
    HIGH = "HIGH"
    NORMAL = "NORMAL"
    LOW = "LOW"
    VERY_LOW = "VERY_LOW"

    @classmethod
    def convert(cls, value: str | JobPriority) -> Self:
        """Return the priority of a name, in any case.

        Raises:
            ValueError: there is no such priority.
        """
        if isinstance(value, cls):
            return value
        try:
            return cls(str(value).upper())
        except ValueError:
            known = ", ".join(priority.value for priority in cls)
            raise ValueError(f"invalid priority {value!r}: use one of {known}") from None

    @property
    def rank(self) -> int:
        """The position among the priorities: 0 for the highest."""
        return _RANKS[self.value]

    @classmethod
    def reorder(cls, *pairs: tuple[str | JobPriority, object]) -> tuple[object, ...]:
        """Sort the values of (priority, value) pairs, highest priority first; the sort is stable.

        Raises:
            ValueError: there are no pairs, or a priority is invalid.
        """
        if not pairs:
            raise ValueError("give at least one (priority, value) pair")
        return tuple(value for _, value in sorted(pairs, key=lambda pair: cls.convert(pair[0]).rank))


_RANKS: Final = {priority.value: rank for rank, priority in enumerate(JobPriority)}


class Claim(NamedTuple):
    """One claim in the history of a job.

    Attributes:
        owner: the name under which the job was claimed.
        at: when, in seconds since 1970 UTC.
        ended: the disposition of the claim; empty while it lasts.
        lease: id of the owner's lease; empty once the claim has ended.
        reason: why it ended without its job; may be empty.
        until: after a claim that was declined: its owner does not claim the job before this time.
    """

    owner: str
    at: float
    ended: str = ""
    lease: str = ""
    reason: str = ""
    until: float = 0.0

    def to_list(self) -> list[Any]:
        """Return the fields for the JSON text, without the last ones if they are empty.

        Earlier releases, which may read the same board, know only the first four.
        """
        if self.until:
            return list(self)
        return list(self[:5] if self.reason else self[:4])


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as the board stores it. Points in time are seconds since 1970 UTC.

    Attributes:
        uuid: unique on the board.
        name: for people; need not be unique.
        created_on: when the job was posted.
        changed_on: when it was last posted, claimed, abandoned or trashed.
        details: data for the program that runs the job; JSON.
        book: uuid and name of its logbook; empty if it has none.
        priority: jobs of a higher priority are claimed first.
        required_capabilities: what a conductor must be capable of to claim it.
        not_before: it cannot be claimed earlier.
        expires_at: if it has not been claimed by then, it becomes a dead letter.
        key: idempotency key; another post under this key returns this job.
        claims: the history of its claims, latest last.
        reason: why it is a dead letter.
    """

    uuid: str
    name: str
    created_on: float
    changed_on: float
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)  # it may hold secrets
    book: Mapping[str, str] = field(default_factory=dict)
    priority: JobPriority = JobPriority.NORMAL
    required_capabilities: tuple[str, ...] = ()
    not_before: float | None = None
    expires_at: float | None = None
    key: str | None = None
    claims: tuple[Claim, ...] = ()
    reason: str = ""
    #: The JSON texts, cached by ``to_text`` and ``to_summary``.
    _text: str = field(default="", init=False, repr=False, compare=False)
    _summary: str = field(default="", init=False, repr=False, compare=False)
    #: Cached by ``keys.sort_key``.
    position: str = field(default="", init=False, repr=False, compare=False)

    @property
    def failed_claims(self) -> int:
        """The number of claims that ended in one of ``FAILED_CLAIMS``."""
        return sum(claim.ended in FAILED_CLAIMS for claim in self.claims)

    @property
    def lease(self) -> str:
        """Id of the lease that the current claim depends on; empty if the job is not claimed."""
        return self.claims[-1].lease if self.claims else ""

    def with_claim(self, owner: str, lease: str, now: float) -> Self:
        """Return a copy with one more claim."""
        return replace(self, claims=(*self.claims, Claim(owner, now, "", lease)), changed_on=now)

    def with_claim_ended(self, disposition: str, now: float, reason: str = "") -> Self:
        """Return a copy whose last claim has ended; after ``UNSTARTED`` that claim is not in the history."""
        *before, last = self.claims
        if disposition == UNSTARTED:
            return replace(self, claims=tuple(before), changed_on=now)
        ended = last._replace(ended=disposition, lease="", reason=error_text.shorten(reason, _MAX_REASON))
        if reason:
            before[:-_MAX_REASONS] = [each._replace(reason="") for each in before[:-_MAX_REASONS]]
        return replace(self, claims=(*before, ended), changed_on=now)

    def with_owner_delayed(self, until: float) -> Self:
        """Return a copy that the owner of the last claim does not claim before a time."""
        *before, last = self.claims
        return replace(self, claims=(*before, last._replace(until=until)))

    def declined_until(self, owner: str) -> float:
        """Return the time before which an owner that declined the job does not claim it; 0 if it did not."""
        if not self.claims:
            return 0.0
        return max(
            (claim.until for claim in self.claims if claim.until and claim.owner == owner), default=0.0
        )

    def to_summary(self) -> str:
        """Return the record without its details as JSON: what board events carry."""
        if not self._summary:
            stored: dict[str, Any] = {
                "uuid": self.uuid,
                "name": self.name,
                "created_on": self.created_on,
                "changed_on": self.changed_on,
                "priority": self.priority.value,
            }
            for name in _SUMMARY:
                value = getattr(self, name)
                if value:
                    stored[name] = value
            object.__setattr__(self, "_summary", json.dumps(stored))
        return self._summary

    def to_text(self) -> str:
        """Return the record as JSON; empty fields are left out.

        Raises:
            NotSerializable: the details have no JSON form.
        """
        if not self._text:
            values = {name: getattr(self, name) for name in _STORED}
            values.update(priority=self.priority.value, claims=[claim.to_list() for claim in self.claims])
            values["required_capabilities"] = list(self.required_capabilities)
            try:
                text = codec.encode(
                    {
                        name: value
                        for name, value in values.items()
                        if value or value == 0 or name in _REQUIRED  # otherwise it is empty
                    }
                )
            except exc.NotSerializable as error:
                raise exc.NotSerializable(
                    f"details of job '{self.name}': {error}", cause=error.cause
                ) from error
            object.__setattr__(self, "_text", text)
        return self._text

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the record of a text that ``to_text`` or ``to_summary`` made.

        Raises:
            IncompatibleVersion: it has a field, a priority or a value that this release does not know.
            InvalidFormat: it is no record.
        """
        values = _decode(text)
        for name, value in values.items():
            check = _CHECKS.get(name)
            if check is None:
                raise exc.IncompatibleVersion(f"its field '{name}' is unknown: a newer release wrote it")
            if not check(value):
                raise exc.InvalidFormat(f"its field '{name}' has an invalid value: {value!r:.100}")
        for name in _REQUIRED:
            if name not in values:
                raise exc.InvalidFormat(f"it has no '{name}'")
        priority = _PRIORITIES.get(values["priority"])
        if priority is None:
            raise exc.IncompatibleVersion(f"its priority {values['priority']!r:.100} is unknown")
        values["priority"] = priority
        values["required_capabilities"] = tuple(values.get("required_capabilities", ()))
        values["claims"] = tuple([Claim(*claim) for claim in values.get("claims", ())])
        return cls(**values)


def _decode(text: str) -> dict[str, Any]:
    try:
        values = codec.decode(text)
    except exc.InvalidFormat as error:
        try:
            is_record = isinstance(json.loads(text), dict)
        except (ValueError, RecursionError):
            is_record = False
        if is_record:
            raise exc.IncompatibleVersion(f"its details cannot be read here: {error}") from error
        raise
    if not isinstance(values, dict):
        raise exc.InvalidFormat(f"it is a {type(values).__name__}, not a record")
    return values


_STORED: Final = tuple(each.name for each in fields(JobRecord) if each.init)
#: Fields of a summary that are left out if they are empty.
_SUMMARY: Final = ("book", "claims", "required_capabilities", "not_before", "expires_at", "key", "reason")
_REQUIRED: Final = ("uuid", "name", "created_on", "changed_on", "priority")
_PRIORITIES: Final = {priority.value: priority for priority in JobPriority}
#: Seconds since 1970 that make a valid date, in a key, too.
_MAX_TIME: Final = 2e11


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_time(value: object) -> bool:
    return type(value) in {int, float} and -_MAX_TIME < value < _MAX_TIME  # type: ignore[operator]


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _is_book(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_list_of_names(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_history(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_claim, value))


def _is_claim(value: object) -> bool:
    if not isinstance(value, list) or not 2 <= len(value) <= len(_CLAIM_CHECKS):  # noqa: PLR2004  owner, time
        return False
    return all(check(each) for check, each in zip(_CLAIM_CHECKS, value, strict=False))


#: By field of a claim: whether a stored value is valid.
_CLAIM_CHECKS: Final = (_is_text, _is_time, _is_text, _is_text, _is_text, _is_time)
#: By field: whether a stored value is valid.
_CHECKS: Final[Mapping[str, Callable[[object], bool]]] = {
    "uuid": _is_name,
    "name": _is_text,
    "created_on": _is_time,
    "changed_on": _is_time,
    "details": _is_mapping,
    "book": _is_book,
    "priority": _is_text,
    "required_capabilities": _is_list_of_names,
    "not_before": _is_time,
    "expires_at": _is_time,
    "key": _is_text,
    "claims": _is_history,
    "reason": _is_text,
}


class JobSnapshot(NamedTuple):
    """A job as it was read from the board.

    Attributes:
        state: one of the six job states, such as ``WAITING`` or ``SUCCEEDED``.
        record: the job; None once it has ended.
        version: version of the stored item; for a claimed job this is its fencing token.
        outcome: what the board stores of an ended job: ``state``, ``at`` (seconds since 1970 UTC), ``name``,
            ``key`` and ``outcome`` (what the owner gave to ``consume``, or the ``reason`` of a dead letter).
    """

    state: str
    record: JobRecord | None = None
    version: int = 0
    outcome: dict[str, Any] | None = None

    def ended_record(self, uuid: str) -> JobRecord:
        """Return what is left of the record of an ended job: its name, key and times, without details."""
        return ended_record(uuid, self.outcome or {})


def ended_record(uuid: str, ended: Mapping[str, Any]) -> JobRecord:
    """Return what is left of the record of an ended job, from what the board stores of it."""
    at = ended.get("at", 0.0)
    return JobRecord(
        uuid,
        ended.get("name", ""),
        ended.get("created_on", at),  # earlier releases did not store it
        at,
        priority=_PRIORITIES.get(ended.get("priority", ""), JobPriority.NORMAL),
        key=ended.get("key"),
        reason=str(ended.get("outcome", {}).get("reason", "")),
    )


def read_location(text: str) -> dict[str, Any]:
    """Return what is stored under the uuid of a job: where it is on the board, or how it ended.

    Raises:
        InvalidFormat: the text is damaged.
        IncompatibleVersion: it cannot be read here.
    """
    stored = _decode(text)
    kinds = _ENDED_CHECKS if "state" in stored else _LOCATION_CHECKS
    for name, check in kinds.items():
        if not check(stored.get(name)):
            raise exc.InvalidFormat(f"its field '{name}' has an invalid value: {stored.get(name)!r:.100}")
    return stored


_LOCATION_CHECKS: Final[Mapping[str, Callable[[object], bool]]] = {
    "sort_key": _is_name,
    "not_before": lambda value: value is None or _is_time(value),
}
_ENDED_CHECKS: Final[Mapping[str, Callable[[object], bool]]] = {
    "state": _is_name,
    "at": _is_time,
    "name": _is_text,
    "outcome": _is_mapping,
}


class ListedJob(NamedTuple):
    """A job in a listing; see ``JobBoard.list``.

    Attributes:
        state: one of the job states, such as ``WAITING`` or ``SUCCEEDED``.
        record: the job. Of a job that has ended only its name, priority, key and times are left; a dead
            letter is complete.
        owner: who claims it now, or claimed it last.
        claimed_on: when it was claimed last, in seconds since 1970 UTC; None if it was not.
        ended_on: when it ended, in seconds since 1970 UTC; None while it is on the board.
        outcome: for an ended job, what its owner gave to ``consume``, or the ``reason`` of a dead letter.
    """

    state: str
    record: JobRecord
    owner: str | None = None
    claimed_on: float | None = None
    ended_on: float | None = None
    outcome: Mapping[str, Any] | None = None

    @property
    def uuid(self) -> str:
        """Identity of the job."""
        return self.record.uuid

    @property
    def name(self) -> str:
        """Name of the job."""
        return self.record.name


class JobPage(NamedTuple):
    """A page of a listing; see ``JobBoard.list``.

    Attributes:
        jobs: the jobs.
        next: pass it as ``after`` for the next page; empty after the last one.
    """

    jobs: tuple[ListedJob, ...]
    next: str = ""


def state_of_outcome(outcome: Mapping[str, Any]) -> str:
    """Return the state of a consumed job: ``FAILED`` if it has a failure, or its flow was not successful."""
    if outcome.get("failure") is None and outcome.get("state", st.SUCCESS) == st.SUCCESS:
        return SUCCEEDED
    return FAILED


_JOB_OPTIONS: Final = ("expires_at", "key", "not_before", "required_capabilities", "uuid")


def read_job_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Check the keyword arguments of ``post`` and return them in the types of a record; None means not given.

    Raises:
        TypeError: there is no such option, or its value has the wrong type.
        ValueError: a datetime has no time zone.
    """
    for name in options:
        if name not in _JOB_OPTIONS:
            near = difflib.get_close_matches(name, _JOB_OPTIONS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"valid options are {', '.join(_JOB_OPTIONS)}"
            raise TypeError(f"post() got an unknown option '{name}': {hint}")
    values = {name: value for name, value in options.items() if value is not None}
    for name in values.keys() & {"not_before", "expires_at"}:
        values[name] = read_time(name, values[name])
    if "required_capabilities" in values:
        values["required_capabilities"] = _capabilities(values["required_capabilities"])
    return values


def check_job_name(name: object) -> None:
    """Check the name of a job that is to be posted.

    Raises:
        TypeError: it is not a string.
        ValueError: it is empty or blank, or has control characters or lone surrogates.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a job is a str, not {type(name).__name__}: {name!r:.100}")
    if name.isprintable() and not name.isspace() and name:
        return
    if not name.strip():
        raise ValueError(f"the name of a job must not be empty or blank: {name!r:.100}")
    if any(unicodedata.category(char) in _UNNAMEABLE for char in name):
        raise ValueError(f"the name of a job must not contain control characters: {name!r:.100}")


#: Unicode categories: control characters and lone surrogates.
_UNNAMEABLE: Final = frozenset({"Cc", "Cs"})


def read_details(details: Any) -> dict[str, Any]:
    """Check the details of a job; None means none.

    Raises:
        TypeError: they are no mapping.
    """
    if details is not None and not isinstance(details, Mapping):
        raise TypeError(f"details= takes a mapping, such as {{'size': 3}}, not {type(details).__name__}")
    return dict(details or {})


def read_time(name: str, value: Any) -> float:
    """Return a time that was passed as argument ``name``, in seconds since 1970 UTC.

    Raises:
        TypeError: it is no time.
        ValueError: it is a datetime without a time zone.
    """
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise ValueError(
                f"{name}= takes a datetime with a time zone, such as datetime.now(UTC), not {value}"
            )
        return value.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(
            f"{name}= takes seconds since 1970 UTC, or a datetime with a time zone, not {value!r}"
        )
    return float(value)


def _capabilities(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    names = tuple(value) if isinstance(value, Iterable) else (None,)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"required_capabilities= takes names, such as ['gpu'], not {value!r}")
    return names
