"""Submission: store a flow and post it as a job, the only way in which a flow comes to a board.

The flow is stored first, with its factory and its inputs, then the job is posted with a reference to it. A
crash in between leaves a stored flow that no job refers to, never a job without its flow.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from stackl_flow import engines
from stackl_flow.engines.factories import Factory
from stackl_flow.jobboards.base import Job, JobBoard
from stackl_flow.jobboards.record import JobPriority
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
    **options: Any,
) -> Job:
    """Store a flow and post it as a job, for any conductor with the same board and backend to run.

    Args:
        board: where to post the job.
        persistence: where to store the flow: the conductors' backend.
        factory: the function that makes the flow, or its name, such as ``"shop.flows:order"``; conductors
            must be able to import it.
        name: name of the job; by default the name of the flow.
        store: inputs of the flow; JSON.
        factory_args: arguments of the factory.
        factory_kwargs: keyword arguments of the factory.
        priority: priority of the job.
        secrets: names of values, inputs or results, that are redacted in logs, listeners and commands.
        connection: the caller's own database connection: the job is posted when the caller commits. So is the
            flow if the connection leads to the backend's database; otherwise it is stored before, and stays
            after a rollback.
        options: as for ``JobBoard.post``: ``key``, ``required_capabilities``, ``not_before``, ``expires_at``,
            ``uuid``.

    Returns:
        The job; its ``result()`` waits for the values that the flow provides. If a job was posted before with
        the same ``key``, that job.

    Raises:
        FactoryNotFound: the factory cannot be imported by its name.
        NotSerializable: an input cannot be stored; nothing was stored or posted.
        InvalidFormat: the connection is closed, not in a transaction, or leads to another database than the
            board's.
        NotSupported: a connection was given, and the board is not in an SQL database.
        StorageFailure: the store failed; if it was the board's, the flow is stored, but no job refers to it.
    """
    _check_arguments(board, persistence)
    book = LogBook(name or "job")
    book.meta[JOB_KEY] = options["uuid"] = options.get("uuid") or new_uuid()
    backend = persistence if connection is None else persistence.join_transaction(connection)
    storage = engines.load_from_factory(
        factory, factory_args, factory_kwargs, store, book, backend, secrets=secrets
    ).storage
    options.update(priority=priority, connection=connection)
    return post_stored_flow(board, backend, book, storage.flow_uuid, name or storage.flow_name, **options)


def post_stored_flow(
    board: JobBoard, backend: Backend, book: LogBook, flow_uuid: str, name: str, *, uuid: str, **options: Any
) -> Job:
    """Post a job for a flow that was stored, with everything needed to run it, in a logbook of its own.

    If a job was posted before with the same ``key``, that job is returned, and the logbook is deleted.

    Args:
        board: where to post the job.
        backend: where the logbook is stored.
        book: the logbook.
        flow_uuid: the flow in it.
        name: name of the job.
        uuid: uuid of the job.
        options: as for ``JobBoard.post``.
    """
    job = board.post(name, book, {"flow_uuid": flow_uuid}, uuid=uuid, **options)
    if job.uuid != uuid:
        with backend.get_connection() as connection:
            connection.destroy_logbook(book.uuid)
    return job


def _check_arguments(board: object, persistence: object) -> None:
    """Reject arguments in the wrong order."""
    if not hasattr(board, "post") or not hasattr(persistence, "get_connection"):
        raise TypeError("post_flow() takes the board first, then the persistence backend of the flows")
