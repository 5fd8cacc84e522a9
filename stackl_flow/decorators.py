"""Tasks made from plain functions by decoration."""

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
    """Make a task of a function; the idea is TaskFlow's of 2013.

    Args:
        function: what the task executes.
        name: the function's own name if left out.
        provides: names given to the result.
        requires: names handed over besides those in the signature.
        rebind: names to look up instead of the argument names.
        revert: undoes the work.

    Returns:
        The task, or a decorator that makes one.
    """

    def make(target: Callable[..., Any]) -> FunctorTask:
        return FunctorTask(target, name or target.__name__, provides, requires, rebind=rebind, revert=revert)

    return make if function is None else make(function)
