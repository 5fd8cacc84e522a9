"""Creates engines: for a flow, for a flow factory, for a stored flow."""

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


def _parse_engine(engine: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Split an engine's name, or a URL such as ``parallel://?max_workers=2``, into kind and options."""
    parts = urlsplit(engine)
    if not parts.scheme:
        return engine, dict(options)
    location = {"hostname": parts.hostname, "port": parts.port, "path": parts.path.strip("/")}
    given = {key: value for key, value in location.items() if value}
    return parts.scheme, {**dict(parse_qsl(parts.query)), **given, **options}


def _engine_class(kind: str, namespace: str) -> Callable[..., Engine]:
    if namespace == ENGINES_NAMESPACE and kind in _BUILTIN:
        # Reading the installed entry points takes longer than running a small flow.
        return cast("Callable[..., Engine]", metadata.EntryPoint(kind, _BUILTIN[kind], namespace).load())
    plugins = {plugin.name: plugin for plugin in metadata.entry_points(group=namespace)}
    if kind not in plugins:
        known = sorted({*plugins, *(_BUILTIN if namespace == ENGINES_NAMESPACE else ())})
        similar = difflib.get_close_matches(kind, known, n=1)
        hint = f"did you mean '{similar[0]}'? Known engines are" if similar else "known engines are"
        raise exc.NotFound(f"Could not find engine '{kind}': {hint} {', '.join(known)}")
    return cast("Callable[..., Engine]", plugins[kind].load())


def check_engine(engine: str, namespace: str = ENGINES_NAMESPACE) -> None:
    """Check that an engine is available.

    Args:
        engine: its name, or a URL with options.
        namespace: the group of entry points in which engines are looked up.

    Raises:
        NotFound: there is no such engine.
    """
    _engine_class(_parse_engine(engine, {})[0], namespace)


def _check_arguments(engine: object, store: object, flow_detail: object) -> None:
    """Reject arguments that are easily confused, before anything is stored."""
    if not isinstance(engine, str):
        raise TypeError(f"engine= must be a name such as 'parallel', or a URL, not {engine!r}")
    if store is not None and not isinstance(store, Mapping):
        raise TypeError(f"store= must be a dict of values by name, such as {{'size': 3}}, not {store!r}")
    if isinstance(flow_detail, str):
        raise TypeError(
            f"flow_detail must be a flow detail, not a uuid ({flow_detail!r}): get it with"
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
    """Create an engine for a flow.

    Args:
        flow: the flow, or a lone task.
        store: the flow's inputs, by name.
        flow_detail: the flow's detail; a new one if left out.
        book: the logbook of a new detail; a new one if left out.
        backend: where the flow is stored: a backend, its URL or its settings; None keeps it in this process.
        namespace: the group of entry points in which engines are looked up.
        engine: "serial" (the default), "parallel", the name of a plugin, or a URL with options.
        secrets: names of values, injected or provided, that are redacted in all texts of this library. They
            are stored in the flow's metadata.
        kwargs: options of the engine.

    Returns:
        The engine; call its ``run``.

    Raises:
        NotAnAtom: ``flow`` is not a flow or task.
        NotFound: there is no such engine or backend.
        NotSerializable: a value in ``store`` cannot be stored.
        TypeError: an argument has the wrong type.
    """
    check_item(flow)
    _check_arguments(engine, store, flow_detail)
    kind, options = _parse_engine(engine, kwargs)
    engine_class = _engine_class(kind, namespace)
    resolved = resolve_backend(backend)
    if flow_detail is None:
        flow_detail = new_flow_detail(flow, secret_metadata(flow, secrets, store), store, book, resolved)
    created = engine_class(flow, flow_detail, resolved, options)
    register_redaction(created, flow, flow_detail, store or {}, secrets)
    if store:
        # Even where they are stored already: in this process tasks get the objects themselves.
        created.storage.inject(store)
    return created


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
    """Run a flow; arguments as for ``load``.

    Returns:
        All values by name: inputs, and those that the atoms provided.

    Raises:
        WrappedFailure: several atoms failed; a single failure is raised as itself.
    """
    loaded = load(flow, store, flow_detail, book, backend, namespace, engine, **kwargs)
    loaded.run()
    return loaded.storage.fetch_all()


def run_iter(flow: Item, *args: Any, **kwargs: Any) -> Iterator[str]:
    """Run a flow step by step; arguments as for ``load``.

    Returns:
        The engine's states.
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
    """Create a flow with its factory, and an engine for it.

    The factory, its arguments and the flow's inputs are stored at once, so that another process can run the
    flow from here on.

    Args:
        flow_factory: the function that creates the flow, or its name, such as ``"shop.flows:order"``.
        factory_args: positional arguments of the factory.
        factory_kwargs: keyword arguments of the factory.
        store: as for ``load``, like all that follow.
        book: as for ``load``.
        backend: as for ``load``.
        namespace: as for ``load``.
        engine: as for ``load``.
        secrets: as for ``load``.
        kwargs: as for ``load``.

    Raises:
        FactoryNotFound: the factory cannot be imported by its name.
        NotAnAtom: the factory returns something other than a flow.
        ValueError: the factory is not at the top level of a module.
    """
    name = factory_name(flow_factory)
    _check_arguments(engine, store, None)
    flow = make_flow(name, factory_args, factory_kwargs)
    resolved = resolve_backend(backend)
    meta = {
        **factory_metadata(name, factory_args, factory_kwargs),
        **secret_metadata(flow, secrets, store, factory_kwargs),
    }
    flow_detail = new_flow_detail(flow, meta, store, book, resolved)
    return load(flow, store, flow_detail, book, resolved, namespace, engine, **kwargs)


def load_from_detail(
    flow_detail: FlowDetail,
    store: Mapping[str, Any] | None = None,
    backend: AnyBackend = None,
    namespace: str = ENGINES_NAMESPACE,
    engine: str = ENGINE_DEFAULT,
    *,
    factories: Collection[str] | None = None,
    **kwargs: Any,
) -> Engine:
    """Create an engine for a stored flow that was created by a factory.

    Args:
        flow_detail: the stored flow.
        store: as for ``load``, like all that follow.
        backend: as for ``load``.
        namespace: as for ``load``.
        engine: as for ``load``.
        factories: as for ``flow_from_detail``.
        kwargs: as for ``load``.

    Raises:
        ValueError: the flow was not created by a factory.
        FactoryNotAllowed: the factory is not one of ``factories``; nothing was imported.
        FactoryNotFound: the factory cannot be imported in this process.
    """
    _check_arguments(engine, store, flow_detail)
    flow = flow_from_detail(flow_detail, factories)
    if factories is not None:
        kwargs["factories"] = tuple(factories)
    return load(flow, store, flow_detail, None, backend, namespace, engine, **kwargs)
