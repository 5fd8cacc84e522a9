"""Job boards: list and show jobs, post, trash and requeue them, list and drain conductors."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.control.opening import errors_as_storage_failure, require_existing
from stackl_flow.control.runs import build_flow, import_factory
from stackl_flow.jobboards import backends
from stackl_flow.jobboards.base import Job, JobBoard
from stackl_flow.jobboards.record import (
    BOARD_STATES,
    CLAIMED,
    DEAD,
    FAILED,
    SCHEDULED,
    SUCCEEDED,
    WAITING,
    JobPriority,
    ListedJob,
)
from stackl_flow.jobboards.unreadable import UnreadableEntry
from stackl_flow.persistence.base import Backend
from stackl_flow.submission import FlowSource, post_new_flow
from stackl_flow.urls import expand_path

#: Name of the board that is used if none is named.
DEFAULT_BOARD: Final = "default"
#: The owner of claims that an operator makes.
OPERATOR: Final = "operator"
#: States that jobs can be listed by.
LISTED_STATES: Final = (WAITING, SCHEDULED, CLAIMED, SUCCEEDED, FAILED, DEAD)
#: Jobs that are read at once.
_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class ClaimView:
    """One claim of a job.

    `ended` says how it ended, such as "abandoned", and is empty while it lasts; `reason` says why.
    """

    owner: str
    at: float
    ended: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class JobView:
    """A job.

    `owner` is the conductor that claims it now, or claimed it last if it has ended; `claimed` is when.
    `reason` says why it is a dead letter, and `outcome` is the result of a job that has ended; `ended` is
    when.
    """

    uuid: str
    name: str
    state: str
    priority: str
    owner: str | None
    created: float
    updated: float
    not_before: float | None
    required_capabilities: tuple[str, ...]
    claims: tuple[ClaimView, ...]
    reason: str
    details: Mapping[str, Any]
    outcome: Mapping[str, Any] | None = None
    claimed: float | None = None
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class ConductorView:
    """A conductor that is registered on a board, with the names of the jobs that it claims."""

    name: str
    hostname: str
    pid: int | None
    slots: int | None
    jobs: tuple[str, ...]


@contextmanager
def open_board(
    url: str,
    name: str = DEFAULT_BOARD,
    persistence: Backend | None = None,
    *,
    create: bool = True,
    **options: Any,
) -> Iterator[JobBoard]:
    """Open and connect a board.

    Args:
        url: the URL of its store, or the path of a SQLite file.
        name: name of the board; a store can hold several.
        persistence: where the flows of its jobs are stored.
        create: whether the file or directory of the store may be created.
        options: as for `jobboards.backends.fetch`, such as ttl=.

    Raises:
        StorageFailure: it does not exist or cannot be used.
    """
    url = expand_path(url) if create else require_existing(url, "--board", "`stackl-flow post`")
    with errors_as_storage_failure():
        board = backends.fetch(name, {"connection": url, **options}, persistence=persistence)
    with board:
        yield board


# ------------------------------------------------------------- queries


def list_jobs(
    board: JobBoard,
    state: str | None = None,
    limit: int | None = None,
    *,
    since: float | None = None,
    until: float | None = None,
) -> list[JobView]:
    """List jobs: those on the board in the order in which they are claimed, ended ones latest first.

    Args:
        board: the board.
        state: one of `LISTED_STATES`; by default all jobs that have not ended.
        limit: maximum number of jobs.
        since: only jobs that ended, or otherwise changed last, at this time or later.
        until: only jobs that did so at this time or earlier.
    """
    views: list[JobView] = []
    after = ""
    while limit is None or len(views) < limit:
        size = _PAGE if limit is None else min(_PAGE, limit - len(views))
        page = board.list(state, since=since, until=until, limit=size, after=after)
        views += map(_view_of, page.jobs)
        after = page.next
        if not after:
            break
    return views


def find_job(board: JobBoard, identifier: str) -> JobView:
    """Find one job by its uuid, the beginning of its uuid, or its name.

    A job that has ended is found until its outcome expires. Of several jobs with one name, the only one that
    has not ended is meant.

    Raises:
        NotFound: no job matches; the message names other boards in the same store.
        MultipleChoices: several jobs match.
    """
    matches = board.find(identifier)
    exact = [job for job in matches if job.record.uuid == identifier]
    live = [job for job in matches if job.state in {*BOARD_STATES, DEAD}]
    for candidates in (exact, live, matches):
        if len(candidates) == 1:
            return _view_of(candidates[0])
        if candidates:
            raise exc.MultipleChoices(f"'{identifier}' matches {len(candidates)} jobs: use more of the uuid")
    raise exc.NotFound(
        f"no job '{identifier}' on board '{board.name}': it was never posted here, "
        f"or it has ended and its outcome has expired{other_boards_hint(board)}"
    )


def list_unreadable(board: JobBoard) -> list[UnreadableEntry]:
    """List the entries of a board that cannot be read, those that were found first first."""
    return sorted(board.unreadable, key=lambda entry: entry.at)


def other_boards_hint(board: JobBoard) -> str:
    """Return the end of a message that nothing was found: the other boards in the store, if there are any."""
    names = [name for name in board.board_names() if name != board.name]
    if not names:
        return ""
    return f"; other boards in this store: {', '.join(map(repr, names))} (choose one with --board-name)"


def list_conductors(board: JobBoard) -> list[ConductorView]:
    """List the conductors that are registered on a board."""
    jobs: dict[str, list[str]] = {}
    for view in list_jobs(board, CLAIMED):
        jobs.setdefault(view.owner or "", []).append(view.name)
    return [
        ConductorView(
            name=member.name,
            hostname=str(member.metadata.get("hostname", "?")),
            pid=member.metadata.get("pid"),
            slots=member.metadata.get("slots"),
            jobs=tuple(jobs.get(member.name, ())),
        )
        for member in board.membership.members("conductor")
    ]


def find_conductors(board: JobBoard, name: str) -> list[tuple[str, int | None]]:
    """Return host and process id of each registered conductor of a name; there should be at most one."""
    found = [member.metadata for member in board.membership.members("conductor") if member.name == name]
    return [(str(metadata.get("hostname", "?")), metadata.get("pid")) for metadata in found]


def _view_of(job: ListedJob) -> JobView:
    record = job.record
    secrets = redaction.secret_names(record.details)
    with redaction.redacting(redaction.find_values(record.details, secrets)):
        return JobView(
            uuid=record.uuid,
            name=record.name,
            state=job.state,
            priority=record.priority.value,
            owner=job.owner,
            created=record.created_on,
            updated=record.changed_on,
            not_before=record.not_before,
            required_capabilities=record.required_capabilities,
            claims=tuple(
                ClaimView(claim.owner, claim.at, claim.ended, redaction.redact(claim.reason))
                for claim in record.claims
            ),
            reason=redaction.redact(record.reason),
            details=redaction.redact_data(redaction.mask(record.details, secrets)),
            outcome=redaction.redact_data(job.outcome),
            claimed=job.claimed_on,
            ended=job.ended_on,
        )


# ------------------------------------------------------------- commands


def post(
    board: JobBoard,
    backend: Backend,
    factory: str,
    factory_kwargs: Mapping[str, Any],
    store: Mapping[str, Any],
    name: str | None = None,
    priority: str = JobPriority.NORMAL.value,
    secrets: Collection[str] | None = None,
    **options: Any,
) -> Job:
    """Build and check a flow, store it, and post it as a job.

    Args:
        board: where the job is posted.
        backend: where the flow is stored.
        factory: "MODULE:FACTORY".
        factory_kwargs: keyword arguments of the factory; stored with the flow.
        store: input values of the flow.
        name: name of the job, by default the flow's name.
        priority: the name of a `JobPriority`.
        secrets: names of values that are redacted everywhere.
        options: as for the board's `post`, such as key= and required_capabilities=.

    Raises:
        FactoryNotFound: the factory cannot be imported or called.
        DependencyFailure: an input of an atom is missing.
        NotSerializable: a value cannot be stored; nothing was stored.
        StorageFailure: the flow or the job cannot be stored.
    """
    flow = build_flow(import_factory(factory), factory_kwargs, factory)
    source = FlowSource(flow, factory, (), factory_kwargs, store, secrets)
    return post_new_flow(board, backend, source, name, priority=priority, **options)


def trash(board: JobBoard, uuid: str, reason: str) -> None:
    """Move an unclaimed job to the dead letters.

    Raises:
        UnclaimableJob: it is claimed.
        NotFound: it is not on the board.
    """
    job = board.get_job(uuid)
    board.claim(job, OPERATOR)
    board.trash(job, OPERATOR, reason)


def requeue(board: JobBoard, view: JobView) -> None:
    """Put a dead letter back on the board, without its history of claims.

    Raises:
        NotFound: the job is not a dead letter.
    """
    if view.state != DEAD:
        raise exc.NotFound(f"job '{view.name}' ({view.uuid}) is {view.state}, not dead")
    board.dead_letters.requeue(view.uuid)


def requeue_all(board: JobBoard, reason: str = "") -> Iterator[JobView]:
    """Put dead letters back on the board, without their histories of claims, oldest first.

    Args:
        board: the board.
        reason: only those whose reason contains this text, in upper or lower case.

    Yields:
        Each job, as it was in the dead-letter queue, after it was requeued.
    """
    return (_view_of(ListedJob(DEAD, record)) for record in board.dead_letters.requeue_all(reason))


def discard(board: JobBoard, identifier: str) -> str:
    """Delete a dead letter, or an unreadable entry, for good.

    Args:
        board: the board.
        identifier: the uuid of a dead letter, its beginning or its name; or the id of an unreadable entry, or
            the uuid of its job.

    Returns:
        What was deleted.

    Raises:
        NotFound: there is neither, or the job is not a dead letter.
    """
    for entry in board.unreadable:
        if identifier in {entry.id, entry.uuid}:
            board.unreadable.discard(entry.id)
            return entry.key
    view = find_job(board, identifier)
    if view.state != DEAD:
        raise exc.NotFound(
            f"job '{view.name}' ({view.uuid}) is {view.state}, not dead: trash it first (`jobs trash`)"
        )
    board.dead_letters.discard(view.uuid)
    return f"{view.name} {view.uuid}"


def restore(board: JobBoard, entry_id: str) -> None:
    """Put an unreadable entry back where it was found, for a release that can read it.

    Raises:
        NotFound: there is no such entry.
    """
    board.unreadable.restore(entry_id)


def drain(board: JobBoard, conductor: str) -> None:
    """Request a conductor, on any machine, to release its jobs and exit.

    Raises:
        NotFound: no conductor of this name is registered.
    """
    names = [member.name for member in board.membership.members("conductor")]
    if conductor not in names:
        registered = f"registered are {', '.join(names)}" if names else "none is running"
        raise exc.NotFound(f"no conductor '{conductor}' is registered on board '{board.name}'; {registered}")
    board.membership.request_drain(conductor)
