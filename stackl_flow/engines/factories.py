"""Flow factories: functions that create flows, stored by name so that another process can resume the flow."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from types import CoroutineType
from typing import Any, Final, cast

from stackl_flow import error_text, redaction
from stackl_flow import exceptions as exc
from stackl_flow.engines.values import META_INJECTED, check_storable
from stackl_flow.patterns.base import Item
from stackl_flow.persistence import backends
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.factory import create_flow_detail
from stackl_flow.persistence.models import FlowDetail, LogBook

_LOG = redaction.get_logger(__name__)

#: The environment variable with the allow-list of a process that is given none.
FACTORIES_VARIABLE: Final = "STACKL_FLOW_FACTORIES"
#: How many values an error about sizes names.
_SHOWN: Final = 3
#: Key of the factory in a flow's metadata.
META_FACTORY: Final = "factory"

AnyBackend = Backend | Mapping[str, Any] | str | None
Factory = Callable[..., Item] | str


def resolve_backend(backend: AnyBackend) -> Backend | None:
    """Return the backend for a backend, its URL, its settings, or None.

    Raises:
        NotFound: there is no backend for that URL.
    """
    if backend is None or isinstance(backend, Backend):
        return backend
    return backends.fetch(backend)


# ------------------------------------------------------------------ the allow-list


class AllowList:
    """Which factories may be imported by a name that was stored or received.

    A pattern is a name, such as ``"shop.flows:order"``, or has wildcards, such as ``"shop.*"``. Patterns with
    wildcards allow what is defined in the modules that they match, not what these import from elsewhere.

    Args:
        patterns: the patterns; None for those in the environment variable ``STACKL_FLOW_FACTORIES``,
            separated by commas or spaces. If that is not set either, every factory is allowed.

    Raises:
        TypeError: the patterns are no list of texts.
    """

    def __init__(self, patterns: Collection[str] | None = None) -> None:
        self._source = "factories="
        if patterns is None:
            self._source = FACTORIES_VARIABLE
            patterns = os.environ.get(FACTORIES_VARIABLE, "").replace(",", " ").split() or None
        elif isinstance(patterns, str) or not all(isinstance(pattern, str) for pattern in patterns):
            raise TypeError(f"factories= takes a list of patterns, such as ['shop.*'], not {patterns!r}")
        self.patterns = None if patterns is None else tuple(patterns)

    def import_factory(self, name: str) -> Callable[..., Item]:
        """Import a factory by a name that was stored or received.

        Raises:
            FactoryNotAllowed: it is not on the list; nothing was imported.
            FactoryNotFound: it cannot be imported.
        """
        self.check_name(name)
        found = import_factory(name)
        self.check(name, found)
        return found

    def check_name(self, name: str) -> None:
        """Check a name before anything is imported.

        Raises:
            FactoryNotAllowed: it is not on the list.
        """
        if not self._matches(name):
            raise self._error(name, "")

    def check(self, name: str, found: object) -> None:
        """Check what was imported by a name.

        Raises:
            FactoryNotAllowed: it is defined elsewhere, in a module that is not on the list.
        """
        if self.patterns is None or _dotted(name) in map(_dotted, self.patterns):
            return
        origin = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
        if not self._matches(origin):
            raise self._error(name, f": it is {origin}, so list this name without wildcards to allow it")

    def _matches(self, name: str) -> bool:
        if self.patterns is None:
            return True
        return any(fnmatchcase(_dotted(name), _dotted(pattern)) for pattern in self.patterns)

    def _error(self, name: str, reason: str) -> exc.FactoryNotAllowed:
        listed = ", ".join(self.patterns or ()) or "nothing"
        error = exc.FactoryNotAllowed(
            f"factory '{name}' may not be used here{reason}; {self._source} allows {listed}: add it to the "
            f"list, or leave the flow to a process that has it"
        )
        error.name = name.replace(":", ".").rpartition(".")[0]
        return error


def _dotted(name: str) -> str:
    return name.replace(":", ".")


# ------------------------------------------------------------------ names of factories


def factory_name(factory: Factory) -> str:
    """Return the full name by which a factory can be imported, as ``package.module:function``.

    A name is returned as it is.

    Raises:
        FactoryNotFound: it cannot be imported by its name.
        ValueError: importing the name gives another object, as for lambdas and inner functions.
    """
    if isinstance(factory, str):
        import_factory(factory)
        return factory
    if not hasattr(factory, "__qualname__"):
        raise ValueError(f"{factory!r} is not a flow factory: pass a function that returns a flow")
    name = f"{factory.__module__}:{factory.__qualname__}"
    try:
        found = import_factory(name)
    except exc.FactoryNotFound:
        found = None
    if factory.__module__ == "__main__":
        _LOG.warning(
            "flow factory %s can only be imported while this script runs: to resume its flows elsewhere, move"
            " it to a module and import it from there", name,
        )  # fmt: skip
    if found != factory:
        raise ValueError(
            f"Flow factory {factory!r} is not reimportable by name {name}: pass a function at the top level"
            f" of a module, so that the flow can be created again where it is resumed"
        )
    return name


def import_factory(name: str) -> Callable[..., Item]:
    """Import a flow factory by its name.

    Args:
        name: ``package.module.function`` or ``package.module:function``.

    Raises:
        FactoryNotFound: it cannot be imported. The error's ``name`` is the module that does not exist or does
            not have the factory.
    """
    module, colon, path = name.partition(":")
    if not all(name.replace(":", ".").split(".")) or not (colon or "." in name):
        raise _not_found(name, "it is not the name of a function: write package.module:function")
    found: Any = _import_module(module, name) if colon else None
    attributes = path.split(".") if colon else []
    while found is None:
        module, _, attribute = module.rpartition(".")
        attributes.insert(0, attribute)
        found = _import_module(module, name, last="." not in module)
    for attribute in attributes:
        if not hasattr(found, attribute):
            hint = ": the flow was created by a script that is not running" if module == "__main__" else ""
            raise _not_found(name, f"module '{module}' has no '{'.'.join(attributes)}'{hint}", module)
        found = getattr(found, attribute)
    if not callable(found):
        reason = f"it is {_describe(found)} and not callable; name a function that returns a flow"
        raise _not_found(name, reason, module)
    return cast("Callable[..., Item]", found)


def _describe(value: object) -> str:
    """Describe the type of a value, such as "an int"."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind = type(value).__name__
    return "None" if value is None else f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def _import_module(module: str, factory: str, *, last: bool = True) -> Any:
    """Import a module; returns None for a missing one, unless it is the last to be tried."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        if not f"{module}.".startswith(f"{missing}."):
            reason = f"module '{module}' imports '{missing}', which is not installed"
            raise _not_found(factory, reason, module, error) from error
        if last:
            reason = f"there is no module '{missing}' on the import path"
            raise _not_found(factory, reason, missing, error) from error
        return None
    except SystemExit as error:
        reason = f"importing module '{module}' exits; guard its script part with if __name__ == '__main__'"
        raise _not_found(factory, reason, module, error) from error
    except Exception as error:
        reason = f"importing module '{module}' raised {error_text.describe(error)}"
        raise _not_found(factory, reason, module, error) from error


def _not_found(
    factory: str, reason: str, module: str | None = None, cause: BaseException | None = None
) -> exc.FactoryNotFound:
    error = exc.FactoryNotFound(f"Could not import factory '{factory}': {reason}", cause=cause)
    error.name = module
    return error


# ------------------------------------------------------------------ creating flows


def make_flow(
    name: str,
    factory_args: Sequence[Any] | None = None,
    factory_kwargs: Mapping[str, Any] | None = None,
    allowed: AllowList | None = None,
) -> Item:
    """Create a flow with its factory.

    Args:
        name: the name of the factory.
        factory_args: its arguments.
        factory_kwargs: its keyword arguments.
        allowed: the allow-list, for a name that was stored or received.

    Raises:
        FactoryNotFound: the factory cannot be imported, or is not allowed.
        NotAnAtom: the factory returned something other than a flow.
    """
    factory = import_factory(name) if allowed is None else allowed.import_factory(name)
    return check_flow(factory(*(factory_args or ()), **(factory_kwargs or {})), name)


def check_flow(created: object, name: str) -> Item:
    """Check that the factory of this name returned a flow, and return it.

    Raises:
        NotAnAtom: it did not.
    """
    if isinstance(created, Item):
        return created
    if isinstance(created, CoroutineType):
        created.close()
        raise exc.NotAnAtom(f"factory '{name}' is async: make it a plain function that returns a flow")
    raise exc.NotAnAtom(f"factory '{name}' returned {_describe(created)} instead of a flow")


def flow_from_detail(flow_detail: FlowDetail, factories: Collection[str] | None = None) -> Item:
    """Create a stored flow again with its factory.

    Args:
        flow_detail: the stored flow.
        factories: the names or patterns of the factories that may be imported, such as ``["shop.*"]``; None
            for those in the environment variable ``STACKL_FLOW_FACTORIES``, or all if that is not set.

    Raises:
        ValueError: the flow was not created by a factory.
        FactoryNotAllowed: the factory is not one of ``factories``; nothing was imported.
        FactoryNotFound: the factory cannot be imported in this process.
        NotAnAtom: the factory returned something other than a flow.
    """
    stored = (flow_detail.meta or {}).get(META_FACTORY)
    if not stored:
        raise ValueError(
            f"Cannot reconstruct flow {flow_detail.name} {flow_detail.uuid}: no factory information saved;"
            f" create the flow yourself and call engines.load(flow, flow_detail=...)"
        )
    return make_flow(stored["name"], stored.get("args"), stored.get("kwargs"), AllowList(factories))


# ------------------------------------------------------------------ storing flows


def factory_metadata(
    flow_factory: Factory,
    factory_args: Sequence[Any] | None = None,
    factory_kwargs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the metadata that says how a flow is created.

    Raises:
        FactoryNotFound: the factory cannot be imported by its name.
        ValueError: the factory is not at the top level of a module.
    """
    name = factory_name(flow_factory)
    return {
        META_FACTORY: {"name": name, "args": list(factory_args or ()), "kwargs": dict(factory_kwargs or {})}
    }


