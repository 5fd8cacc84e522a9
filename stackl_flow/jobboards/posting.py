"""A posting: what a board keeps of a job, as one frozen value and as JSON text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, NamedTuple, Self

from stackl_flow import codec
from stackl_flow import exceptions as exc
from stackl_flow.jobboards.priorities import JobPriority

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
