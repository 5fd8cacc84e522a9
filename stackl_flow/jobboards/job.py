"""A job: what was posted, and how to ask the board about it.

A posting: what a board keeps of a job, as one frozen value and as JSON text.

How urgent a job is.

The terms on which a job is posted, read from what a program gave.

What passes between a board and who works in turns: how claims are to end, and what a turn brought.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, Self

from stackl_flow import codec
from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.failure import Failure

WAITING: Final = "waiting"
CLAIMED: Final = "claimed"
OWNER: Final = "owner"
LATER: Final = "later"
OVERDUE: Final = "overdue"
TRASH: Final = "trash"
DONE: Final = "done"
JOB: Final = "job"
KEY: Final = "key"
GROUP: Final = "group"
ENTITY: Final = "entity"
DRAIN: Final = "drain"

CONSUMED: Final = "consumed"
TRASHED: Final = "trashed"


class JobPriority(Enum):
    """TaskFlow's five steps of urgency, the most urgent first."""

    VERY_HIGH = "VERY_HIGH"
    HIGH = "HIGH"
    NORMAL = "NORMAL"
    LOW = "LOW"
    VERY_LOW = "VERY_LOW"

    @classmethod
    def convert(cls, value: str | JobPriority) -> Self:
        """Read a priority.

        Args:
            value: a priority, or the name of one in any case.

        Returns:
            The priority.

        Raises:
            ValueError: there is no such priority.
        """
        if isinstance(value, cls):
            return value
        try:
            return cls(str(value).upper())
        except ValueError:
            known = ", ".join(priority.value for priority in cls)
            raise ValueError(f"{value!r} is no priority: write one of {known}") from None

    @property
    def rank(self) -> int:
        """Its place in the order, 0 for the most urgent."""
        return _RANKS[self.value]

    @classmethod
    def reorder(cls, *pairs: tuple[str | JobPriority, object]) -> tuple[object, ...]:
        """Order values by their priority; those of one priority keep their order.

        Args:
            pairs: (priority, value) pairs.

        Returns:
            The values, the most urgent first.

        Raises:
            ValueError: there is no pair, or a priority is none.
        """
        if not pairs:
            raise ValueError("give at least one (priority, value) pair")
        return tuple(value for _, value in sorted(pairs, key=lambda pair: cls.convert(pair[0]).rank))


_RANKS: Final = {priority.value: rank for rank, priority in enumerate(JobPriority)}


#: How a claim ended, when it did not end with the job. Of one that is given back unbegun no trace is left.
#: One that was deferred was abandoned, too; the job then waits a while.
LOST, ABANDONED, DEFERRED = "lost", "abandoned", "deferred"
RELEASED, UNBEGUN = "released", "unbegun"
#: The ends that count towards a quarantine: not a worker's orderly stop.
COUNTED = frozenset({LOST, ABANDONED, DEFERRED})


class Claim(NamedTuple):
    """One claim of a job: by whom, when (seconds since 1970 UTC), and how it ended ("" while it lasts).

    ``lease``: what it stands on, while it lasts.
    """

    who: str
    at: float
    ended: str = ""
    lease: str = ""


