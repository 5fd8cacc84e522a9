"""Create logbooks and flow details, and store them if a backend is given."""

from __future__ import annotations

from typing import Any

from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.metadata import FlowMeta
from stackl_flow.persistence.models import FlowDetail, LogBook, new_uuid


def temporary_log_book(backend: Backend | None = None) -> LogBook:
    """Create a logbook named "tmp", as for a test.

    Args:
        backend: where to store it; it is not stored by default.
    """
    book = LogBook("tmp")
    if backend is not None:
        with backend.get_connection() as conn:
            conn.save_logbook(book)
    return book


def temporary_flow_detail(
    backend: Backend | None = None, meta: dict[str, Any] | None = None
) -> tuple[LogBook, FlowDetail]:
    """Create a flow detail in a logbook named "tmp", as for a test.

    Args:
        backend: where to store them; they are not stored by default.
        meta: metadata of the flow detail.
    """
    book = LogBook("tmp")
    return book, _add(FlowDetail("tmp-flow-detail", new_uuid()), book, backend, meta)


def create_flow_detail(
    flow: Any,
    book: LogBook | None = None,
    backend: Backend | None = None,
    meta: dict[str, Any] | None = None,
    name: str | None = None,
    *,
    is_new_book: bool = False,
) -> FlowDetail:
    """Create the detail of a flow, add it to a logbook and store both.

    Args:
        flow: the flow.
        book: the logbook; by default a new one if there is a backend.
        backend: where to store them; they are not stored by default.
        meta: metadata of the flow detail.
        name: name of the flow detail; by default the flow's.
        is_new_book: whether the logbook was never stored.
    """
    uuid = new_uuid()
    if book is None and backend is not None:
        book, is_new_book = LogBook("tmp"), True
    detail = FlowDetail(name or getattr(flow, "name", None) or uuid, uuid)
    return _add(detail, book, backend, meta, is_new_book=is_new_book)


def _add(
    flow_detail: FlowDetail,
    book: LogBook | None,
    backend: Backend | None,
    meta: dict[str, Any] | None,
    *,
    is_new_book: bool = False,
) -> FlowDetail:
    if meta:
        flow_detail.meta.update(meta)
    if book is None:
        return flow_detail
    book.add(flow_detail)
    if backend is not None:
        # Only the new flow: the others may be running elsewhere, and their details here may be out of date.
        with_new_flow = book.copy(retain_contents=False).add_stored([flow_detail])
        with backend.get_connection() as conn:
            if is_new_book:
                conn.add_logbooks([with_new_flow])
            else:
                conn.save_logbook(with_new_flow)
        # The engine that takes the flow over does not read again what it has.
        flow_detail.meta = FlowMeta.of_stored(flow_detail.meta, (backend, flow_detail.uuid), 1)
    return flow_detail
