"""A decorator that turns a plain function into a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackl_flow.atom import Provides, Rebind, Requires
from stackl_flow.task import FunctorTask


def task(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    provides: Provides = None,
    requires: Requires = None,
    rebind: Rebind = None,
    revert: Callable[..., Any] | None = None,
) -> Any:
    """Turn a function into a `FunctorTask`, with or without arguments; from TaskFlow of 2013.

    Args:
        function: called by ``execute``.
        name: name of the task; defaults to the name of the function.
        provides: names of the result.
        requires: inputs besides those in the signature.
        rebind: names to look up instead of the argument names.
        revert: called by ``revert``.

    Returns:
        The task, or a decorator that creates it.
    """

    def decorate(target: Callable[..., Any]) -> FunctorTask:
        return FunctorTask(target, name or target.__name__, provides, requires, rebind=rebind, revert=revert)

    return decorate if function is None else decorate(function)
