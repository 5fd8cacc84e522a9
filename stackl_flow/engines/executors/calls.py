"""Calls: one execution or reversion of one atom, and the reports on it.

The engine creates a call, an executor performs it anywhere and returns a completion. ``perform`` is the
last frame before user code.
"""

from __future__ import annotations

from types import CoroutineType
from typing import Any, Final, NamedTuple, cast

from stackl_flow import exceptions as exc
from stackl_flow.atom import Atom
from stackl_flow.failure import Failure
from stackl_flow.task import ProgressCallback, Task

EXECUTE: Final = "execute"
REVERT: Final = "revert"


class Call(NamedTuple):
    """A method of an atom (``action``) to be called with arguments; ``number`` identifies the atom."""

    number: int
    atom: Atom
    action: str
    arguments: dict[str, Any]
    progress: ProgressCallback | None = None


class Completion(NamedTuple):
    """The result of a call, which is a ``Failure`` if it raised."""

    number: int
    action: str
    result: Any


class Progress(NamedTuple):
    """Progress of a running call, from 0.0 to 1.0, with details."""

    number: int
    progress: float
    details: dict[str, Any]


class Cancelled(NamedTuple):
    """A call was recalled before it started."""

    number: int


class WakeUp(NamedTuple):
    """Ends a ``wait``, for example because suspension was requested."""


Report = Completion | Progress | Cancelled | WakeUp


def perform(call: Call) -> Completion:
    """Perform a call; an exception of the atom is its result, too."""
    number, atom, action, arguments, progress = call
    if progress is not None:
        cast("Task", atom).progress_callback = progress  # only tasks have one
    try:
        result = _call_method(atom, action, arguments)
    except Exception:  # noqa: BLE001  any exception of user code is a result
        result = Failure()
    finally:
        if progress is not None:
            cast("Task", atom).progress_callback = None
    return Completion(number, action, result)


def _call_method(atom: Atom, action: str, arguments: dict[str, Any]) -> Any:
    before, method, after = (
        (atom.pre_execute, atom.execute, atom.post_execute)
        if action == EXECUTE
        else (atom.pre_revert, atom.revert, atom.post_revert)
    )
    try:
        before()
        result = method(**arguments)
        if type(result) is CoroutineType:
            # It would never run, and its atom would seem to have succeeded.
            result.close()
            raise exc.NotSupported(
                f"'{action}' of atom '{atom.name}' is async, which engines do not support yet: make it a"
                f" plain method that calls asyncio.run(...)"
            )
        return result
    finally:
        after()