def new_flow_detail(
    flow: Item,
    meta: Mapping[str, Any],
    store: Mapping[str, Any] | None = None,
    book: LogBook | None = None,
    backend: Backend | None = None,
    name: str | None = None,
    *,
    is_new_book: bool = False,
) -> FlowDetail:
    """Create the detail of a new flow, and store it in one transaction with all that a resume needs.

    A process that dies right afterwards leaves a flow that another process can run.

    Args:
        flow: the flow.
        meta: metadata, such as that of ``factory_metadata``.
        store: the flow's inputs.
        book: the logbook of the detail; with a backend, a new one if left out.
        backend: where the detail is stored; None keeps it in this process.
        name: name of the detail; the flow's name if left out.
        is_new_book: whether the logbook was never stored.

    Raises:
        NotSerializable: a value in ``store`` cannot be stored; nothing was stored.
        ValueTooLarge: the backend does not accept as much; nothing was stored.
    """
    inputs = dict(store or {})
    title = name or str(flow.name)
    if backend is not None:
        check_storable(inputs, title, backend)
    full_meta = {**meta, META_INJECTED: inputs} if inputs else dict(meta)
    try:
        return create_flow_detail(
            flow, book=book, backend=backend, meta=full_meta, name=name, is_new_book=is_new_book
        )
    except exc.ValueTooLarge as error:
        if backend is None:
            raise
        raise _inputs_too_large(title, full_meta, backend, error) from error


