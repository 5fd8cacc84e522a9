"""Submission: store a flow and post it as a job, the only way in which a flow comes to a board.

The flow is checked first: that all its inputs are there, that they have a JSON form, and that the store
accepts them. Then it is stored, with its factory and its inputs, and a job is posted with a reference to it.
A crash in between leaves a stored flow that no job refers to, never a job without its flow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from stackl_flow import engines
from stackl_flow.engines.factories import (
    Factory,
    factory_metadata,
    factory_name,
    make_flow,
    new_flow_detail,
)
from stackl_flow.engines.secrets import secret_metadata
from stackl_flow.engines.values import META_INJECTED, check_storable
from stackl_flow.jobboards.base import Job, JobBoard
from stackl_flow.jobboards.record import JobPriority
from stackl_flow.patterns.base import Item
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import FlowDetail, LogBook, new_uuid
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
        CompilationFailure: the flow is invalid; nothing was stored or posted.
        MissingDependencies: an input of an atom is missing; nothing was stored or posted.
        NotSerializable: an input has no JSON form; nothing was stored or posted.
        ValueTooLarge: the inputs are larger than the backend accepts; nothing was stored or posted.
        InvalidFormat: the connection is closed, not in a transaction, or leads to another database than the
            board's.
        NotSupported: a connection was given, and the board is not in an SQL database.
        StorageFailure: the store failed; if it was the board's, the flow is stored, but no job refers to it.
    """
    _check_arguments(board, persistence)
    factory = factory_name(factory)
    flow = make_flow(factory, factory_args, factory_kwargs)
    options.update(priority=priority, connection=connection)
    how = FlowSource(flow, factory, factory_args or (), factory_kwargs or {}, store or {}, secrets)
    return post_new_flow(board, persistence, how, name, **options)


def post_flows(
    board: JobBoard,
    persistence: Backend,
    factory: Factory,
    flows: Iterable[Mapping[str, Any]],
    *,
    connection: Any = None,
) -> list[Job]:
    """Store many flows of one factory and post them as jobs: much faster than ``post_flow`` for each.

    All are checked before any is stored. The flows are stored, then the jobs are posted, by as few commits as
    backend and board accept. If that fails in between, the first ones are posted. Pass a ``key`` with each to
    be able to repeat the call.

    Args:
        board: where to post the jobs.
        persistence: where to store the flows: the conductors' backend.
        factory: the function that makes the flows, or its name; as for ``post_flow``.
        flows: for each flow the other arguments of ``post_flow``, without ``connection``, such as
            ``{"store": {"order": 1}, "key": "order-1", "priority": "HIGH"}``.
        connection: as for ``post_flow``.

    Returns:
        The jobs, in that order; one that was posted before under the same ``key`` in place of another.

    Raises:
        StacklFlowError: as for ``post_flow``.
    """
    _check_arguments(board, persistence)
    factory = factory_name(factory)
    backend = persistence if connection is None else persistence.join_transaction(connection)
    kinds: dict[str, tuple[Item, dict[str, Any]]] = {}
    books: list[LogBook] = []
    posts: list[dict[str, Any]] = []
    for given in flows:
        options = dict(given)
        names = ("factory_args", "factory_kwargs", "store", "secrets")
        args, kwargs, store, secrets = (options.pop(name, None) for name in names)
        # Flows that are made by the same arguments, and have inputs of the same names, are checked once.
        kind = backend.codec.encode([args or (), kwargs or {}, sorted(store or {}), sorted(secrets or ())])
        if kind not in kinds:
            flow = make_flow(factory, args, kwargs)
            source = FlowSource(flow, factory, args or (), kwargs or {}, store or {}, secrets)
            source.check()
            kinds[kind] = flow, source.metadata()
        flow, meta = kinds[kind]
        inputs = dict(store or {})
        title = options.pop("name", None) or str(flow.name)
        check_storable(inputs, str(flow.name), backend)
        book = LogBook(title)
        book.meta[JOB_KEY] = options["uuid"] = options.get("uuid") or new_uuid()
        detail = FlowDetail(str(flow.name), new_uuid())
        detail.meta = {**meta, META_INJECTED: inputs} if inputs else dict(meta)
        book.add(detail)
        books.append(book)
        posts.append({**options, "name": title, "book": book, "details": {"flow_uuid": detail.uuid}})
    if not books:
        return []
    with backend.get_connection() as stored:
        stored.add_logbooks(books)
        jobs = board.post_many(posts, connection=connection)
        for book, job in zip(books, jobs, strict=True):
            if job.uuid != book.meta[JOB_KEY]:
                stored.destroy_logbook(book.uuid)
    return jobs


class FlowSource(NamedTuple):
    """A flow that is not stored yet, and all that another process needs to run it.

    Attributes:
        flow: the flow.
        factory: the name of its factory.
        args: the arguments of the factory.
        kwargs: the keyword arguments of the factory.
        store: inputs of the flow.
        secrets: names of values that are redacted.
    """

    flow: Item
    factory: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = {}
    store: Mapping[str, Any] = {}
    secrets: Collection[str] | None = None

    def check(self) -> None:
        """Check the flow and its inputs, by preparing it without a store.

        Raises:
            CompilationFailure: the flow is invalid.
            MissingDependencies: an input of an atom is missing.
        """
        trial = engines.load(self.flow, store=dict(self.store), secrets=self.secrets)
        trial.compile()
        trial.prepare()
        trial.validate()

    def metadata(self) -> dict[str, Any]:
        """Return the metadata of the stored flow without its inputs: its factory and the names of secrets."""
        return {
            **factory_metadata(self.factory, self.args, self.kwargs),
            **secret_metadata(self.flow, self.secrets, self.store, self.kwargs),
        }

    def save(self, backend: Backend, book: LogBook, name: str | None = None) -> FlowDetail:
        """Check the flow, and store it; on an error nothing is stored.

        Args:
            backend: where to store it.
            book: a new logbook for it.
            name: name of the stored flow; by default its own.

        Raises:
            NotSerializable: an input has no JSON form.
            ValueTooLarge: the inputs are larger than the backend accepts.
            StacklFlowError: as for ``check``.
        """
        self.check()
        return new_flow_detail(
            self.flow, self.metadata(), self.store, book, backend, name=name, is_new_book=True
        )


def post_new_flow(
    board: JobBoard,
    persistence: Backend,
    source: FlowSource,
    name: str | None = None,
    *,
    connection: Any = None,
    **options: Any,
) -> Job:
    """Store a flow that was made by its factory, and post it as a job; see ``post_flow``.

    Args:
        board: where to post the job.
        persistence: where to store the flow.
        source: the flow.
        name: name of the job and of the logbook; by default that of the flow.
        connection: as for ``post_flow``.
        options: as for ``JobBoard.post``.
    """
    title = name or str(source.flow.name)
    book = LogBook(title)
    book.meta[JOB_KEY] = options["uuid"] = options.get("uuid") or new_uuid()
    backend = persistence if connection is None else persistence.join_transaction(connection)
    detail = source.save(backend, book)
    return post_stored_flow(board, backend, book, detail.uuid, title, connection=connection, **options)


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
