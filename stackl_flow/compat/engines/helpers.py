"""TaskFlow's `taskflow.engines.helpers`, with engines and backends from TaskFlow's entry point groups."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, cast

from stackl_flow import exceptions as exc
from stackl_flow.compat import entry_points
from stackl_flow.compat.persistence import backends as p_backends
from stackl_flow.compat.utils.uri import extract_driver_and_conf
from stackl_flow.engines import factories
from stackl_flow.engines.base import Engine
from stackl_flow.engines.factories import META_FACTORY, Factory
from stackl_flow.engines.secrets import register_redaction, secret_metadata
from stackl_flow.patterns.base import Item
from stackl_flow.persistence import factory
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import FlowDetail, LogBook

__all__ = [
    "ENGINES_NAMESPACE",
    "ENGINE_DEFAULT",
    "flow_from_detail",
    "load",
    "load_from_detail",
    "load_from_factory",
    "run",
    "run_iter",
    "save_factory_details",
]

ENGINES_NAMESPACE: Final = "taskflow.engines"
ENGINE_DEFAULT: Final = "default"

AnyBackend = Backend | Mapping[str, Any] | None


def _backend_of(backend: AnyBackend) -> Backend | None:
    if backend is None or isinstance(backend, Backend):
        return backend
    return p_backends.fetch(backend)


def _read_engine(engine: str | None, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name of an engine and its options, from a name or a URI such as ``parallel://?max_workers=2``."""
    kind, settings = extract_driver_and_conf(engine or ENGINE_DEFAULT, "engine")
    return kind, {**{key: value for key, value in settings.items() if key != "engine"}, **options}


def _import_stored_factory(name: str, patterns: Collection[str] | None) -> Callable[..., Item]:
    allowed = factories.AllowList(patterns)
    allowed.check_name(name)
    found = _import_factory(name)
    allowed.check(name, found)
    return found


def _import_factory(name: str) -> Callable[..., Item]:
    """Import a factory with oslo.utils, as TaskFlow does, because tests of programs replace that function.

    oslo.utils is installed with TaskFlow, not with this library.
    """
    if importlib.util.find_spec("oslo_utils") is None:
        return factories.import_factory(name)
    importutils = importlib.import_module("oslo_utils.importutils")
    try:
        return cast("Callable[..., Item]", importutils.import_class(name))
    except (ImportError, ValueError) as error:
        raise ImportError(f"Could not import factory '{name}': {error}") from error


def load(
    flow: Item,
    store: Mapping[str, Any] | None = None,
    flow_detail: FlowDetail | None = None,
    book: LogBook | None = None,
    backend: AnyBackend = None,
    namespace: str = ENGINES_NAMESPACE,
    engine: str | None = ENGINE_DEFAULT,
    *,
    secrets: Collection[str] | None = None,
    **kwargs: Any,
) -> Engine:
    """Create an engine for a flow.

    Args:
        flow: the flow or a single task.
        store: inputs of the flow, by name.
        flow_detail: the stored flow; a new one by default.
        book: the logbook of a new flow detail.
        backend: the backend or its settings; None: only in this process.
        namespace: the entry point group of engines.
        engine: the name of the engine, or a URI with options.
        secrets: names of secret values; not part of TaskFlow.
        kwargs: options of the engine.

    Raises:
        NotFound: the engine or backend does not exist.
    """
    kind, options = _read_engine(engine, kwargs)
    storage_backend = _backend_of(backend)
    if flow_detail is None:
        if isinstance(cast("object", flow), Item):
            flow_detail = factories.new_flow_detail(
                flow, secret_metadata(flow, secrets), store, book, storage_backend
            )
        else:  # as in TaskFlow, compiling raises the error
            flow_detail = factory.create_flow_detail(flow, book=book, backend=storage_backend)
    factory_of_engine = entry_points.load_plugin(namespace, kind)
    if factory_of_engine is None:
        names = ", ".join(sorted(entry_points.plugins_of(namespace))) or "none"
        raise exc.NotFound(f"unknown engine '{kind}' in '{namespace}': known engines are {names}")
    instance = cast("Engine", factory_of_engine(flow, flow_detail, storage_backend, options))
    register_redaction(instance, flow, flow_detail, store or {}, secrets)
    if store:
        instance.storage.inject(store)
    return instance


