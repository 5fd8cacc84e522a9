"""Orders: run a flow from its factory, and go on with a stored one.

Flows by the name of their factory, as in "shop.flows:order", and what can be wrong with that name.
"""

import inspect
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from stackl_flow import engines, redaction, states
from stackl_flow import exceptions as exc
from stackl_flow.atom import Atom
from stackl_flow.control.flows import flows
from stackl_flow.control.views import FlowSummary
from stackl_flow.engines import factories
from stackl_flow.engines.base import Engine
from stackl_flow.engines.factories import factory_metadata, new_flow_detail
from stackl_flow.engines.secrets import secret_metadata
from stackl_flow.engines.values import META_INJECTED
from stackl_flow.patterns.base import Flow, Item
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import FlowDetail, LogBook, secret_values
from stackl_flow.persistence.retention import JOB_KEY

Factory = Callable[..., Flow | Atom]


def import_factory(spec: str) -> Factory:
    """Import a factory; the current directory is looked in first, as `python -m` does.

    Args:
        spec: "MODULE:FACTORY", the factory may be a dotted path inside the module.

    Returns:
        The factory.

    Raises:
        FactoryNotFound: it is not there or cannot be called; the message says which part is wrong.
    """
    module, colon, path = spec.partition(":")
    if not colon or not module or not path:
        first, dot, last = spec.strip(":").rpartition(".")
        like = f"{first}:{last}" if dot and last != "py" and os.sep not in spec else "shop.flows:order"
        raise exc.FactoryNotFound(f"'{spec}' is no factory: write MODULE:FACTORY, such as {like}")
    if module.endswith(".py") or os.sep in module:
        named = ".".join(part for part in Path(module.removesuffix(".py")).parts if part not in {".", os.sep})
        raise exc.FactoryNotFound(
            f"'{spec}' names a file: name the module, from where it is imported, such as {named}:{path}"
        )
    return _import(spec)


def make_again(detail: FlowDetail) -> Flow | Atom:
    """Make a stored flow again by the factory that made it.

    Args:
        detail: what is stored of it.

    Returns:
        The flow.

    Raises:
        FactoryNotFound: it was stored without a factory, or that cannot be imported or called here.
    """
    made = detail.meta.get(factories.META_FACTORY)
    if not made:
        raise exc.FactoryNotFound(
            f"flow '{detail.name}' ({detail.uuid}) was stored without a factory: "
            f"resume it from the program that made it, with engines.load(flow, flow_detail=...)"
        )
    name, args, kwargs = made["name"], made.get("args") or (), made.get("kwargs") or {}
    given = ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())])
    remedy = f"the flow was stored with ({given}), let it take these"
    return make_flow(_import(name), kwargs, name, args, remedy)


def make_flow(
    factory: Factory,
    arguments: Mapping[str, Any],
    spec: str,
    args: Sequence[Any] = (),
    remedy: str = "",
) -> Flow | Atom:
    """Call a factory.

    Args:
        factory: what makes the flow.
        arguments: keyword arguments for it.
        spec: how to call it in messages.
        args: further arguments, that go before.
        remedy: what to do when the arguments do not fit, if not to give what is missing.

    Returns:
        The flow, or the single task that was made.

    Raises:
        FactoryNotFound: the arguments do not fit, the factory raised, or it made something else than a flow.
    """
    try:
        inspect.signature(factory).bind(*args, **arguments)
    except TypeError as error:
        if not remedy and "missing" in str(error):
            remedy = "give them with --arg NAME=VALUE"
        more = f", {remedy}" if remedy else ""
        raise exc.FactoryNotFound(
            f"factory '{spec}' cannot be called with these arguments ({error}): "
            f"it takes {inspect.signature(factory)}{more}"
        ) from error
    try:
        made = factory(*args, **arguments)
    except exc.StacklFlowError:
        # A flow that is wrong in itself (a cycle, a name twice) says so best.
        raise
    except Exception as error:
        raise exc.FactoryNotFound(
            f"factory '{spec}' raised {type(error).__name__}: {error}", cause=error
        ) from error
    try:
        return factories.check_flow(made, spec)
    except exc.NotAnAtom as error:
        raise exc.FactoryNotFound(str(error)) from error


def use_working_directory() -> str:
    """Let modules in the current directory be imported, before all others.

    Returns:
        The directory.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return here


def _import(name: str) -> Factory:
    here = use_working_directory()
    try:
        return factories.import_factory(name)
    except exc.FactoryNotFound as error:
        hint = _hint(error, here)
        raise exc.FactoryNotFound(f"{error.args[0]}{hint}", cause=error.cause) from error


def _hint(error: exc.FactoryNotFound, here: str) -> str:
    """Tell what a person at a shell can do about a factory that cannot be imported."""
    if error.cause is not None or error.name is None:
        return ""
    module = sys.modules.get(error.name)
    if module is not None:
        own = _functions(module)
        return f"; its functions are {', '.join(own)}" if own else ""
    return f"; looked in {here} first: check the name and where you are"


def _functions(module: ModuleType) -> list[str]:
    """List the functions that a module defines itself; only these can be meant."""
    return sorted(
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    )


#: States of a flow that was left before its end.
UNFINISHED = (states.PENDING, states.RUNNING, states.SUSPENDING, states.SUSPENDED, states.RESUMING)
_FAILED = frozenset({states.FAILURE, states.REVERTED, states.REVERT_FAILURE})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended; `error` is what made the flow fail, if it did."""

    uuid: str
    state: str
    error: Exception | None = None


