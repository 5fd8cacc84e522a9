"""Ways to get an engine for a flow: from the flow, from its factory, from what is stored of it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlsplit

from stackl_flow import exceptions as exc
from stackl_flow.engines.base import Engine
from stackl_flow.engines.factories import (
    AnyBackend,
    Factory,
    factory_metadata,
    factory_name,
    flow_from_detail,
    make_flow,
    new_flow_detail,
    resolve_backend,
)
from stackl_flow.engines.secrets import register_redaction, secret_metadata
from stackl_flow.patterns.base import Item, check_item
from stackl_flow.persistence.models import FlowDetail, LogBook

ENGINES_NAMESPACE: Final = "stackl_flow.engines"
ENGINE_DEFAULT: Final = "default"

_BUILTIN: Final = {
    "default": "stackl_flow.engines.engine:SerialEngine",
    "serial": "stackl_flow.engines.engine:SerialEngine",
    "parallel": "stackl_flow.engines.engine:ParallelEngine",
}


def _extract_engine(engine: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Take an engine's name and options out of a word or a URI such as ``parallel://?max_workers=2``."""
    parts = urlsplit(engine)
    if not parts.scheme:
        return engine, dict(options)
    where = {"hostname": parts.hostname, "port": parts.port, "path": parts.path.strip("/")}
    told = {key: value for key, value in where.items() if value}
    return parts.scheme, {**dict(parse_qsl(parts.query)), **told, **options}


def _engine_class(kind: str, namespace: str) -> Callable[..., Engine]:
    if namespace == ENGINES_NAMESPACE and kind in _BUILTIN:
        # Reading what is installed takes longer than running a small flow.
        return cast("Callable[..., Engine]", metadata.EntryPoint(kind, _BUILTIN[kind], namespace).load())
    table = {plug.name: plug for plug in metadata.entry_points(group=namespace)}
    if kind not in table:
        known = sorted({*table, *(_BUILTIN if namespace == ENGINES_NAMESPACE else ())})
        near = difflib.get_close_matches(kind, known, n=1)
        meant = f"did you mean '{near[0]}'? Known are" if near else "known are"
        raise exc.NotFound(f"Could not find engine '{kind}': {meant} {', '.join(known)}")
    return cast("Callable[..., Engine]", table[kind].load())


def check_engine(engine: str, namespace: str = ENGINES_NAMESPACE) -> None:
    """Check that there is such an engine.

    Args:
        engine: its name, or a URI with options.
        namespace: the group of entry points in which engines are looked up.

    Raises:
        NotFound: there is none of that name.
    """
    _engine_class(_extract_engine(engine, {})[0], namespace)


def _check_given(engine: object, store: object, flow_detail: object) -> None:
    """Refuse what is easily confused, before anything is stored."""
    if not isinstance(engine, str):
        raise TypeError(f"engine= takes a name such as 'parallel', or a URI, not {engine!r}")
    if store is not None and not isinstance(store, Mapping):
        raise TypeError(f"store= takes values by name, such as {{'size': 3}}, not {store!r}")
    if isinstance(flow_detail, str):
        raise TypeError(
            f"a flow detail is needed, not its uuid {flow_detail!r}: get it with"
            f" connection.get_flow_details(uuid)"
        )


def load(
    flow: Item,
    store: Mapping[str, Any] | None = None,
    flow_detail: FlowDetail | None = None,
    book: LogBook | None = None,
    backend: AnyBackend = None,
    namespace: str = ENGINES_NAMESPACE,
    engine: str = ENGINE_DEFAULT,
    *,
    secrets: Collection[str] | None = None,
    **kwargs: Any,
) -> Engine:
    """Get an engine for a flow.

    Args:
        flow: the flow, or a lone task.
        store: values for the flow, by name.
        flow_detail: what is known of it; a new one if left out.
        book: where a new detail is put; a new book if left out.
        backend: where it is stored: a backend, its address or its settings; None keeps it in this process.
        namespace: the group of entry points in which engines are looked up.
        engine: which one: "serial" (the default), "parallel", or a URI with options.
        secrets: names of values, given or provided, that are not to be seen in any text that this library
            makes; noted with the flow.
        kwargs: options for the engine.

    Returns:
        The engine; ``run`` is what is left to do.

    Raises:
        NotAnAtom: that is no flow.
        NotFound: there is no such engine or backend.
        NotSerializable: a value in ``store`` cannot be stored.
        TypeError: an argument is of another kind.
    """
    check_item(flow)
    _check_given(engine, store, flow_detail)
    kind, options = _extract_engine(engine, kwargs)
    make = _engine_class(kind, namespace)
    place = resolve_backend(backend)
    if flow_detail is None:
        notes = secret_metadata(flow, secrets, store)
        flow_detail = new_flow_detail(flow, notes, store, book, place)
    made = make(flow, flow_detail, place, options)
    register_redaction(made, flow, flow_detail, store or {}, secrets)
    if store:
        # Also where they are stored already: in this process tasks get the very objects.
        made.storage.inject(store)
    return made