def run(
    flow: Item,
    store: Mapping[str, Any] | None = None,
    flow_detail: FlowDetail | None = None,
    book: LogBook | None = None,
    backend: AnyBackend = None,
    namespace: str = ENGINES_NAMESPACE,
    engine: str | None = ENGINE_DEFAULT,
    **kwargs: Any,
) -> dict[str, Any]:
    """Run a flow and return all values by name; see `load`."""
    instance = load(flow, store, flow_detail, book, backend, namespace, engine, **kwargs)
    instance.run()
    return instance.storage.fetch_all()


def run_iter(flow: Item, *args: Any, **kwargs: Any) -> Iterator[str]:
    """Run a flow step by step; yields the states of the engine. See `load`."""
    return load(flow, *args, **kwargs).run_iter()


def _dotted_name(factory: Factory) -> str:
    """Return the full name of a factory in the form in which TaskFlow stores it."""
    return factories.factory_name(factory).replace(":", ".")


def save_factory_details(
    flow_detail: FlowDetail,
    flow_factory: Factory,
    factory_args: Sequence[Any] | None = None,
    factory_kwargs: Mapping[str, Any] | None = None,
    backend: AnyBackend = None,
) -> None:
    """Store how a flow is created with its flow detail.

    Args:
        flow_detail: the flow detail.
        flow_factory: the factory, or its full name.
        factory_args: its arguments.
        factory_kwargs: its keyword arguments.
        backend: the backend in which the flow detail is updated.
    """
    storage_backend = _backend_of(backend)
    factories.save_factory_details(
        flow_detail, _dotted_name(flow_factory), factory_args, factory_kwargs, backend=storage_backend
    )


def flow_from_detail(flow_detail: FlowDetail, allowed: Collection[str] | None = None) -> Item:
    """Create a stored flow by its factory.

    Args:
        flow_detail: the stored flow.
        allowed: the factories that may be imported; not part of TaskFlow.

    Raises:
        ValueError: no factory is stored.
        ImportError: the factory cannot be imported.
    """
    stored = (flow_detail.meta or {}).get(META_FACTORY)
    if not stored:
        raise ValueError(
            f"Cannot reconstruct flow {flow_detail.name} {flow_detail.uuid}: no factory information saved."
        )
    create = _import_stored_factory(stored["name"], allowed)
    return create(*stored.get("args", ()), **stored.get("kwargs", {}))


def load_from_factory(
    flow_factory: Factory,
    factory_args: Sequence[Any] | None = None,
    factory_kwargs: Mapping[str, Any] | None = None,
    store: Mapping[str, Any] | None = None,
    book: LogBook | None = None,
    backend: AnyBackend = None,
    namespace: str = ENGINES_NAMESPACE,
    engine: str | None = ENGINE_DEFAULT,
    **kwargs: Any,
) -> Engine:
    """Create a flow by its factory, store the factory with it, and create an engine; see `load`.

    Args:
        flow_factory: the factory, or its full name.
        factory_args: its arguments.
        factory_kwargs: its keyword arguments.
        store: inputs of the flow, by name.
        book: the logbook of the flow detail.
        backend: the backend or its settings.
        namespace: the entry point group of engines.
        engine: the name of the engine, or a URI with options.
        kwargs: options of the engine.
    """
    metadata = factories.factory_metadata(_dotted_name(flow_factory), factory_args, factory_kwargs)
    create = factories.import_factory(metadata[META_FACTORY]["name"])
    flow = create(*(factory_args or ()), **(factory_kwargs or {}))
    storage_backend = _backend_of(backend)
    flow_detail = factories.new_flow_detail(flow, metadata, store, book, storage_backend)
    return load(flow, store, flow_detail, book, storage_backend, namespace, engine, **kwargs)


def load_from_detail(
    flow_detail: FlowDetail,
    store: Mapping[str, Any] | None = None,
    backend: AnyBackend = None,
    namespace: str = ENGINES_NAMESPACE,
    engine: str | None = ENGINE_DEFAULT,
    **kwargs: Any,
) -> Engine:
    """Create an engine for a stored flow that was created by a factory; see `load`.

    The option ``factories``, an allow-list, is not part of TaskFlow.
    """
    flow = flow_from_detail(flow_detail, kwargs.pop("factories", None))
    return load(flow, store, flow_detail, None, backend, namespace, engine, **kwargs)
