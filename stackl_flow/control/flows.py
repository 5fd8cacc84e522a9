"""Questions about stored flows: which there are, and how one stands.

Orders about logbooks: remove those whose flows ended long enough ago.

The history of a flow: every move of it and its atoms, with time and owner.

Whether the process that owns a flow is still at work on it.

An engine signs with "machine:process:engine". Only a process of this machine can be looked for; of another
machine's nothing is known here, and taking its flow over is safe in any case: what it writes afterwards is
refused.
"""

from __future__ import annotations

import os
import re
import socket
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from stackl_flow import exceptions as exc
from stackl_flow import redaction, states
from stackl_flow.control.views import (
    NEVER,
    AtomView,
    FailureView,
    FlowSummary,
    FlowView,
    MoveView,
    Times,
    measure,
)
from stackl_flow.failure import Failure
from stackl_flow.persistence import retention
from stackl_flow.persistence.base import Backend, Connection
from stackl_flow.persistence.models import AtomDetail, RetryDetail, secret_values
from stackl_flow.persistence.records import FlowRecord, Transition
from stackl_flow.persistence.retention import FinishedLogBook, RetentionPolicy

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.ASCII)


def span(text: str) -> float:
    """Read a span of time.

    Args:
        text: such as "7d", "36h", "90m", "45s" or "2w".

    Returns:
        Seconds.

    Raises:
        InvalidFormat: it is none.
    """
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise exc.InvalidFormat(
            f"'{text}' is no span of time: write a number and s, m, h, d or w, such as 7d"
        )
    return float(found[1]) * _UNITS[found[2]]


def prune(
    backend: Backend, policy: RetentionPolicy, *, only_jobs: bool = False, dry_run: bool = False
) -> list[FinishedLogBook]:
    """Remove the books whose flows have all ended and that have been kept long enough.

    Args:
        backend: where they are stored; its clock tells the time.
        policy: the retention policy.
        only_jobs: leave books alone that were not posted with a job.
        dry_run: remove nothing.

    Returns:
        The books that were removed, or would be.

    Raises:
        StorageFailure: the place cannot be used.
    """

    def wanted(book: FinishedLogBook) -> bool:
        return not only_jobs or book.job is not None

    return list(retention.prune(backend, policy, backend.clock.now(), wanted, dry_run=dry_run))


def history(backend: Backend, flow_uuid: str, after: int = 0, limit: int | None = None) -> list[MoveView]:
    """Read the moves of a flow in the order they were made.

    Args:
        backend: where the flow is stored.
        flow_uuid: its whole uuid.
        after: only moves with a higher seq.
        limit: at most so many.

    Returns:
        The moves.

    Raises:
        StorageFailure: the place cannot be read.
    """
    with backend.get_connection() as connection:
        return [MoveView(*move) for move in connection.get_history(flow_uuid, after, limit)]


def times_of(connection: Connection, flow_uuid: str) -> Mapping[str | None, Times]:
    """Measure everything in a flow.

    Args:
        connection: to where the flow is stored.
        flow_uuid: its whole uuid.

    Returns:
        The times by atom name; those of the flow itself under None.
    """
    moves: dict[str | None, list[Transition]] = defaultdict(list)
    arrivals: dict[str, float] = {}
    for move in connection.get_history(flow_uuid):
        moves[move.atom].append(move)
        arrivals.setdefault(move.owner, move.at)
    return {name: measure(own, arrivals) for name, own in moves.items()}


_NAMED_IN_ERROR = 5


def flows(backend: Backend, state: str | None = None, limit: int | None = None) -> list[FlowSummary]:
    """List stored flows, the newest first.

    Args:
        backend: where they are stored.
        state: only flows in this state.
        limit: at most so many.

    Returns:
        One summary a flow.

    Raises:
        StorageFailure: the place cannot be read.
    """
    with backend.get_connection() as connection:
        return [_summary(record) for record in connection.list_flow_records(state=state, limit=limit)]


