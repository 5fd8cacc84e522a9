"""Stored flows: list and show them, read their history, and apply retention.

An engine records its owner id as "host:process id:engine". `check_not_running` uses it to protect a flow
that another process of this machine is running. For owners on other machines nothing is known here; taking
over their flows is safe, because a superseded owner's writes are rejected.
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
    NOT_STARTED,
    QUEUED,
    AtomView,
    FailureView,
    FlowSummary,
    FlowView,
    Timing,
    measure,
)
from stackl_flow.failure import Failure
from stackl_flow.persistence import retention
from stackl_flow.persistence.base import Backend, Connection
from stackl_flow.persistence.models import AtomDetail, RetryDetail, secret_values
from stackl_flow.persistence.records import FlowRecord, Transition
from stackl_flow.persistence.retention import FinishedLogBook, RetentionPolicy

#: Maximum number of flows that an error message lists.
_LISTED_IN_ERROR: Final = 5

# ------------------------------------------------------------- queries


def list_flows(backend: Backend, state: str | None = None, limit: int | None = None) -> list[FlowSummary]:
    """List stored flows, newest first.

    Args:
        backend: where they are stored.
        state: only flows in this state.
        limit: maximum number of flows.

    Raises:
        StorageFailure: the backend cannot be read.
    """
    with backend.get_connection() as connection:
        return [_summary(record) for record in connection.list_flow_records(state=state, limit=limit)]


def find_flow(backend: Backend, identifier: str) -> FlowSummary:
    """Find one flow by its uuid, the beginning of its uuid, or its name if only one flow has that name.

    Raises:
        NotFound: no flow matches.
        MultipleChoices: several flows match; the message lists them.
        StorageFailure: the backend cannot be read.
    """
    with backend.get_connection() as connection:
        try:
            return _summary(connection.get_flow_record(identifier))
        except exc.NotFound:
            records = connection.list_flow_records()
    prefix = identifier.lower()
    matches = [record for record in records if prefix and record.uuid.startswith(prefix)]
    matches = matches or [record for record in records if record.name == identifier]
    if not matches:
        raise exc.NotFound(
            f"no flow '{identifier}' in this database ({len(records)} flows): `stackl-flow list` lists them"
        )
    if len(matches) > 1:
        listed = ", ".join(f"{record.uuid} ({record.name})" for record in matches[:_LISTED_IN_ERROR])
        more = f" and {len(matches) - _LISTED_IN_ERROR} more" if len(matches) > _LISTED_IN_ERROR else ""
        raise exc.MultipleChoices(
            f"'{identifier}' matches {len(matches)} flows: {listed}{more}; use more of the uuid"
        )
    return _summary(matches[0])


def get_flow(backend: Backend, identifier: str) -> FlowView:
    """Return one flow with its atoms; secrets are redacted.

    Args:
        backend: where the flow is stored.
        identifier: as for `find_flow`.

    Raises:
        NotFound: no flow matches.
        MultipleChoices: several flows match.
        StorageFailure: the backend cannot be read.
    """
    uuid = find_flow(backend, identifier).uuid
    with backend.get_connection() as connection:
        detail = connection.get_flow_details(uuid)
        record = connection.get_flow_record(uuid)
        timings = _timings(connection, uuid)
    own = timings.get(None, NOT_STARTED)
    with redaction.redacting(secret_values(detail.meta, detail)):
        atoms = tuple(_atom_view(atom, timings.get(atom.name, NOT_STARTED), detail.meta) for atom in detail)
    return FlowView(_summary(record), factory_name(detail.meta), own.started, own.ended, own.seconds, atoms)


def get_history(
    backend: Backend, flow_uuid: str, after: int = 0, limit: int | None = None
) -> list[Transition]:
    """Read the transitions of a flow and its atoms, in order.

    Args:
        backend: where the flow is stored.
        flow_uuid: its full uuid.
        after: only transitions with a higher `seq`.
        limit: maximum number of transitions.

    Raises:
        StorageFailure: the backend cannot be read.
    """
    with backend.get_connection() as connection:
        return connection.get_history(flow_uuid, after, limit)


def factory_name(meta: Mapping[str, Any] | None) -> str | None:
    """Return the name of a flow's factory from its metadata; None for a flow that was loaded as an object."""
    factory = (meta or {}).get("factory")
    return str(factory["name"]) if isinstance(factory, dict) and "name" in factory else None