def _inputs_too_large(
    flow: str, meta: Mapping[str, Any], backend: Backend, error: exc.ValueTooLarge
) -> exc.ValueTooLarge:
    """Return the error for a flow that cannot be stored, with its largest values by name."""
    factory = meta.get(META_FACTORY, {})
    values = {
        **{f"input '{name}'": value for name, value in meta.get(META_INJECTED, {}).items()},
        **{f"argument '{name}' of the factory": value for name, value in factory.get("kwargs", {}).items()},
        **{
            f"argument {number} of the factory": value for number, value in enumerate(factory.get("args", ()))
        },
    }
    sizes = {what: len(backend.codec.encode(value)) for what, value in values.items()}
    largest = sorted(sizes.items(), key=lambda pair: -pair[1])[:_SHOWN]
    shown = ", ".join(f"{what} has {size} bytes" for what, size in largest)
    return exc.ValueTooLarge(
        f"flow '{flow}' is too large to be stored, and nothing was stored ({shown}): {error}",
        cause=error.cause,
        size=error.size,
        limit=error.limit,
    )


def save_factory_details(
    flow_detail: FlowDetail,
    flow_factory: Factory,
    factory_args: Sequence[Any] | None = None,
    factory_kwargs: Mapping[str, Any] | None = None,
    backend: AnyBackend = None,
) -> None:
    """Add to a flow detail how its flow is created, so that it can be resumed.

    Args:
        flow_detail: the detail.
        flow_factory: the function that creates the flow, or its name, such as ``"shop.flows:order"``.
        factory_args: positional arguments of the factory.
        factory_kwargs: keyword arguments of the factory.
        backend: where the detail is stored; if given, the change is written at once.

    Raises:
        FactoryNotFound: the factory cannot be imported by its name.
        ValueError: the factory is not at the top level of a module.
    """
    flow_detail.meta.update(factory_metadata(flow_factory, factory_args, factory_kwargs))
    resolved = resolve_backend(backend)
    if resolved is not None:
        with resolved.get_connection() as connection:
            connection.update_flow_details(flow_detail)
