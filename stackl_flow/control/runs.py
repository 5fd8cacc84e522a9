"""Runs of flows: create one from a factory, load a stored one, and run it.

A factory is written "MODULE:FACTORY", as in "shop.flows:order". Errors say which part of the name is wrong
and what to write instead.
"""

import inspect
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from stackl_flow import engines, error_text, redaction, states
from stackl_flow import exceptions as exc
from stackl_flow.atom import Atom
from stackl_flow.control.flows import list_flows
from stackl_flow.control.opening import add_working_directory
from stackl_flow.control.views import FlowSummary
from stackl_flow.engines import factories
from stackl_flow.engines.base import Engine
from stackl_flow.engines.values import META_INJECTED
from stackl_flow.patterns.base import Flow
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import FlowDetail, LogBook, secret_values
from stackl_flow.submission import FlowSource

Factory = Callable[..., Flow | Atom]

# ------------------------------------------------------------- factories


def import_factory(spec: str) -> Factory:
    """Import a factory; the current directory is searched first, as with `python -m`.

    Args:
        spec: "MODULE:FACTORY"; FACTORY may be a dotted path inside the module.

    Raises:
        FactoryNotFound: it cannot be imported or called.
    """
    module, colon, path = spec.partition(":")
    if not colon or not module or not path:
        first, dot, last = spec.strip(":").rpartition(".")
        like = f"{first}:{last}" if dot and last != "py" and os.sep not in spec else "shop.flows:order"
        raise exc.FactoryNotFound(f"invalid factory '{spec}': write MODULE:FACTORY, such as {like}")
    if module.endswith(".py") or os.sep in module:
        dotted = ".".join(p for p in Path(module.removesuffix(".py")).parts if p not in {".", os.sep})
        raise exc.FactoryNotFound(
            f"'{spec}' is the path of a file: write the name of the module, such as {dotted}:{path}"
        )
    return _import(spec)


def rebuild_flow(detail: FlowDetail, factories_allowed: Collection[str] | None = None) -> Flow | Atom:
    """Build a stored flow again with its factory.

    Args:
        detail: the stored flow.
        factories_allowed: as ``factories`` of `engines.flow_from_detail`.

    Raises:
        FactoryNotAllowed: the factory is not on the allow-list.
        FactoryNotFound: it was stored without a factory, or the factory cannot be imported or called here.
    """
    factory = detail.meta.get(factories.META_FACTORY)
    if not factory:
        raise exc.FactoryNotFound(
            f"flow '{detail.name}' ({detail.uuid}) was stored without a factory: "
            f"resume it from the program that created it, with engines.load(flow, flow_detail=...)"
        )
    name, args, kwargs = factory["name"], factory.get("args") or (), factory.get("kwargs") or {}
    stored = ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())])
    remedy = f"the flow was stored with ({stored}), so the factory has to accept these"
    allowed = factories.AllowList(factories_allowed)
    allowed.check_name(name)
    imported = _import(name)
    allowed.check(name, imported)
    return build_flow(imported, kwargs, name, args, remedy)


def build_flow(
    factory: Factory,
    kwargs: Mapping[str, Any],
    spec: str,
    args: Sequence[Any] = (),
    remedy: str = "",
) -> Flow | Atom:
    """Call a factory.

    Args:
        factory: returns the flow.
        kwargs: its keyword arguments.
        spec: the factory's name for error messages.
        args: its positional arguments.
        remedy: what an error message advises if the arguments do not match the factory's signature.

    Returns:
        The flow, or a single task.

    Raises:
        FactoryNotFound: the arguments do not match, the factory raised, or it did not return a flow.
    """
    try:
        inspect.signature(factory).bind(*args, **kwargs)
    except TypeError as error:
        if not remedy and "missing" in str(error):
            remedy = "pass them with --arg NAME=VALUE"
        more = f", {remedy}" if remedy else ""
        raise exc.FactoryNotFound(
            f"factory '{spec}' cannot be called with these arguments ({error}): "
            f"its signature is {inspect.signature(factory)}{more}"
        ) from error
    try:
        flow = factory(*args, **kwargs)
    except exc.StacklFlowError:
        raise  # the errors of an invalid flow (a cycle, a duplicate name) are clear by themselves
    except Exception as error:
        raise exc.FactoryNotFound(
            f"factory '{spec}' raised {error_text.describe(error)}", cause=error
        ) from error
    try:
        return factories.check_flow(flow, spec)
    except exc.NotAnAtom as error:
        raise exc.FactoryNotFound(str(error)) from error


def _import(name: str) -> Factory:
    directory = add_working_directory()
    try:
        return factories.import_factory(name)
    except exc.FactoryNotFound as error:
        hint = _import_hint(error, directory)
        raise exc.FactoryNotFound(f"{error.args[0]}{hint}", cause=error.cause) from error


