"""Questions about stored flows: which there are, and how one stands."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from stackl_flow import exceptions as exc
from stackl_flow import secrecy, states
from stackl_flow.control.history import times_of
from stackl_flow.control.times import NEVER, Times
from stackl_flow.control.views import AtomView, FailureView, FlowSummary, FlowView
from stackl_flow.failure import Failure
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.marks import values_of
from stackl_flow.persistence.models import AtomDetail, RetryDetail
from stackl_flow.persistence.records import FlowRecord

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
    with secrecy.keeping(values_of(detail.meta, detail)):
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
        undoing=times.undoing,
        progress=detail.progress,
        failures=tuple(_failures(detail)),
        result=secrecy.hide(secrecy.mask_marked(notes, detail.name, detail.results)),
    )


def _failures(detail: AtomDetail) -> Iterator[FailureView]:
    kept: tuple[tuple[Literal["execute", "revert"], Failure | None], ...] = (
        ("execute", detail.failure),
        ("revert", detail.revert_failure),
    )
    for during, failure in kept:
        if failure is not None:
            texts = failure.exc_type_names[0], failure.exception_str, failure.traceback_str
            yield FailureView(during, *map(secrecy.redact, texts))