def run(
    flow: Item,
    store: Mapping[str, Any] | None = None,
    flow_detail: FlowDetail | None = None,
    book: LogBook | None = None,
    backend: AnyBackend = None,
    namespace: str = ENGINES_NAMESPACE,
    engine: str = ENGINE_DEFAULT,
    **kwargs: Any,
) -> dict[str, Any]:
    """Run a flow.

    Args:
        flow: as for ``load``, as are all that follow.
        store: values for the flow, by name.
        flow_detail: what is known of it.
        book: where a new detail is put.
        backend: where it is stored.
        namespace: where engines are looked up.
        engine: which one.
        kwargs: options for the engine.

    Returns:
        All values by name: those given and those that the atoms provided.

    Raises:
        WrappedFailure: several atoms failed; a single failure is raised as itself.
    """
    made = load(flow, store, flow_detail, book, backend, namespace, engine, **kwargs)
    made.run()
    return made.storage.fetch_all()


def run_iter(flow: Item, *args: Any, **kwargs: Any) -> Iterator[str]:
    """Run a flow step by step.

    Args:
        flow: the flow.
        args: as for ``load``.
        kwargs: as for ``load``.

    Returns:
        The engine's states as it goes.
    """
    return load(flow, *args, **kwargs).run_iter()


def load_from_factory(
    flow_factory: Factory,
    factory_args: Sequence[Any] | None = None,
    factory_kwargs: Mapping[str, Any] | None = None,
    store: Mapping[str, Any] | None = None,
    book: LogBook | None = None,
    backend: AnyBackend = None,
    namespace: str = ENGINES_NAMESPACE,
    engine: str = ENGINE_DEFAULT,
    *,
    secrets: Collection[str] | None = None,
    **kwargs: Any,
) -> Engine:
    """Make a flow by its factory and get an engine for it.

    How it was made and what it was given are stored with it at once, so that another process can run it from
    here on.

    Args:
        flow_factory: the function that makes the flow, or its full name.
        factory_args: its arguments.
        factory_kwargs: its keyword arguments.
        store: as for ``load``, as are all that follow.
        book: where the flow detail is put.
        backend: where it is stored.
        namespace: where engines are looked up.
        engine: which one.
        secrets: names of values that are not to be seen.
        kwargs: options for the engine.

    Returns:
        The engine.

    Raises:
        FactoryNotFound: the factory cannot be imported by its name.
        NotAnAtom: it makes something else than a flow.
        ValueError: the factory is not at the top of a module.
    """
    name = factory_name(flow_factory)
    _check_given(engine, store, None)
    flow = make_flow(name, factory_args, factory_kwargs)
    place = resolve_backend(backend)
    notes = {
        **factory_metadata(name, factory_args, factory_kwargs),
        **secret_metadata(flow, secrets, store, factory_kwargs),
    }
    flow_detail = new_flow_detail(flow, notes, store, book, place)
    return load(flow, store, flow_detail, book, place, namespace, engine, **kwargs)


def load_from_detail(
    flow_detail: FlowDetail,
    store: Mapping[str, Any] | None = None,
    backend: AnyBackend = None,
    namespace: str = ENGINES_NAMESPACE,
    engine: str = ENGINE_DEFAULT,
    **kwargs: Any,
) -> Engine:
    """Get an engine for a stored flow that was made by a factory.

    Args:
        flow_detail: what is stored of it.
        store: as for ``load``, as are all that follow.
        backend: where it is stored.
        namespace: where engines are looked up.
        engine: which one.
        kwargs: options for the engine.

    Returns:
        The engine.

    Raises:
        ValueError: it was not made by a factory.
        FactoryNotFound: the factory cannot be imported here.
    """
    _check_given(engine, store, flow_detail)
    flow = flow_from_detail(flow_detail)
    return load(flow, store, flow_detail, None, backend, namespace, engine, **kwargs)
