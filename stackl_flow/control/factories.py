"""Flows by the name of their factory, as in "shop.flows:make_order", and what can be wrong with that name."""

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from stackl_flow import exceptions as exc
from stackl_flow.atom import Atom
from stackl_flow.engines import factories
from stackl_flow.engines.factories import an
from stackl_flow.patterns.base import Flow

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
        raise exc.FactoryNotFound(
            f"'{spec}' is no factory: write MODULE:FACTORY, such as shop.flows:make_order"
        )
    here = use_working_directory()
    try:
        return factories.import_factory(spec)
    except exc.FactoryNotFound as error:
        hint = _hint(spec, error, here)
        raise exc.FactoryNotFound(f"{error.args[0]}{hint}", cause=error.cause) from error


def make_flow(factory: Factory, arguments: Mapping[str, Any], spec: str) -> Flow | Atom:
    """Call a factory.

    Args:
        factory: what makes the flow.
        arguments: keyword arguments for it.
        spec: how to call it in messages.

    Returns:
        The flow, or the single task that was made.

    Raises:
        FactoryNotFound: the arguments do not fit, the factory raised, or it made something else than a flow.
    """
    try:
        inspect.signature(factory).bind(**arguments)
    except TypeError as error:
        raise exc.FactoryNotFound(
            f"factory '{spec}' cannot be called with these arguments ({error}): "
            f"it takes {inspect.signature(factory)}, give them with --arg NAME=VALUE"
        ) from error
    try:
        made = factory(**arguments)
    except exc.TaskFlowException:
        # A flow that is wrong in itself (a cycle, a name twice) says so best.
        raise
    except Exception as error:
        raise exc.FactoryNotFound(
            f"factory '{spec}' raised {type(error).__name__}: {error}", cause=error
        ) from error
    if not isinstance(made, Flow | Atom):
        raise exc.FactoryNotFound(
            f"factory '{spec}' returned {an(made)}, not a flow: let it return the flow it makes"
        )
    return made


def use_working_directory() -> str:
    """Let modules in the current directory be imported, before all others.

    Returns:
        The directory.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return here


def _hint(spec: str, error: exc.FactoryNotFound, here: str) -> str:
    """Tell what a person at a shell can do about a factory that cannot be imported."""
    if error.cause is not None or error.name is None:
        return ""
    module = sys.modules.get(error.name)
    if module is not None:
        own = _functions(module)
        return f"; its functions are {', '.join(own)}" if own else ""
    name, _, factory = spec.partition(":")
    if name.endswith(".py") or os.sep in name:
        named = ".".join(Path(name.removesuffix(".py")).parts).strip(".")
        return f"; name the module, not its file, such as {named}:{factory}"
    return f"; looked in {here} first: check the name and where you are"


def _functions(module: ModuleType) -> list[str]:
    """List the functions that a module defines itself; only these can be meant."""
    return sorted(
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    )