@dataclass(frozen=True, slots=True)
class Posting:
    """What was posted, and what has become of it.

    Attributes:
        uuid: the job's own name, unique on the board.
        name: what to call it.
        created_on: when it was posted, in seconds since 1970 UTC.
        changed_on: when it was last claimed, abandoned or trashed.
        details: what workers need to know; JSON.
        book: uuid and name of the logbook that goes with it.
        priority: how urgent it is.
        needs: what a worker has to be able to do.
        not_before: it is not to run earlier than this.
        claim_by: it is trashed if nobody has claimed it by then.
        key: a second post under this key gives this job again.
        claims: every claim so far, the latest last.
        reason: why it was trashed.
    """

    uuid: str
    name: str
    created_on: float
    changed_on: float
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)  # it may hold secrets
    book: Mapping[str, str] = field(default_factory=dict)
    priority: JobPriority = JobPriority.NORMAL
    needs: tuple[str, ...] = ()
    not_before: float | None = None
    claim_by: float | None = None
    key: str | None = None
    claims: tuple[Claim, ...] = ()
    reason: str = ""
    #: The JSON text, once it was asked for.
    _text: str = field(default="", init=False, repr=False, compare=False)

    @property
    def failed_claims(self) -> int:
        """How many claims ended without an end of the job, orderly stops aside."""
        return sum(claim.ended in COUNTED for claim in self.claims)

    @property
    def lease(self) -> str:
        """The lease that its claim stands on, "" if nobody claims it."""
        return self.claims[-1].lease if self.claims else ""

    def claimed(self, who: str, lease: str, now: float) -> Self:
        """Return the posting with one more claim.

        Args:
            who: claims it.
            lease: what the claim stands on.
            now: when.
        """
        return replace(self, claims=(*self.claims, Claim(who, now, "", lease)), changed_on=now)

    def let_go(self, how: str, now: float) -> Self:
        """Return the posting with its last claim ended.

        Args:
            how: LOST, ABANDONED, RELEASED or UNBEGUN.
            now: when.
        """
        *before, last = self.claims
        if how == UNBEGUN:
            return replace(self, claims=tuple(before), changed_on=now)
        return replace(self, claims=(*before, last._replace(ended=how, lease="")), changed_on=now)

    def to_text(self) -> str:
        """Write it as JSON.

        Returns:
            The text.

        Raises:
            NotSerializable: the details have no JSON form.
        """
        if not self._text:
            kept = {name: getattr(self, name) for name in _STORED}
            kept.update(priority=self.priority.value, claims=[list(claim) for claim in self.claims])
            kept["needs"] = list(self.needs)
            try:
                text = codec.encode({name: value for name, value in kept.items() if value not in _EMPTY})
            except exc.NotSerializable as error:
                raise exc.NotSerializable(
                    f"details of job '{self.name}': {error}", cause=error.cause
                ) from error
            object.__setattr__(self, "_text", text)
        return self._text

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what ``to_text`` wrote.

        Args:
            text: the text.

        Returns:
            The posting.
        """
        kept: dict[str, Any] = codec.decode(text)
        kept["priority"] = JobPriority(kept["priority"])
        kept["needs"] = tuple(kept.get("needs", ()))
        kept["claims"] = tuple(Claim(*claim) for claim in kept.get("claims", ()))
        return cls(**kept)


_EMPTY: Final[tuple[object, ...]] = (None, "", [], {})
_STORED: Final = tuple(each.name for each in fields(Posting) if each.init)


if TYPE_CHECKING:
    from stackl_flow.jobboards.base import JobBoard

_STATES = {
    WAITING: st.UNCLAIMED,
    LATER: st.UNCLAIMED,
    CLAIMED: st.CLAIMED,
    CONSUMED: st.COMPLETE,
    TRASHED: st.COMPLETE,
}


class Books(Protocol):
    """Where logbooks are: a persistence backend."""

    def get_connection(self) -> Any:
        """Make a connection to it."""
        ...


class Job:
    """One job on a board.

    Args:
        board: where it is.
        posting: what was posted.
        version: the version of the board's item it was read from.
        books: where its logbook is.
    """

    def __init__(self, board: JobBoard, posting: Posting, version: int, books: Books | None = None) -> None:
        self.board = board
        self.posting = posting
        self.version = version
        #: Fencing number of the claim made through this object; 0 if there was none.
        self.fence = 0
        self._books = books
        self._book: Any = None

    @property
    def uuid(self) -> str:
        """Its own name, unique on the board."""
        return self.posting.uuid

    @property
    def name(self) -> str:
        """What it is called."""
        return self.posting.name

    @property
    def details(self) -> Mapping[str, Any]:
        """What workers need to know."""
        return self.posting.details

    @property
    def priority(self) -> JobPriority:
        """How urgent it is."""
        return self.posting.priority

    @property
    def created_on(self) -> dt.datetime:
        """When it was posted, in UTC."""
        return dt.datetime.fromtimestamp(self.posting.created_on, dt.UTC)

    @property
    def last_modified(self) -> dt.datetime:
        """When it was last posted, claimed or abandoned, as far as this object knows, in UTC."""
        return dt.datetime.fromtimestamp(self.posting.changed_on, dt.UTC)

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Every claim of it, as far as this object knows, the latest last."""
        return self.posting.claims

    @property
    def state(self) -> str:
        """UNCLAIMED, CLAIMED or COMPLETE, asked of the board now.

        Raises:
            NotFound: it ended, and its outcome has been forgotten.
        """
        return _STATES[self.board.look(self).head]

    @property
    def book_uuid(self) -> str | None:
        """The uuid of its logbook, or None."""
        return self.posting.book.get("uuid")

    @property
    def book_name(self) -> str | None:
        """The name of its logbook, or None."""
        return self.posting.book.get("name")

    @property
    def book(self) -> Any:
        """Its logbook, read when it is first asked for; None if it has none or nobody knows where it is.

        Raises:
            NotFound: the persistence has no such logbook.
            StorageFailure: it cannot be read.
        """
        if self._book is None and self._books is not None and self.book_uuid is not None:
            with self._books.get_connection() as connection:
                self._book = connection.get_logbook(self.book_uuid)
        return self._book

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job has ended; the board wakes us, nothing is polled.

        Args:
            timeout: how many seconds to wait at most; None for ever.

        Returns:
            False if the time was over first.

        Raises:
            NotFound: it ended so long ago that this has been forgotten.
        """
        return self.board.wait_for(self, timeout) is not None

    def result(self, timeout: float | None = None) -> Any:
        """Wait for what came of the job.

        Args:
            timeout: how many seconds to wait at most; None for ever.

        Returns:
            What its worker gave: of a conductor's job the values that its flow provided, by name.

        Raises:
            JobFailure: it was trashed, or it did not end in time.
            Exception: what made its flow fail.
        """
        found = self.board.wait_for(self, timeout)
        if found is None:
            raise exc.JobFailure(f"job '{self.name}' ({self.uuid}) has not ended within {timeout} s")
        outcome: dict[str, Any] = (found.outcome or {}).get("outcome", {})
        if found.head == TRASHED:
            raise exc.JobFailure(f"job '{self.name}' ({self.uuid}) was trashed: {outcome.get('reason')}")
        if outcome.get("failure") is not None:
            Failure.from_dict(outcome["failure"]).reraise()
        return outcome.get("result")

    def __repr__(self) -> str:
        """Show what helps in a log."""
        return f"<Job {self.name} {self.priority.value} {self.uuid}>"


_KNOWN: Final = ("claim_by", "key", "needs", "not_before", "uuid")


def read_terms(given: Mapping[str, Any]) -> dict[str, Any]:
    """Read terms.

    Args:
        given: ``key``, ``needs``, ``not_before``, ``claim_by`` and ``uuid``, as for the board's ``post``.

    Returns:
        The same in the types that a posting keeps: points in time as seconds since 1970 UTC.

    Raises:
        TypeError: there is no such term, or it is of another kind.
        ValueError: a point in time has no zone.
    """
    for name in given:
        if name not in _KNOWN:
            near = difflib.get_close_matches(name, _KNOWN, n=1)
            meant = f"did you mean {near[0]}?" if near else f"it takes {', '.join(_KNOWN)}"
            raise TypeError(f"post() takes no '{name}': {meant}")
    terms = {name: value for name, value in given.items() if value is not None}
    for name in terms.keys() & {"not_before", "claim_by"}:
        terms[name] = _seconds(name, terms[name])
    if "needs" in terms:
        terms["needs"] = _words(terms["needs"])
    return terms


def read_details(details: Any) -> dict[str, Any]:
    """Read what workers need to know.

    Args:
        details: values by name, or None.

    Returns:
        The same.

    Raises:
        TypeError: it is something else.
    """
    if details is not None and not isinstance(details, Mapping):
        raise TypeError(
            f"details= takes values by name, such as {{'size': 3}}, not a {type(details).__name__}"
        )
    return dict(details or {})


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise ValueError(
                f"{name}= takes a point in time with its zone, such as datetime.now(UTC), not {value}"
            )
        return value.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}= takes seconds since 1970 UTC, or a datetime with its zone, not {value!r}")
    return float(value)


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    words = tuple(value) if isinstance(value, Iterable) else (None,)
    if not all(isinstance(word, str) for word in words):
        raise TypeError(f"needs= takes names of abilities, such as ['gpu'], not {value!r}")
    return words


_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Ending(NamedTuple):
    """How a claimed job is to end.

    ``how``: "consumed" or "trashed", and it is off the board; "abandoned" or "deferred" (both count towards a
    quarantine; who defers a job has it wait a while, longer each time, because of a trouble that may pass),
    "released" (an orderly stop: does not count) or "unbegun" (nobody worked on it: the claim is not even
    remembered), and it waits again. ``outcome``: what came of a consumed job; why ("reason") it is trashed.
    """

    job: Job
    how: str
    outcome: Mapping[str, Any] = _NOTHING


class Late(NamedTuple):
    """An ending that did not land; ``error`` says why.

    ``NotSerializable``: the outcome cannot be kept on the board, and the job is to be ended with another one.
    Otherwise the claim is not there any more.
    """

    ending: Ending
    error: exc.StacklFlowError


class Turn(NamedTuple):
    """What a turn brought: the jobs claimed in it, in their order, and the endings that did not land.

    ``until`` (seconds of the monotonic clock): a job that is not begun by then should be given back instead:
    while a process is stopped its claims may be lost without its noticing.
    """

    claimed: tuple[Job, ...] = ()
    late: tuple[Late, ...] = ()
    until: float = 0.0