def _import_hint(error: exc.FactoryNotFound, directory: str) -> str:
    is_missing = isinstance(error.cause, ModuleNotFoundError) and error.cause.name == error.name
    if error.name is None or not (error.cause is None or is_missing):
        return ""  # the module exists, but importing it failed
    module = sys.modules.get(error.name)
    if module is not None:
        functions = _public_functions(module)
        return f"; its functions are {', '.join(functions)}" if functions else ""
    return f"; {directory} was searched first: check the name and the current directory"


def _public_functions(module: ModuleType) -> list[str]:
    return sorted(
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    )


# ------------------------------------------------------------- engines


def create_engine(
    backend: Backend,
    factory: str,
    factory_kwargs: Mapping[str, Any],
    store: Mapping[str, Any],
    name: str | None = None,
    secrets: Collection[str] | None = None,
    **engine_options: Any,
) -> Engine:
    """Build and store a new flow, and return an engine for it; nothing runs yet.

    Args:
        backend: where to store the flow.
        factory: "MODULE:FACTORY".
        factory_kwargs: keyword arguments of the factory; stored with the flow.
        store: input values of the flow.
        name: name of the stored flow, by default the flow's own name.
        secrets: names of values that are redacted everywhere.
        engine_options: as for `engines.load`, such as engine= and max_workers=.

    Raises:
        FactoryNotFound: the factory cannot be imported or called.
        CompilationFailure: the flow is invalid.
        DependencyFailure: an input of an atom is missing.
        StorageFailure: the flow cannot be stored.
    """
    flow = build_flow(import_factory(factory), factory_kwargs, factory)
    title = name or str(flow.name)
    source = FlowSource(flow, factory, (), factory_kwargs, store, secrets)
    detail = source.save(backend, LogBook(title), title)
    return engines.load(flow, flow_detail=detail, backend=backend, **engine_options)


def load_engine(
    backend: Backend, flow_uuid: str, factories_allowed: Collection[str] | None = None, **engine_options: Any
) -> Engine:
    """Return an engine that continues a stored flow; nothing runs yet.

    Args:
        backend: where the flow is stored.
        flow_uuid: its full uuid.
        factories_allowed: as ``factories`` of `engines.flow_from_detail`.
        engine_options: as for `engines.load`, such as engine= and max_workers=.

    Raises:
        NotFound: there is no such flow.
        FactoryNotFound: it was stored without a factory, or the factory cannot be imported or called.
        CompilationFailure: the flow is invalid.
        DependencyFailure: an input of a new atom is missing; nothing was stored.
        StorageFailure: the flow cannot be read.
    """
    with backend.get_connection() as connection:
        detail = connection.get_flow_details(flow_uuid)
    with redaction.redacting(secret_values(detail.meta, detail)):
        flow = rebuild_flow(detail, factories_allowed)
        engine = engines.load(flow, flow_detail=detail, backend=backend, **engine_options)
        engine.compile()
        if engine.compilation is not None and set(engine.compilation.names) - {atom.name for atom in detail}:
            # The flow has new atoms: report missing inputs before any of them is stored.
            FlowSource(flow, "", store=detail.meta.get(META_INJECTED, {})).check()
        return engine


#: States of unfinished flows.
UNFINISHED = (states.PENDING, states.RUNNING, states.SUSPENDING, states.SUSPENDED, states.RESUMING)
_FAILED = frozenset({states.FAILURE, states.REVERTED, states.REVERT_FAILURE})


def unfinished_flows(backend: Backend, *, include_stuck: bool = False) -> list[FlowSummary]:
    """List unfinished flows, oldest first; with `include_stuck` also flows in REVERT_FAILURE."""
    wanted = {*UNFINISHED, *([states.REVERT_FAILURE] if include_stuck else [])}
    return [flow for flow in reversed(list_flows(backend)) if flow.state in wanted]


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended; `error` is the error that made the flow fail, if it failed."""

    uuid: str
    state: str
    error: Exception | None = None


def run_engine(engine: Engine) -> RunResult:
    """Run an engine until its flow finishes, fails or is suspended.

    Raises:
        OwnershipLost: another process has taken over the flow.
        StacklFlowError: the engine could not continue the flow.
    """
    failure: Exception | None = None
    try:
        engine.run()
    except exc.OwnershipLost:
        raise
    except Exception as error:
        # An error of a task is re-raised once the flow has failed; every other error is the engine's own.
        if engine.storage.get_flow_state() not in _FAILED:
            raise
        failure = error
    return RunResult(engine.storage.flow_uuid, str(engine.storage.get_flow_state()), failure)
