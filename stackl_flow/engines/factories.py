"""Functions that make flows, found again by name, so that a flow can be resumed where it was not made."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from types import CoroutineType
from typing import Any, Final, cast

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.engines.values import META_INJECTED, check_storable
from stackl_flow.patterns.base import Item
from stackl_flow.persistence import backends
from stackl_flow.persistence import factory as books
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import FlowDetail, LogBook

_LOG = redaction.get_logger(__name__)

META_FACTORY: Final = "factory"

AnyBackend = Backend | Mapping[str, Any] | str | None
Factory = Callable[..., Item] | str


def resolve_backend(backend: AnyBackend) -> Backend | None:
    """Make a backend of whatever it was given as.

    Args:
        backend: a backend, its address, its settings, or None.

    Returns:
        The backend, or None.

    Raises:
        NotFound: there is no backend for that address.
    """
    if backend is None or isinstance(backend, Backend):
        return backend
    return backends.fetch(backend)


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
    if not hasattr(factory, "__qualname__"):
        raise ValueError(f"{factory!r} is no flow factory: give a function that makes and returns a flow")
    name = f"{factory.__module__}.{factory.__qualname__}"
    try:
        found = import_factory(name)
    except exc.FactoryNotFound:
        found = None
    if factory.__module__ == "__main__":
        _LOG.warning(
            "flow factory %s is known only while this script runs: to resume its flows elsewhere, move it to"
            " a module and import it from there", name,
        )  # fmt: skip
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
        FactoryNotFound: it cannot be imported, with the reason; its ``name`` is the module that is not there,
            or that has no such factory.
    """
    module, colon, path = name.partition(":")
    if not all(name.replace(":", ".").split(".")) or not (colon or "." in name):
        raise _cannot(name, "it names no module and function: write package.module.function")
    found: Any = _import_module(module, name) if colon else None
    rest = path.split(".") if colon else []
    while found is None:
        module, _, attribute = module.rpartition(".")
        rest.insert(0, attribute)
        found = _import_module(module, name, last="." not in module)
    for attribute in rest:
        if not hasattr(found, attribute):
            script = ": it was made by a script that does not run here" if module == "__main__" else ""
            raise _cannot(name, f"module '{module}' has no '{'.'.join(rest)}'{script}", module)
        found = getattr(found, attribute)
    if not callable(found):
        why = f"it is {_an(found)} and cannot be called; name a function that makes and returns a flow"
        raise _cannot(name, why, module)
    return cast("Callable[..., Item]", found)


def _an(value: object) -> str:
    """Tell what kind of thing a value is, such as "an int"."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind = type(value).__name__
    return "None" if value is None else f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def _import_module(module: str, factory: str, *, last: bool = True) -> Any:
    """Import a module; one that is not there gives None, unless it is the last to be tried."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        if not f"{module}.".startswith(f"{missing}."):
            why = f"module '{module}' imports '{missing}', which is not installed here"
            raise _cannot(factory, why, module, error) from error
        if last:
            raise _cannot(factory, f"there is no module '{missing}' on the import path", missing) from error
        return None
    except SystemExit as error:
        why = f"importing module '{module}' ended the program; let it do that under if __name__ == '__main__'"
        raise _cannot(factory, why, module, error) from error
    except Exception as error:
        why = f"module '{module}' cannot be imported, it raised {type(error).__name__}: {error}"
        raise _cannot(factory, why, module, error) from error


def _cannot(
    factory: str, why: str, module: str | None = None, cause: BaseException | None = None
) -> exc.FactoryNotFound:
    error = exc.FactoryNotFound(f"Could not import factory '{factory}': {why}", cause=cause)
    error.name = module
    return error


def make_flow(
    name: str, factory_args: Sequence[Any] | None = None, factory_kwargs: Mapping[str, Any] | None = None
) -> Item:
    """Have a factory make its flow.

    Args:
        name: the factory's full name.
        factory_args: its arguments.
        factory_kwargs: its keyword arguments.

    Returns:
        The flow.

    Raises:
        FactoryNotFound: it cannot be imported.
        NotAnAtom: it made something else than a flow.
    """
    return check_flow(import_factory(name)(*(factory_args or ()), **(factory_kwargs or {})), name)


def check_flow(made: object, name: str) -> Item:
    """Check what a factory made.

    Args:
        made: what it returned.
        name: the factory's name.

    Returns:
        The same, when it is a flow.

    Raises:
        NotAnAtom: it is none.
    """
    if isinstance(made, Item):
        return made
    if isinstance(made, CoroutineType):
        made.close()
        raise exc.NotAnAtom(f"factory '{name}' is async: make it a plain function that returns a flow")
    raise exc.NotAnAtom(f"factory '{name}' returned {_an(made)}, not a flow: let it return the flow it makes")


def factory_metadata(
    flow_factory: Factory,
    factory_args: Sequence[Any] | None = None,
    factory_kwargs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write down how a flow is made, in the form of a note to its detail.

    Args:
        flow_factory: the function that makes the flow, or its full name.
        factory_args: its arguments.
        factory_kwargs: its keyword arguments.

    Returns:
        The note by its name.

    Raises:
        FactoryNotFound: the factory cannot be imported by its name.
        ValueError: the factory is not at the top of a module.
    """
    name = factory_name(flow_factory)
    return {
        META_FACTORY: {"name": name, "args": list(factory_args or ()), "kwargs": dict(factory_kwargs or {})}
    }


def new_flow_detail(
    flow: Item,
    notes: Mapping[str, Any],
    store: Mapping[str, Any] | None = None,
    book: LogBook | None = None,
    backend: Backend | None = None,
    name: str | None = None,
) -> FlowDetail:
    """Make the detail of a new flow and store it in one piece with all that it takes to resume it.

    A process that dies right afterwards leaves a flow that another can run.

    Args:
        flow: the flow.
        notes: what ``factory_metadata`` gave; nothing when the flow was not made by a factory.
        store: values given to the flow.
        book: where the detail is put; with a backend, a new book if left out.
        backend: where it is stored; nowhere if left out.
        name: what to call it; the flow's name if left out.

    Returns:
        The detail.

    Raises:
        NotSerializable: a value in ``store`` cannot be stored; nothing was.
    """
    given = dict(store or {})
    if backend is not None:
        check_storable(given, name or str(flow.name), backend)
    meta = {**notes, META_INJECTED: given} if given else dict(notes)
    return books.create_flow_detail(flow, book=book, backend=backend, meta=meta, name=name)


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
    flow_detail.meta.update(factory_metadata(flow_factory, factory_args, factory_kwargs))
    place = resolve_backend(backend)
    if place is not None:
        with place.get_connection() as connection:
            connection.update_flow_details(flow_detail)


def flow_from_detail(flow_detail: FlowDetail) -> Item:
    """Make a flow again by the factory that made it.

    Args:
        flow_detail: what is stored of the flow.

    Returns:
        The flow.

    Raises:
        ValueError: it was not made by a factory.
        FactoryNotFound: the factory cannot be imported here.
        NotAnAtom: it makes something else than a flow.
    """
    made = (flow_detail.meta or {}).get(META_FACTORY)
    if not made:
        raise ValueError(
            f"Cannot reconstruct flow {flow_detail.name} {flow_detail.uuid}: no factory information saved;"
            f" make the flow yourself and give it to engines.load(flow, flow_detail=...)"
        )
    return make_flow(made["name"], made.get("args"), made.get("kwargs"))
