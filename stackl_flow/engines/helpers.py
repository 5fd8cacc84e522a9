"""Ways to get an engine for a flow: from the flow, from its factory, from what is stored of it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlsplit

from stackl_flow import exceptions as exc
from stackl_flow.engines.base import Engine
from stackl_flow.patterns.base import Item
from stackl_flow.persistence import backends, books
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import FlowDetail, LogBook

ENGINES_NAMESPACE: Final = "stackl_flow.engines"
ENGINE_DEFAULT: Final = "default"

_BUILTIN: Final = {
    "default": "stackl_flow.engines.engine:SerialEngine",
    "serial": "stackl_flow.engines.engine:SerialEngine",
    "parallel": "stackl_flow.engines.engine:ParallelEngine",
}

AnyBackend = Backend | Mapping[str, Any] | str | None
Factory = Callable[..., Item] | str


def _extract_engine(engine: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Take an engine's name and options out of a word or a URI such as ``parallel://?max_workers=2``."""
    parts = urlsplit(engine)
    if not parts.scheme:
        return engine, dict(options)
    found: dict[str, Any] = dict(parse_qsl(parts.query))
    for key, value in (("hostname", parts.hostname), ("port", parts.port)):
        if value:
            found[key] = value
    if parts.path.strip("/"):
        found["path"] = parts.path
    return parts.scheme, {**found, **options}


def _engine_class(kind: str, namespace: str) -> Callable[..., Engine]:
    built_in = _BUILTIN if namespace == ENGINES_NAMESPACE else {}
    table = {name: metadata.EntryPoint(name, path, namespace) for name, path in built_in.items()}
    table.update((plug.name, plug) for plug in metadata.entry_points(group=namespace))
    if kind not in table:
        raise exc.NotFound(f"Could not find engine '{kind}': known are {', '.join(sorted(table))}")
    return cast("Callable[..., Engine]", table[kind].load())


def _backend(backend: AnyBackend) -> Backend | None:
    """Make a backend of whatever it was given as."""
    if backend is None or isinstance(backend, Backend):
        return backend
    return backends.fetch(backend)


