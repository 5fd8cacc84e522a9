"""Flows by the name of their factory, as in "shop.flows:make_order", and what can be wrong with that name."""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stackl_flow import exceptions as exc
from stackl_flow.atom import Atom
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
    module_name, colon, path = spec.partition(":")
    if not colon or not module_name or not path:
        raise exc.FactoryNotFound(
            f"'{spec}' is no factory: write MODULE:FACTORY, such as shop.flows:make_order"
        )
    found: Any = _import_module(module_name)
    for part in path.split("."):
        if not hasattr(found, part):
            raise exc.FactoryNotFound(f"module '{module_name}' has no '{path}'{_candidates(found)}")
        found = getattr(found, part)
    if not callable(found):
        raise exc.FactoryNotFound(
            f"'{spec}' is {_a(found)} and cannot be called: name a function that makes and returns a flow"
        )
    return found  # type: ignore[no-any-return]  # what it returns is checked when it is called


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
            f"factory '{spec}' returned {_a(made)}, not a flow: let it return the flow it makes"
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


def _import_module(name: str) -> Any:
    here = use_working_directory()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise exc.FactoryNotFound(
                f"there is no module '{missing}' in {here} or on the Python path: "
                f"check the name and where you are"
            ) from error
        raise exc.FactoryNotFound(
            f"module '{name}' imports '{missing}', which is not installed here", cause=error
        ) from error
    except Exception as error:
        raise exc.FactoryNotFound(
            f"module '{name}' cannot be imported, it raised {type(error).__name__}: {error}", cause=error
        ) from error


def _candidates(module: Any) -> str:
    own = [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    ]
    return f": its functions are {', '.join(sorted(own))}" if own else ""


def _a(value: object) -> str:
    kind = type(value).__name__
    return "None" if value is None else f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
