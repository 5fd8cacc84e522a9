"""Posting a flow: stored first, with how it is made and what it is given, then put on the board."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from stackl_flow import engines
from stackl_flow.engines.factories import Factory
from stackl_flow.jobboards.base import JobBoard
from stackl_flow.jobboards.job import Job, JobPriority
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import LogBook, new_uuid
from stackl_flow.persistence.retention import JOB_KEY


def post_flow(
    board: JobBoard,
    persistence: Backend,
    factory: Factory,
    *,
    name: str | None = None,
    store: Mapping[str, Any] | None = None,
    factory_args: Sequence[Any] | None = None,
    factory_kwargs: Mapping[str, Any] | None = None,
    priority: JobPriority | str = JobPriority.NORMAL,
    secrets: Collection[str] | None = None,
    connection: Any = None,
    **terms: Any,
) -> Job:
    """Post a flow as a job, for any conductor on the same board and persistence to run.

    Args:
        board: where to post it.
        persistence: where the flow is stored; the conductors' own.
        factory: the function that makes the flow, or its full name; conductors have to be able to import it.
        name: what to call the job; the flow's name if left out.
        store: values given to the flow; JSON.
        factory_args: arguments of the factory.
        factory_kwargs: keyword arguments of the factory.
        priority: how urgent it is.
        secrets: names of values, given or provided, that no log, listener or command shows.
        connection: the caller's own: the job lands when he commits; so does the flow where the connection
            leads to the persistence, else it is stored before, and stays there.
        terms: as for the board's ``post``: key, needs, not_before, claim_by.

    Returns:
        The job; its ``result()`` waits for what comes of it.

    Raises:
        FactoryNotFound: the factory cannot be imported by its name.
        NotSerializable: a value in ``store`` cannot be stored; nothing was posted.
        InvalidFormat: the connection is closed, in no transaction, or leads to another database.
        NotSupported: a connection was given, and the board is in no SQL database.
        JobFailure: the board cannot be written; the flow is stored, and nobody runs it.
    """
    _check_order(board, persistence)
    book = LogBook(name or "job")
    book.meta[JOB_KEY] = terms["uuid"] = terms.get("uuid") or new_uuid()
    kept = persistence if connection is None else persistence.join_transaction(connection)
    given = (factory_args, factory_kwargs, store, book, kept)
    storage = engines.load_from_factory(factory, *given, secrets=secrets).storage
    terms.update(details={"flow_uuid": storage.flow_uuid}, connection=connection)
    job = board.post(name or storage.flow_name, book, priority=priority, **terms)
    return _once(job, book, kept)


def _once(job: Job, book: LogBook, persistence: Backend) -> Job:
    """Return the job; if it had been posted under its key before, with a flow of its own, the book goes."""
    if job.uuid != book.meta[JOB_KEY]:
        with persistence.get_connection() as connection:
            connection.destroy_logbook(book.uuid)
    return job


def _check_order(board: object, persistence: object) -> None:
    """Refuse what is easily swapped."""
    if not hasattr(board, "post") or not hasattr(persistence, "get_connection"):
        raise TypeError("post_flow takes the board first, then the backend in which flows are stored")