def load(
    flow: Item,
    store: Mapping[str, Any] | None = None,
    flow_detail: FlowDetail | None = None,
    book: LogBook | None = None,
    backend: AnyBackend = None,
    namespace: str = ENGINES_NAMESPACE,
    engine: str = ENGINE_DEFAULT,
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
        kwargs: options for the engine.

    Returns:
        The engine; ``run`` is what is left to do.

    Raises:
        NotFound: there is no such engine or backend.
        NotSerializable: a value in ``store`` cannot be stored.
    """
    kind, options = _extract_engine(engine, kwargs)
    make = _engine_class(kind, namespace)
    place = _backend(backend)
    if flow_detail is None:
        flow_detail = books.create_flow_detail(flow, book=book, backend=place)
    made = make(flow, flow_detail, place, options)
    if store:
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


def factory_name(factory: Factory) -> str:
    """Return the name under which a factory can be imported again.

    Args:
        factory: a function, or its name already.

    Returns:
        Its full name.

    Raises:
        FactoryNotFound: it cannot be imported by its name.
        ValueError: what is imported by that name is something else, as for lambdas and inner functions.
    """
    if isinstance(factory, str):
        import_factory(factory)
        return factory
    name = f"{getattr(factory, '__module__', '?')}.{getattr(factory, '__qualname__', '?')}"
    try:
        found = import_factory(name)
    except exc.FactoryNotFound:
        found = None
    if found != factory:
        raise ValueError(
            f"Flow factory {factory!r} is not reimportable by name {name}: give a function at the top of a"
            f" module, so that the flow can be made again where it is resumed"
        )
    return name


def import_factory(name: str) -> Callable[..., Item]:
    """Import a flow factory by its name.

    Args:
        name: ``package.module.function`` or ``package.module:function``.

    Returns:
        The factory.

    Raises:
        FactoryNotFound: it cannot be imported, with the reason.
    """
    module, _, attribute = name.replace(":", ".").rpartition(".")
    path = [attribute]
    while module:
        try:
            found: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
                raise _cannot(name, error) from error
            module, _, attribute = module.rpartition(".")
            path.insert(0, attribute)
            continue
        except Exception as error:
            raise _cannot(name, error) from error
        for attribute in path:
            if not hasattr(found, attribute):
                raise _cannot(name, f"module '{module}' has no '{'.'.join(path)}'")
            found = getattr(found, attribute)
        if not callable(found):
            raise _cannot(name, f"it is no function but {found!r}")
        return cast("Callable[..., Item]", found)
    raise _cannot(name, "no such module: is it on the import path here?")


def _cannot(name: str, why: object) -> exc.FactoryNotFound:
    reason = f"{type(why).__name__}: {why}" if isinstance(why, Exception) else why
    cause = why if isinstance(why, Exception) else None
    return exc.FactoryNotFound(f"Could not import factory '{name}': {reason}", cause=cause)


def save_factory_details(
    flow_detail: FlowDetail,
    flow_factory: Factory,
    factory_args: Sequence[Any] | None = None,
    factory_kwargs: Mapping[str, Any] | None = None,
    backend: AnyBackend = None,
) -> None:
    """Note with a flow detail how its flow is made, so that it can be resumed.

    Args:
        flow_detail: the detail.
        flow_factory: the function that makes the flow, or its full name.
        factory_args: its arguments.
        factory_kwargs: its keyword arguments.
        backend: where the detail is stored, to store it at once.

    Raises:
        FactoryNotFound: the factory cannot be imported by its name.
        ValueError: the factory is not at the top of a module.
    """
    flow_detail.meta["factory"] = {
        "name": factory_name(flow_factory),
        "args": list(factory_args or ()),
        "kwargs": dict(factory_kwargs or {}),
    }
    place = _backend(backend)
    if place is not None:
        with place.get_connection() as connection:
            connection.update_flow_details(flow_detail)


def load_from_factory(
    flow_factory: Factory,
    factory_args: Sequence[Any] | None = None,
    factory_kwargs: Mapping[str, Any] | None = None,
    store: Mapping[str, Any] | None = None,
    book: LogBook | None = None,
    backend: AnyBackend = None,
    namespace: str = ENGINES_NAMESPACE,
    engine: str = ENGINE_DEFAULT,
    **kwargs: Any,
) -> Engine:
    """Make a flow by its factory and get an engine for it; how it was made is stored with it.

    Args:
        flow_factory: the function that makes the flow, or its full name.
        factory_args: its arguments.
        factory_kwargs: its keyword arguments.
        store: as for ``load``, as are all that follow.
        book: where the flow detail is put.
        backend: where it is stored.
        namespace: where engines are looked up.
        engine: which one.
        kwargs: options for the engine.

    Returns:
        The engine.

    Raises:
        FactoryNotFound: the factory cannot be imported by its name.
        ValueError: the factory is not at the top of a module.
    """
    name = factory_name(flow_factory)
    flow = import_factory(name)(*(factory_args or ()), **(factory_kwargs or {}))
    place = _backend(backend)
    flow_detail = books.create_flow_detail(flow, book=book, backend=place)
    save_factory_details(flow_detail, name, factory_args, factory_kwargs, backend=place)
    return load(flow, store, flow_detail, book, place, namespace, engine, **kwargs)


def flow_from_detail(flow_detail: FlowDetail) -> Item:
    """Make a flow again by the factory that made it.

    Args:
        flow_detail: what is stored of the flow.

    Returns:
        The flow.

    Raises:
        ValueError: it was not made by a factory.
        FactoryNotFound: the factory cannot be imported here.
    """
    made_by = (flow_detail.meta or {}).get("factory")
    if not made_by:
        raise ValueError(
            f"Cannot reconstruct flow {flow_detail.name} {flow_detail.uuid}: no factory information saved;"
            f" make the flow yourself and give it to engines.load(flow, flow_detail=...)"
        )
    factory = import_factory(made_by["name"])
    return factory(*made_by.get("args", ()), **made_by.get("kwargs", {}))


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
    flow = flow_from_detail(flow_detail)
    return load(flow, store, flow_detail, None, backend, namespace, engine, **kwargs)
