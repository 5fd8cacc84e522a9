"""Books and flow details made in one call, stored at once when a backend is given."""

from __future__ import annotations

from typing import Any

from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import FlowDetail, LogBook, new_uuid


def temporary_log_book(backend: Backend | None = None) -> LogBook:
    """Make a book for a short time, such as a test.

    Args:
        backend: where to store it; nowhere if left out.

    Returns:
        The book.
    """
    book = LogBook("tmp")
    if backend is not None:
        with backend.get_connection() as conn:
            conn.save_logbook(book)
    return book


def temporary_flow_detail(
    backend: Backend | None = None, meta: dict[str, Any] | None = None
) -> tuple[LogBook, FlowDetail]:
    """Make a flow detail in a book for a short time, such as a test.

    Args:
        backend: where to store them; nowhere if left out.
        meta: notes for the flow detail.

    Returns:
        The book and the flow detail in it.
    """
    book = LogBook("tmp")
    return book, _add(FlowDetail("tmp-flow-detail", new_uuid()), book, backend, meta)


def create_flow_detail(
    flow: Any,
    book: LogBook | None = None,
    backend: Backend | None = None,
    meta: dict[str, Any] | None = None,
    name: str | None = None,
) -> FlowDetail:
    """Make the detail of a flow, add it to a book and store both.

    Args:
        flow: the flow.
        book: the book; with a backend, a new one if left out.
        backend: where to store them; nowhere if left out.
        meta: notes for the flow detail.
        name: what to call it; the flow's name if left out.

    Returns:
        The flow detail.
    """
    uuid = new_uuid()
    if book is None and backend is not None:
        book = LogBook("tmp")
    return _add(FlowDetail(name or getattr(flow, "name", None) or uuid, uuid), book, backend, meta)


def _add(
    flow_detail: FlowDetail, book: LogBook | None, backend: Backend | None, meta: dict[str, Any] | None
) -> FlowDetail:
    if meta:
        flow_detail.meta.update(meta)
    if book is None:
        return flow_detail
    book.add(flow_detail)
    if backend is not None:
        # Only the new flow is stored: the book's others may be running elsewhere by now, and know better.
        page = book.copy(retain_contents=False)
        page.fill([flow_detail])
        with backend.get_connection() as conn:
            conn.save_logbook(page)
    return flow_detail
