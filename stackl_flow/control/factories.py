"""Flows by the name of their factory, as in "shop.flows:make_order", and what can be wrong with that name."""

import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from stackl_flow import exceptions as exc
from stackl_flow.atom import Atom
from stackl_flow.engines import factories
from stackl_flow.patterns.base import Flow
from stackl_flow.persistence.models import FlowDetail

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
        like = f"{first}:{last}" if dot and last != "py" and os.sep not in spec else "shop.flows:make_order"
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
    except exc.TaskFlowException:
        # A flow that is wrong in itself (a cycle, a name twice) says so best.
        raise
    except Exception as error:
        raise exc.FactoryNotFound(
            f"factory '{spec}' raised {type(error).__name__}: {error}", cause=error
        ) from error
    try:
        return factories.made_flow(made, spec)
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
