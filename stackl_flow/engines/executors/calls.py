"""A call: one execution or reversion of one atom, ready to be performed anywhere.

It is plain data: the engine makes it, an executor carries it to where it is performed, and what
comes back is a completion. This is the last stop before the user's own function.
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
    """What is to be performed."""

    number: int
    atom: Atom
    action: str
    arguments: dict[str, Any]
    progress: ProgressCallback | None = None


class Completion(NamedTuple):
    """What came of a call: ``result`` is a ``Failure`` if it raised."""

    number: int
    action: str
    result: Any


class Progress(NamedTuple):
    """How far a running call has come."""

    number: int
    progress: float
    details: dict[str, Any]


class Cancelled(NamedTuple):
    """A call that an executor never began."""

    number: int


class Wake(NamedTuple):
    """Somebody wants the engine to look up, for example to suspend."""


Report = Completion | Progress | Cancelled | Wake


def perform(call: Call) -> Completion:
    """Perform a call and say what came of it; an error of the atom is a result, too.

    Args:
        call: what is to be performed.

    Returns:
        The completion.
    """
    number, atom, action, arguments, progress = call
    if progress is not None:
        cast("Task", atom).progress_callback = progress  # only tasks are given one
    try:
        result = _guarded(atom, action, arguments)
    except Exception:  # noqa: BLE001  whatever a user's atom raises is its result
        result = Failure()
    finally:
        if progress is not None:
            cast("Task", atom).progress_callback = None
    return Completion(number, action, result)


def _guarded(atom: Atom, action: str, arguments: dict[str, Any]) -> Any:
    before, work, after = (
        (atom.pre_execute, atom.execute, atom.post_execute)
        if action == EXECUTE
        else (atom.pre_revert, atom.revert, atom.post_revert)
    )
    try:
        before()
        result = work(**arguments)
        if type(result) is CoroutineType:
            # It would never run, and its atom would seem to have succeeded.
            result.close()
            raise exc.NotSupported(
                f"'{action}' of atom '{atom.name}' is async, which no engine awaits yet: make it a plain"
                f" method, with asyncio.run(...) in it"
            )
        return result
    finally:
        after()
