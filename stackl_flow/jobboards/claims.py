"""Who holds which jobs through one board object: claims are made and ended here, one at a time.

Every claim that landed is remembered with its fencing number, so that ending it reads nothing: the commit
checks the number.

What a board says when it will not do something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.clock import Clock
from stackl_flow.coordination.change_feed import Event, Writer
from stackl_flow.coordination.leases import Leases
from stackl_flow.jobboards import base
from stackl_flow.jobboards import transactions as m
from stackl_flow.jobboards.job import (
    CLAIMED,
    CONSUMED,
    LATER,
    TRASHED,
    UNBEGUN,
    WAITING,
    Ending,
    Job,
    Posting,
)
from stackl_flow.jobboards.keys import Places
from stackl_flow.jobboards.maintenance import Rules
from stackl_flow.jobboards.queries import Found, Reading
from stackl_flow.jobboards.transactions import Held, Writes
from stackl_flow.kv.items import ABSENT


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


def unclaimable(job: Job, found: Found) -> exc.StacklFlowError:
    """Make the error for a job that cannot be claimed.

    Args:
        job: the job.
        found: where it stands.

    Returns:
        The error, to be raised.
    """
    if found.outcome is not None:
        return off_board(job, found)
    if found.head == LATER:
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


_LOG = redaction.get_logger(__name__)


class Claims:
    """The claims made through one board object.

    Args:
        places: makes keys.
        reading: answers questions about the board.
        writer: writes, and tells those who watch.
        leases: what claims stand on.
        rules: how the board treats its jobs.
        clock: tells the time.
        sweep: puts the board in order.
    """

    def __init__(
        self,
        places: Places,
        reading: Reading,
        writer: Writer,
        leases: Leases,
        rules: Rules,
        clock: Clock,
        sweep: Callable[[], None],
    ) -> None:
        self.leases = leases
        self._places = places
        self._reading = reading
        self._writer = writer
        self._rules = rules
        self._clock = clock
        self._sweep = sweep
        #: Fencing number and lease of each claim, by job and claimer.
        self._made: dict[tuple[str, str], tuple[int, str]] = {}
        self._doubts: list[tuple[Job, str]] = []

    # ------------------------------------------------------------- making

    def claim(self, job: Job, who: str) -> Job:
        """Claim a job; see the board's verb.

        Args:
            job: which.
            who: the claimer.

        Returns:
            The job, with this claim.

        Raises:
            UnclaimableJob: somebody has it, or it is not yet to run.
            NotFound: it is not on the board any more.
        """
        check_who(who)
        for _ in range(2):  # a lease may have run out unnoticed; a job read long ago may be waiting again
            waiting = bool(job.version)
            found = Found(WAITING, job.posting, job.version) if waiting else self._reading.find(job.uuid)
            if found.head != WAITING or found.posting is None:
                raise unclaimable(job, found)
            if self.is_late(found.posting):
                self._sweep()
                break
            claimed = found.posting.claimed(who, self.leases.of(who).id, self._clock.now())
            try:
                fence = self._writer.write(*self.claiming(claimed, found.version))
            except exc.Conflict:
                self.leases.check(who)
                job.version = 0
            except exc.StorageFailure:
                self.doubt(job, who)
                raise
            else:
                return self.made(job, claimed, who, fence)
        raise unclaimable(job, self._reading.find(job.uuid))

    def claiming(self, claimed: Posting, version: int) -> tuple[list[Event], Writes]:
        """Say what a claim tells and writes.

        Args:
            claimed: the job, with the new claim as its last.
            version: the version of the waiting item.
        """
        return [(base.CLAIMED, claimed)], m.claim(self._places, claimed, version)

    def now(self) -> float:
        """Tell the time, in seconds since 1970 UTC."""
        return self._clock.now()

    def is_late(self, posting: Posting) -> bool:
        """Say whether the time by which a job had to be claimed is over.

        Args:
            posting: the job.
        """
        return posting.claim_by is not None and posting.claim_by <= self._clock.now()

    def made(self, job: Job, claimed: Posting, who: str, fence: int) -> Job:
        """Remember a claim that landed.

        Args:
            job: which.
            claimed: the job, with this claim.
            who: the claimer.
            fence: its fencing number.
        """
        self._made[job.uuid, who] = fence, claimed.lease
        job.posting, job.version, job.fence = claimed, fence, fence
        return job

    # ------------------------------------------------------------- ending

    def end(self, ending: Ending, who: str) -> None:
        """End a claim.

        Args:
            ending: which, and how.
            who: the claimer.

        Raises:
            JobFailure: somebody else claims it, or nobody.
            NotFound: it is not on the board any more.
        """
        event, writes = self.ending(ending, who)
        writes = self.noted(writes, [ending])
        job = ending.job
        if not self._writer.commit([event], writes):
            found = self._reading.find(job.uuid)
            if found.posting is None:
                raise off_board(job, found)
            raise not_owned(job, who, self._reading.owner(found.posting.lease))
        self.ended(job, who)

    def ending(self, ending: Ending, who: str) -> tuple[Event, Writes]:
        """Say what the end of a claim tells and writes, save for the note (see ``noted``).

        Args:
            ending: which, and how.
            who: the claimer.

        Raises:
            JobFailure: somebody else claims it, or nobody.
            NotFound: it is not on the board any more.
        """
        job, how, outcome = ending
        held, now = self._held(job, who), self._clock.now()
        if how == CONSUMED:
            return (base.REMOVAL, job.posting), m.consume(self._places, held, dict(outcome), now)
        if how == TRASHED:
            reason = outcome.get("reason") or f"trashed by '{who}'"
            return (base.REMOVAL, job.posting), m.trash(self._places, held, reason, now)
        kind, writes = self._rules.in_vain(self._places, held, how, now)
        return (kind, job.posting), writes

    def noted(self, writes: Writes, ends: Iterable[Ending]) -> Writes:
        """Add to what ends claims which of the jobs are done with.

        Args:
            writes: what is written for all of them.
            ends: how they end.
        """
        done = {end.job.uuid: end.job.posting.key for end in ends if end.how == CONSUMED}
        if not done:
            return writes
        return writes._replace(puts=(*writes.puts, m.note(self._places, done, self._clock.now())))

    def ended(self, job: Job, who: str) -> None:
        """Forget a claim whose end landed.

        Args:
            job: which.
            who: the claimer.
        """
        self._made.pop((job.uuid, who), None)
        job.version = job.fence = 0

    def check_held(self, job: Job, who: str) -> None:
        """Ask the board itself whether somebody holds a job.

        Args:
            job: which.
            who: the claimer.

        Raises:
            JobFailure: he does not.
            NotFound: it is not on the board any more.
        """
        job.version = 0
        self._held(job, who)

    def _held(self, job: Job, who: str) -> Held:
        """Read a job that somebody says he holds."""
        check_who(who)
        if job.version and self._made.get((job.uuid, who), (ABSENT,))[0] == job.version:
            # Claimed through it: the commit checks that.
            return Held(job.posting, job.version, job.posting.lease)
        found = self._reading.find(job.uuid)
        if found.posting is None:
            raise off_board(job, found)
        owner, fence = self._reading.owner(found.posting.lease), found.version
        mine = self._made.get((job.uuid, who), (fence,))[0]
        # Who lost a claim and made another has two objects for one job, and only the later one holds it.
        is_late = job.fence not in {0, fence}
        if found.head != CLAIMED or owner != who or fence != mine or is_late:
            raise not_owned(job, who, owner)
        return Held(found.posting, fence, found.posting.lease)

    # ------------------------------------------------------------- what went wrong

    def doubt(self, job: Job, who: str) -> None:
        """Note a claim of which nobody knows whether it landed, because the place failed.

        Args:
            job: which.
            who: the claimer.
        """
        job.version = 0
        self._doubts.append((job, who))

    def settle(self) -> None:
        """Give back what may have been claimed when the place failed, and nobody works on."""
        while self._doubts:
            job, who = self._doubts[-1]
            try:
                if (job.uuid, who) not in self._made:
                    self.end(Ending(job, UNBEGUN), who)
            except (exc.JobFailure, exc.NotFound):
                _LOG.debug("'%s' had not claimed %r", who, job)
            self._doubts.pop()

    def lost(self, who: str) -> None:
        """Forget the claims that stood on somebody's lease which ran out.

        Those on a lease that he has by now are good: the news of the other may come late.

        Args:
            who: the claimer.
        """
        now = self.leases.current(who)
        for held in [
            held for held, (_, lease) in list(self._made.items()) if held[1] == who and lease != now
        ]:
            self._made.pop(held, None)

    def clear(self) -> None:
        """Forget all claims: they were given up with their leases."""
        self._made.clear()
