"""Job boards: list and show jobs, post, trash and requeue them, list and drain conductors."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.control.opening import errors_as_storage_failure, require_existing
from stackl_flow.control.runs import store_flow
from stackl_flow.jobboards import backends
from stackl_flow.jobboards.base import Job, JobBoard
from stackl_flow.jobboards.record import CLAIMED, DEAD, SCHEDULED, WAITING, JobPriority, JobRecord
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import new_uuid
from stackl_flow.submission import post_stored_flow
from stackl_flow.urls import expand_path

#: Name of the board that is used if none is named.
DEFAULT_BOARD: Final = "default"
#: The owner of claims that an operator makes.
OPERATOR: Final = "operator"
#: States that jobs can be listed by.
LISTED_STATES: Final = (WAITING, SCHEDULED, CLAIMED, DEAD)


@dataclass(frozen=True, slots=True)
class ClaimView:
    """One claim of a job; `ended` says how it ended, such as "abandoned", and is empty while it lasts."""

    owner: str
    at: float
    ended: str


@dataclass(frozen=True, slots=True)
class JobView:
    """A job.

    `owner` is the conductor that claims it now, `reason` says why it is a dead letter, and `outcome` is the
    result of a job that has ended.
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


def list_jobs(board: JobBoard, state: str | None = None, limit: int | None = None) -> list[JobView]:
    """List jobs in the order in which they are claimed.

    Args:
        board: the board.
        state: one of `LISTED_STATES`; by default all jobs but dead letters.
        limit: maximum number of jobs.
    """
    if state == DEAD:
        views = (_job_view(record, DEAD) for record in board.dead_letters)
    else:
        views = (view for view in _views_on_board(board) if state in {None, view.state})
    return list(itertools.islice(views, limit))


def find_job(board: JobBoard, identifier: str) -> JobView:
    """Find one job by its uuid, the beginning of its uuid, or its name.

    A job that has ended is found only by its full uuid, and only until its outcome expires.

    Raises:
        NotFound: no job matches; the message names other boards in the same store.
        MultipleChoices: several jobs match.
    """
    views = itertools.chain(list_jobs(board), list_jobs(board, DEAD))
    matches = [view for view in views if view.uuid.startswith(identifier) or view.name == identifier]
    if len(matches) > 1:
        raise exc.MultipleChoices(f"'{identifier}' matches {len(matches)} jobs: use more of the uuid")
    if matches:
        return matches[0]
    try:
        snapshot = board.get_snapshot(identifier)
    except exc.NotFound as error:
        raise exc.NotFound(f"{error.args[0]}{other_boards_hint(board)}") from error
    outcome = (snapshot.outcome or {}).get("outcome", {})
    return _job_view(snapshot.ended_record(identifier), snapshot.state, outcome=outcome)


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


def _views_on_board(board: JobBoard) -> Iterator[JobView]:
    for job in board.iterjobs():
        try:
            snapshot = board.get_snapshot(job)
            owner = board.find_owner(job) if snapshot.state == CLAIMED else None
        except exc.NotFound:
            continue  # it ended after iterjobs had read it
        yield _job_view(snapshot.record or job.record, snapshot.state, owner)


def _job_view(
    record: JobRecord, state: str, owner: str | None = None, outcome: Mapping[str, Any] | None = None
) -> JobView:
    secrets = redaction.secret_names(record.details)
    with redaction.redacting(redaction.find_values(record.details, secrets)):
        return JobView(
            uuid=record.uuid,
            name=record.name,
            state=state,
            priority=record.priority.value,
            owner=owner,
            created=record.created_on,
            updated=record.changed_on,
            not_before=record.not_before,
            required_capabilities=record.required_capabilities,
            claims=tuple(ClaimView(claim.owner, claim.at, claim.ended) for claim in record.claims),
            reason=redaction.redact(record.reason),
            details=redaction.redact_data(redaction.mask(record.details, secrets)),
            outcome=redaction.redact_data(outcome),
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
    uuid = options.pop("uuid", None) or new_uuid()
    _, detail, book = store_flow(backend, factory, factory_kwargs, store, name, secrets, uuid)
    options |= {"uuid": uuid, "priority": priority}
    return post_stored_flow(board, backend, book, detail.uuid, detail.name, **options)


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
