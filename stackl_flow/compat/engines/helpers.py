"""TaskFlow's `taskflow.engines.helpers`: ours, with engines and backends by TaskFlow's entry points."""

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

Place = Backend | Mapping[str, Any] | None


def _backend_of(backend: Place) -> Backend | None:
    if backend is None or isinstance(backend, Backend):
        return backend
    return p_backends.fetch(backend)


def _read_engine(engine: str | None, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Take an engine's name and options out of a word or a URI such as ``parallel://?max_workers=2``."""
    kind, told = extract_driver_and_conf(engine or ENGINE_DEFAULT, "engine")
    return kind, {**{word: value for word, value in told.items() if word != "engine"}, **options}


def _import_factory(name: str) -> Callable[..., Item]:
    """Import a factory where TaskFlow does it, because its users' tests put theirs in there.

    Without oslo.utils, which comes with TaskFlow and not with us, our own way serves.
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
    backend: Place = None,
    namespace: str = ENGINES_NAMESPACE,
    engine: str | None = ENGINE_DEFAULT,
    *,
    secrets: Collection[str] | None = None,
    **kwargs: Any,
) -> Engine:
    """Get an engine for a flow.

    Args:
        flow: the flow, or a lone task.
        store: values for the flow, by name.
        flow_detail: what is known of it; a new one if left out.
        book: where a new detail is put.
        backend: where it is stored: a backend or its settings; None keeps it in this process.
        namespace: the group of entry points in which engines are looked up.
        engine: which one, or a URI with options.
        secrets: names of values that are not to be seen; not TaskFlow's.
        kwargs: options for the engine.

    Returns:
        The engine.

    Raises:
        NotFound: there is no such engine or backend.
    """
    kind, options = _read_engine(engine, kwargs)
    place = _backend_of(backend)
    if flow_detail is None:
        if isinstance(cast("object", flow), Item):
            flow_detail = factories.new_flow_detail(flow, secret_metadata(flow, secrets), store, book, place)
        else:  # TaskFlow notices when it compiles
            flow_detail = factory.create_flow_detail(flow, book=book, backend=place)
    make = entry_points.find(namespace, kind)
    if make is None:
        names = ", ".join(sorted(entry_points.known(namespace))) or "none"
        raise exc.NotFound(f"Could not find engine '{kind}' in '{namespace}': known are {names}")
    made = cast("Engine", make(flow, flow_detail, place, options))
    register_redaction(made, flow, flow_detail, store or {}, secrets)
    if store:
        made.storage.inject(store)
    return made


def run(
    flow: Item,
    store: Mapping[str, Any] | None = None,
    flow_detail: FlowDetail | None = None,
    book: LogBook | None = None,
    backend: Place = None,
    namespace: str = ENGINES_NAMESPACE,
    engine: str | None = ENGINE_DEFAULT,
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
        All values by name.
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


def save_factory_details(
    flow_detail: FlowDetail,
    flow_factory: Factory,
    factory_args: Sequence[Any] | None = None,
    factory_kwargs: Mapping[str, Any] | None = None,
    backend: Place = None,
) -> None:
    """Note with a flow detail how its flow is made.

    Args:
        flow_detail: the detail.
        flow_factory: the function that makes the flow, or its full name.
        factory_args: its arguments.
        factory_kwargs: its keyword arguments.
        backend: where the detail is stored, to store it at once.
    """
    place = _backend_of(backend)
    factories.save_factory_details(flow_detail, flow_factory, factory_args, factory_kwargs, backend=place)


def flow_from_detail(flow_detail: FlowDetail) -> Item:
    """Make a flow again by the factory that made it.

    Args:
        flow_detail: what is stored of the flow.

    Returns:
        What the factory makes.

    Raises:
        ValueError: it was not made by a factory.
        ImportError: the factory cannot be imported here.
    """
    made = (flow_detail.meta or {}).get(META_FACTORY)
    if not made:
        raise ValueError(
            f"Cannot reconstruct flow {flow_detail.name} {flow_detail.uuid}: no factory information saved."
        )
    return _import_factory(made["name"])(*made.get("args", ()), **made.get("kwargs", {}))


def load_from_factory(
    flow_factory: Factory,
    factory_args: Sequence[Any] | None = None,
    factory_kwargs: Mapping[str, Any] | None = None,
    store: Mapping[str, Any] | None = None,
    book: LogBook | None = None,
    backend: Place = None,
    namespace: str = ENGINES_NAMESPACE,
    engine: str | None = ENGINE_DEFAULT,
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
    """
    notes = factories.factory_metadata(flow_factory, factory_args, factory_kwargs)
    make = factories.import_factory(notes[META_FACTORY]["name"])
    flow = make(*(factory_args or ()), **(factory_kwargs or {}))
    place = _backend_of(backend)
    flow_detail = factories.new_flow_detail(flow, notes, store, book, place)
    return load(flow, store, flow_detail, book, place, namespace, engine, **kwargs)


def load_from_detail(
    flow_detail: FlowDetail,
    store: Mapping[str, Any] | None = None,
    backend: Place = None,
    namespace: str = ENGINES_NAMESPACE,
    engine: str | None = ENGINE_DEFAULT,
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
    """
    return load(flow_from_detail(flow_detail), store, flow_detail, None, backend, namespace, engine, **kwargs)
