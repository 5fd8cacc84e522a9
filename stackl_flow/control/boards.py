"""Jobboards as an operator sees them: what is on one, who works there, and what to do about it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stackl_flow import exceptions as exc
from stackl_flow import redaction, urls
from stackl_flow.control.opening import existing, told_as_storage
from stackl_flow.control.runs import keep
from stackl_flow.jobboards import backends
from stackl_flow.jobboards.base import Job, JobBoard
from stackl_flow.jobboards.record import CLAIMED, DEAD, JobPriority, JobRecord
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import new_uuid
from stackl_flow.submission import post_stored_flow

#: Under which name an operator claims.
OPERATOR = "operator"
#: Name of the board that is meant when none is named.
BOARD = "default"


@dataclass(frozen=True, slots=True)
class ClaimView:
    """One claim of a job; `ended` is empty while it lasts."""

    owner: str
    at: float
    ended: str


@dataclass(frozen=True, slots=True)
class JobView:
    """A job; `owner` claims it now, `reason` says why it was trashed, `outcome` what came of it."""

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
class WorkerView:
    """A conductor that is at the board, with the jobs it claims."""

    name: str
    hostname: str
    pid: int | None
    slots: int | None
    jobs: tuple[str, ...]


@contextmanager
def open_board(
    place: str, name: str = BOARD, books: Backend | None = None, *, new: bool = True, **settings: Any
) -> Iterator[JobBoard]:
    """Open a board.

    Args:
        place: its address, or the path of an SQLite file.
        name: its name; boards of different names may share a place.
        books: where its jobs' flows are stored.
        new: whether a place that is not there yet may be made.
        settings: as for `jobboards.backends.fetch`, such as ttl=.

    Yields:
        The board, connected.

    Raises:
        StorageFailure: it cannot be used; the message tells what to do.
    """
    url = urls.expand_path(place) if new else existing(place, "--board", "`stackl-flow post`")
    conf = {"connection": url, **settings}
    with told_as_storage():
        board = backends.fetch(name, conf, persistence=books)
    with board:
        yield board


def jobs(board: JobBoard, state: str | None = None, limit: int | None = None) -> list[JobView]:
    """List the jobs on a board, in the order in which they are to be claimed.

    Args:
        board: the board.
        state: "waiting", "claimed", "scheduled" or "dead"; all but the dead if left out.
        limit: at most so many.

    Returns:
        The jobs.
    """
    if state == DEAD:
        found = (_view(record, DEAD) for record in board.dead_letters)
    else:
        listed = (_job_view(board, job) for job in board.iterjobs())
        found = (view for view in listed if view is not None and state in {None, view.state})
    return [view for view, _ in zip(found, range(limit or 1_000_000_000), strict=False)]


def find(board: JobBoard, wanted: str) -> JobView:
    """Find one job.

    Args:
        board: the board.
        wanted: its uuid, or the beginning of it, or its name.

    Returns:
        The job.

    Raises:
        NotFound: there is none.
        MultipleChoices: there are several.
    """
    fitting = [view for view in [*jobs(board), *jobs(board, DEAD)] if _fits(view, wanted)]
    if len(fitting) > 1:
        raise exc.MultipleChoices(f"{len(fitting)} jobs fit '{wanted}': give more of the uuid")
    if fitting:
        return fitting[0]
    ended = board.get_snapshot(wanted)  # only a whole uuid finds a job that has ended
    outcome = (ended.outcome or {}).get("outcome", {})
    return _view(ended.ended_record(wanted), ended.state, outcome=outcome)


def post(
    board: JobBoard,
    backend: Backend,
    spec: str,
    arguments: Mapping[str, Any],
    store: Mapping[str, Any],
    name: str | None = None,
    priority: str = JobPriority.NORMAL.value,
    secrets: Collection[str] | None = None,
    **terms: Any,
) -> Job:
    """Store a flow, made by its factory, and post it as a job.

    Args:
        board: the board.
        backend: where the flow is stored.
        spec: "MODULE:FACTORY".
        arguments: keyword arguments for the factory; stored with the flow.
        store: values that the flow's atoms ask for.
        name: what to call the job, if not by the flow's name.
        priority: how urgent it is.
        secrets: names of values that are not to be seen.
        terms: as for the board's `post`, such as key= and required_capabilities=.

    Returns:
        The job.

    Raises:
        FactoryNotFound: the factory cannot be imported or called.
        DependencyFailure: an atom needs something that nobody gives.
        NotSerializable: a value cannot be stored; nothing was.
        StorageFailure: flow or job cannot be stored.
    """
    uuid = terms.pop("uuid", None) or new_uuid()
    _, detail, book = keep(backend, spec, arguments, store, name, secrets, uuid)
    return post_stored_flow(
        board, backend, book, detail.uuid, detail.name, uuid=uuid, priority=priority, **terms
    )


def trash(board: JobBoard, uuid: str, reason: str) -> None:
    """Take a job that nobody claims off the board, and keep it in the bin.

    Args:
        board: the board.
        uuid: which.
        reason: why.

    Raises:
        UnclaimableJob: somebody claims it.
        NotFound: it is not on the board.
    """
    job = board.get_job(uuid)
    board.claim(job, OPERATOR)
    board.trash(job, OPERATOR, reason)


def conductors(board: JobBoard) -> list[WorkerView]:
    """List the conductors at a board.

    Args:
        board: the board.

    Returns:
        Those who are alive, with what each claims.
    """
    held: dict[str, list[str]] = {}
    for view in jobs(board, CLAIMED):
        held.setdefault(view.owner or "", []).append(view.name)
    views = []
    for entity in board.membership.members("conductor"):
        told = entity.metadata
        views.append(
            WorkerView(
                entity.name,
                str(told.get("hostname", "?")),
                told.get("pid"),
                told.get("slots"),
                tuple(held.get(entity.name, ())),
            )
        )
    return views


def namesakes(board: JobBoard, name: str) -> list[tuple[str, int | None]]:
    """List the conductors of a name that are at a board: there should be one at most.

    Args:
        board: the board.
        name: the name.

    Returns:
        Host and process of each.
    """
    found = [entity.metadata for entity in board.membership.members("conductor") if entity.name == name]
    return [(str(told.get("hostname", "?")), told.get("pid")) for told in found]


def _fits(view: JobView, wanted: str) -> bool:
    return view.uuid.startswith(wanted) or view.name == wanted


def _job_view(board: JobBoard, job: Job) -> JobView | None:
    """Read a listed job; None if it has ended since, and its outcome has expired."""
    try:
        snapshot = board.get_snapshot(job)
        owner = board.find_owner(job) if snapshot.state == CLAIMED else None
    except exc.NotFound:  # it has ended since
        try:
            snapshot, owner = board.get_snapshot(job), None
        except exc.NotFound:
            return None
    return _view(snapshot.record or job.record, snapshot.state, owner)


def _view(
    record: JobRecord, state: str, owner: str | None = None, outcome: Mapping[str, Any] | None = None
) -> JobView:
    secrets = redaction.secret_names(record.details)
    with redaction.redacting(redaction.find_values(record.details, secrets)):
        return _shown(
            record, redaction.redact_data(redaction.mask(record.details, secrets)), state, owner, outcome
        )


def _shown(
    record: JobRecord,
    details: Mapping[str, Any],
    state: str,
    owner: str | None,
    outcome: Mapping[str, Any] | None,
) -> JobView:
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
        details=details,
        outcome=redaction.redact_data(outcome),
    )