def _timings(connection: Connection, flow_uuid: str) -> Mapping[str | None, Timing]:
    """Measure everything in a flow, by atom name; the flow itself has the key None."""
    transitions: dict[str | None, list[Transition]] = defaultdict(list)
    owner_arrivals: dict[str | None, float] = {}
    for transition in connection.get_history(flow_uuid):
        transitions[transition.atom].append(transition)
        owner_arrivals.setdefault(transition.who, transition.at)
    return {name: measure(own, owner_arrivals) for name, own in transitions.items()}


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


#: States in which a call of an atom waits or runs.
_CALLED: Final = frozenset({states.RUNNING, states.REVERTING})


def _atom_view(detail: AtomDetail, timing: Timing, flow_meta: Mapping[str, Any]) -> AtomView:
    state, started = detail.state or states.PENDING, timing.started
    if state in _CALLED and not isinstance(detail, RetryDetail):
        if detail.started_at is None:
            state = QUEUED
        if state == QUEUED and timing.attempts == 1 and detail.state == states.RUNNING:
            started = None
        elif timing.attempts == 1 and detail.state == states.RUNNING:
            started = detail.started_at
    return AtomView(
        name=detail.name,
        uuid=detail.uuid,
        kind="retry" if isinstance(detail, RetryDetail) else "task",
        state=state,
        intention=detail.intention or states.EXECUTE,
        attempts=timing.attempts,
        started=started,
        ended=timing.ended,
        seconds=timing.seconds,
        revert_seconds=timing.revert_seconds,
        progress=detail.progress,
        failures=tuple(_failure_views(detail)),
        result=redaction.redact_data(redaction.mask_result(flow_meta, detail.name, detail.results)),
    )


def _failure_views(detail: AtomDetail) -> Iterator[FailureView]:
    failures: tuple[tuple[Literal["execute", "revert"], Failure | None], ...] = (
        ("execute", detail.failure),
        ("revert", detail.revert_failure),
    )
    for during, failure in failures:
        if failure is not None:
            texts = failure.exc_type_names[0], failure.exception_str, failure.traceback_str
            yield FailureView(during, *map(redaction.redact, texts))


# ------------------------------------------------------------- ownership

_RUNNING: Final = frozenset({states.RUNNING, states.SUSPENDING, states.RESUMING})
_OWNER_PARTS: Final = 3


def check_not_running(flow: FlowSummary) -> None:
    """Check that no other live process of this machine is running a flow.

    Raises:
        OwnershipLost: its owner is another process of this machine, and alive.
    """
    if flow.state not in _RUNNING or flow.owner is None:
        return
    parts = flow.owner.rsplit(":", _OWNER_PARTS - 1)
    if len(parts) != _OWNER_PARTS or parts[0] != socket.gethostname() or not parts[1].isdigit():
        return
    pid = int(parts[1])
    if pid != os.getpid() and _is_alive(pid):
        raise exc.OwnershipLost(
            f"flow '{flow.name}' ({flow.uuid}) is {flow.state} in process {pid} of this machine: "
            f"wait for it, stop it, or take over the flow with --force"
        )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it exists and belongs to another user
    return True


# ------------------------------------------------------------- retention

_DURATION_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.ASCII)


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as "45s", "90m", "36h", "7d" or "2w".

    Raises:
        InvalidFormat: the text is not a duration.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise exc.InvalidFormat(
            f"invalid duration '{text}': write a number followed by s, m, h, d or w, such as 7d"
        )
    return float(match[1]) * _DURATION_UNITS[match[2]]


def prune(
    backend: Backend, policy: RetentionPolicy, *, only_jobs: bool = False, dry_run: bool = False
) -> list[FinishedLogBook]:
    """Delete logbooks whose flows have all finished and whose retention has expired.

    Args:
        backend: where they are stored; ages are measured by its clock.
        policy: how long logbooks are kept.
        only_jobs: delete only logbooks that were posted as jobs.
        dry_run: delete nothing.

    Returns:
        The logbooks that were deleted, or that would be.

    Raises:
        StorageFailure: the backend cannot be used.
    """

    def applies_to(book: FinishedLogBook) -> bool:
        return not only_jobs or book.job is not None

    return list(retention.prune(backend, policy, backend.clock.now(), applies_to, dry_run=dry_run))