def find(backend: Backend, wanted: str) -> FlowSummary:
    """Find one flow by its uuid, by the beginning of it, or by its name when only one flow has that.

    Args:
        backend: where the flow is stored.
        wanted: the uuid, the beginning of one, or a flow's name.

    Returns:
        The flow.

    Raises:
        NotFound: there is no such flow.
        MultipleChoices: several flows fit; the message names them.
        StorageFailure: the place cannot be read.
    """
    with backend.get_connection() as connection:
        try:
            return _summary(connection.get_flow_record(wanted))
        except exc.NotFound:
            known = connection.list_flow_records()
    low = wanted.lower()
    fitting = [r for r in known if low and r.uuid.startswith(low)] or [r for r in known if r.name == wanted]
    if not fitting:
        raise exc.NotFound(
            f"no flow '{wanted}' is stored here: `stackl-flow list` shows what is ({len(known)} flows)"
        )
    if len(fitting) > 1:
        named = ", ".join(f"{record.uuid} ({record.name})" for record in fitting[:_NAMED_IN_ERROR])
        more = f" and {len(fitting) - _NAMED_IN_ERROR} more" if len(fitting) > _NAMED_IN_ERROR else ""
        raise exc.MultipleChoices(
            f"'{wanted}' fits {len(fitting)} flows, give more of the uuid: {named}{more}"
        )
    return _summary(fitting[0])


def show(backend: Backend, wanted: str) -> FlowView:
    """Show how one flow and its atoms stand.

    Args:
        backend: where the flow is stored.
        wanted: as for `find`.

    Returns:
        The flow with its atoms, without what is marked as secret.

    Raises:
        NotFound: there is no such flow.
        MultipleChoices: several flows fit.
        StorageFailure: the place cannot be read.
    """
    uuid = find(backend, wanted).uuid
    with backend.get_connection() as connection:
        detail = connection.get_flow_details(uuid)
        record = connection.get_flow_record(uuid)
        times = times_of(connection, uuid)
    own = times.get(None, NEVER)
    with redaction.redacting(secret_values(detail.meta, detail)):
        atoms = tuple(_atom(atom, times.get(atom.name, NEVER), detail.meta) for atom in detail)
    return FlowView(_summary(record), factory_of(detail.meta), own.started, own.ended, own.seconds, atoms)


def factory_of(meta: Mapping[str, Any] | None) -> str | None:
    """Tell which factory a flow was made by.

    Args:
        meta: the stored notes of the flow.

    Returns:
        The factory's full name, or None when the flow was given as an object.
    """
    kept = (meta or {}).get("factory")
    return str(kept["name"]) if isinstance(kept, dict) and "name" in kept else None


def _summary(record: FlowRecord) -> FlowSummary:
    return FlowSummary(
        uuid=record.uuid,
        name=record.name,
        state=record.state or states.PENDING,
        book_uuid=record.book_uuid,
        owner=record.owner,
        epoch=record.epoch,
        created=record.created_at,
        updated=record.updated_at,
    )


def _atom(detail: AtomDetail, times: Times, notes: Mapping[str, Any]) -> AtomView:
    return AtomView(
        name=detail.name,
        uuid=detail.uuid,
        kind="retry" if isinstance(detail, RetryDetail) else "task",
        state=detail.state or states.PENDING,
        intention=detail.intention or states.EXECUTE,
        attempts=times.attempts,
        started=times.started,
        ended=times.ended,
        seconds=times.seconds,
        revert_seconds=times.revert_seconds,
        progress=detail.progress,
        failures=tuple(_failures(detail)),
        result=redaction.redact_data(redaction.mask_result(notes, detail.name, detail.results)),
    )


def _failures(detail: AtomDetail) -> Iterator[FailureView]:
    kept: tuple[tuple[Literal["execute", "revert"], Failure | None], ...] = (
        ("execute", detail.failure),
        ("revert", detail.revert_failure),
    )
    for during, failure in kept:
        if failure is not None:
            texts = failure.exc_type_names[0], failure.exception_str, failure.traceback_str
            yield FailureView(during, *map(redaction.redact, texts))


_AT_WORK = frozenset({states.RUNNING, states.SUSPENDING, states.RESUMING})
_SIGNED_PARTS = 3


def check_free(flow: FlowSummary) -> None:
    """Refuse a flow that a living process of this machine is at work on.

    Args:
        flow: the flow, as it is stored.

    Raises:
        OwnershipLost: its owner is another process of this machine, and alive.
    """
    if flow.state not in _AT_WORK or flow.owner is None:
        return
    parts = flow.owner.rsplit(":", _SIGNED_PARTS - 1)
    if len(parts) != _SIGNED_PARTS or parts[0] != socket.gethostname() or not parts[1].isdigit():
        return
    process = int(parts[1])
    if process != os.getpid() and _alive(process):
        raise exc.OwnershipLost(
            f"flow '{flow.name}' ({flow.uuid}) is {flow.state} in process {process} of this machine: "
            f"let it end, stop it, or take the flow over with --force"
        )


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # It is there, and somebody else's.
        return True
    return True