def start(
    backend: Backend,
    spec: str,
    arguments: Mapping[str, Any],
    store: Mapping[str, Any],
    name: str | None = None,
    secrets: Collection[str] | None = None,
    **options: Any,
) -> Engine:
    """Make a flow by its factory, store it, and make an engine for it; nothing runs yet.

    Args:
        backend: where to store it.
        spec: "MODULE:FACTORY".
        arguments: keyword arguments for the factory; stored with the flow.
        store: values that the flow's atoms ask for.
        name: what to call the stored flow, if not by its own name.
        secrets: names of values that are not to be seen.
        options: as for `engines.load`, such as engine= and max_workers=.

    Returns:
        The engine.

    Raises:
        FactoryNotFound: the factory cannot be imported or called.
        CompilationFailure: the flow is wrong in itself.
        DependencyFailure: an atom needs something that nobody gives.
        StorageFailure: the flow cannot be stored.
    """
    flow, detail, _ = keep(backend, spec, arguments, store, name, secrets)
    return engines.load(flow, flow_detail=detail, backend=backend, **options)


def keep(
    backend: Backend,
    spec: str,
    arguments: Mapping[str, Any],
    store: Mapping[str, Any],
    name: str | None = None,
    secrets: Collection[str] | None = None,
    job: str | None = None,
) -> tuple[Item, FlowDetail, LogBook]:
    """Make a flow by its factory, check it, and store it with all that it takes to run it elsewhere.

    Args:
        backend: where to store it.
        spec: "MODULE:FACTORY".
        arguments: as for `start`, as are all that follow.
        store: values that the flow's atoms ask for.
        name: what to call the stored flow, if not by its own name.
        secrets: names of values that are not to be seen.
        job: the job that the flow is to be posted with.

    Returns:
        The flow, its detail, and the book that the detail is in.

    Raises:
        StacklFlowError: as for `start`; nothing was stored.
    """
    flow = make_flow(import_factory(spec), arguments, spec)
    # Looked at before anything is stored, so that a mistake leaves no half-made flow behind.
    _check(flow, store, secrets)
    title = name or str(flow.name)
    notes = {
        **factory_metadata(spec.replace(":", "."), None, arguments),
        **secret_metadata(flow, secrets, store, arguments),
    }
    book = LogBook(title)
    if job is not None:
        book.meta[JOB_KEY] = job
    return flow, new_flow_detail(flow, notes, store, book, backend, name=title), book


def _check(flow: Item, store: Mapping[str, Any], secrets: Collection[str] | None = None) -> None:
    """Go through all that can be wrong with a flow, without any storage."""
    trial = engines.load(flow, store=dict(store), secrets=secrets)
    trial.compile()
    trial.prepare()
    trial.validate()


def reload(backend: Backend, flow_uuid: str, **options: Any) -> Engine:
    """Make an engine for a stored flow, to go on with it; nothing runs yet.

    Args:
        backend: where it is stored.
        flow_uuid: its whole uuid.
        options: as for `engines.load`, such as engine= and max_workers=.

    Returns:
        The engine.

    Raises:
        NotFound: there is no such flow.
        FactoryNotFound: its factory cannot be imported or called, or it was stored without one.
        CompilationFailure: the flow is wrong in itself.
        DependencyFailure: a new atom needs something that nobody gives; nothing was stored of it.
        StorageFailure: the flow cannot be read.
    """
    with backend.get_connection() as connection:
        detail = connection.get_flow_details(flow_uuid)
    with redaction.redacting(secret_values(detail.meta, detail)):
        flow = make_again(detail)
        engine = engines.load(flow, flow_detail=detail, backend=backend, **options)
        engine.compile()
        if engine.compilation is not None and set(engine.compilation.names) - {atom.name for atom in detail}:
            # Atoms are new to it: what they lack is said before any of them is stored.
            _check(flow, detail.meta.get(META_INJECTED, {}))
        return engine


def unfinished(backend: Backend, *, stuck: bool = False) -> list[FlowSummary]:
    """List the flows that were left before their end, the oldest first.

    Args:
        backend: where they are stored.
        stuck: flows in REVERT_FAILURE too.

    Returns:
        The flows.
    """
    wanted = {*UNFINISHED, *([states.REVERT_FAILURE] if stuck else [])}
    return [flow for flow in reversed(flows(backend)) if flow.state in wanted]


def carry_out(engine: Engine) -> Outcome:
    """Run an engine until its flow comes to rest.

    Args:
        engine: the engine.

    Returns:
        How the flow ended, also when it failed.

    Raises:
        OwnershipLost: another process has taken the flow over.
        ExecutionFailure: a task called `sys.exit`.
        StacklFlowError: the engine could not bring the flow to an end.
    """
    error: Exception | None = None
    try:
        engine.run()
    except exc.OwnershipLost:
        raise
    except SystemExit as ended:
        raise exc.ExecutionFailure(
            f"a task ended the program in the middle of the flow, with sys.exit({ended.code!r}):"
            f" let it raise an error of its own, so that the flow is undone"
        ) from ended
    except Exception as raised:
        # What a task raised comes out here once the flow has ended; all else is the engine's own trouble.
        if engine.storage.get_flow_state() not in _FAILED:
            raise
        error = raised
    return Outcome(engine.storage.flow_uuid, str(engine.storage.get_flow_state()), error)
