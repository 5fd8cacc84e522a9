"""The job record: what a board stores of a job, as one frozen value and as JSON text.

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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any, Final, NamedTuple, Self

from stackl_flow import codec
from stackl_flow import exceptions as exc
from stackl_flow import states as st

# Job states.
WAITING: Final = "waiting"
SCHEDULED: Final = "scheduled"
CLAIMED: Final = "claimed"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
DEAD: Final = "dead"
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
#: Given back in a graceful shutdown.
RELEASED: Final = "released"
#: Given back before its run started; the claim is removed from the history.
UNSTARTED: Final = "unstarted"
#: The dispositions that count towards ``max_claims``.
FAILED_CLAIMS: Final = frozenset({LOST, ABANDONED, DEFERRED})


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
    """

    owner: str
    at: float
    ended: str = ""
    lease: str = ""


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
    #: The JSON text, cached by ``to_text``.
    _text: str = field(default="", init=False, repr=False, compare=False)

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

    def with_claim_ended(self, disposition: str, now: float) -> Self:
        """Return a copy whose last claim has ended; after ``UNSTARTED`` that claim is not in the history."""
        *before, last = self.claims
        if disposition == UNSTARTED:
            return replace(self, claims=tuple(before), changed_on=now)
        return replace(self, claims=(*before, last._replace(ended=disposition, lease="")), changed_on=now)

    def to_text(self) -> str:
        """Return the record as JSON; empty fields are left out.

        Raises:
            NotSerializable: the details have no JSON form.
        """
        if not self._text:
            values = {name: getattr(self, name) for name in _STORED}
            values.update(priority=self.priority.value, claims=[list(claim) for claim in self.claims])
            values["required_capabilities"] = list(self.required_capabilities)
            try:
                text = codec.encode({name: value for name, value in values.items() if value not in _EMPTY})
            except exc.NotSerializable as error:
                raise exc.NotSerializable(
                    f"details of job '{self.name}': {error}", cause=error.cause
                ) from error
            object.__setattr__(self, "_text", text)
        return self._text

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the record of a text that ``to_text`` made."""
        values: dict[str, Any] = codec.decode(text)
        values["priority"] = JobPriority(values["priority"])
        values["required_capabilities"] = tuple(values.get("required_capabilities", ()))
        values["claims"] = tuple(Claim(*claim) for claim in values.get("claims", ()))
        return cls(**values)


_EMPTY: Final[tuple[object, ...]] = (None, "", [], {})
_STORED: Final = tuple(each.name for each in fields(JobRecord) if each.init)


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
        """Return what is left of the record of an ended job: its name, key and end, without details."""
        ended = self.outcome or {}
        return JobRecord(uuid, ended["name"], ended["at"], ended["at"], key=ended["key"])


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
        values[name] = _seconds(name, values[name])
    if "required_capabilities" in values:
        values["required_capabilities"] = _capabilities(values["required_capabilities"])
    return values


def read_details(details: Any) -> dict[str, Any]:
    """Check the details of a job; None means none.

    Raises:
        TypeError: they are no mapping.
    """
    if details is not None and not isinstance(details, Mapping):
        raise TypeError(f"details= takes a mapping, such as {{'size': 3}}, not {type(details).__name__}")
    return dict(details or {})


def _seconds(name: str, value: Any) -> float:
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
