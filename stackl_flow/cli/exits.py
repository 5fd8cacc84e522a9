"""Exit codes: what a script learns from how a command ends."""

from enum import IntEnum

from stackl_flow import exceptions as exc
from stackl_flow import states


class Exit(IntEnum):
    """Every code that a command ends with; `ABOUT` says them in words."""

    OK = 0
    FAILED = 1
    USAGE = 2
    PARKED = 3
    SUSPENDED = 4
    STORAGE = 5
    OWNERSHIP = 6
    NOT_FOUND = 7
    BAD_FLOW = 8
    INTERNAL = 70
    ABORTED = 130


ABOUT = {
    Exit.OK: "success; for a flow: SUCCESS",
    Exit.FAILED: "the flow failed: REVERTED (all is undone) or FAILURE",
    Exit.USAGE: "wrong usage: an unknown option, a bad value, a factory that cannot be used",
    Exit.PARKED: "a revert failed and the flow is parked in REVERT_FAILURE: repair, then resume",
    Exit.SUSPENDED: "the flow is SUSPENDED, or otherwise not at its end: resume goes on with it",
    Exit.STORAGE: "the database or board cannot be used: missing, locked, read-only, full, corrupt, too new",
    Exit.OWNERSHIP: "another process has taken the flow or the job over, or is at work on it",
    Exit.NOT_FOUND: "no stored flow or job fits the uuid, or several do",
    Exit.BAD_FLOW: "the flow is wrong: a missing input, a cycle, a name twice, changed since it was stored",
    Exit.INTERNAL: "an error that nobody expected; --debug shows where",
    Exit.ABORTED: "aborted by a second Ctrl-C; a stored flow can be resumed",
}

_BY_STATE = {
    states.SUCCESS: Exit.OK,
    states.REVERTED: Exit.FAILED,
    states.FAILURE: Exit.FAILED,
    states.REVERT_FAILURE: Exit.PARKED,
}

#: The first class that fits decides, so the special ones come before the general ones.
_BY_ERROR: tuple[tuple[type[BaseException], Exit], ...] = (
    (exc.OwnershipLost, Exit.OWNERSHIP),
    (exc.JobFailure, Exit.OWNERSHIP),
    (exc.StorageFailure, Exit.STORAGE),
    (exc.IncompatibleVersion, Exit.STORAGE),
    (exc.FactoryNotFound, Exit.USAGE),
    (exc.NotFound, Exit.NOT_FOUND),
    (exc.MultipleChoices, Exit.NOT_FOUND),
    (exc.CompilationFailure, Exit.BAD_FLOW),
    (exc.DependencyFailure, Exit.BAD_FLOW),
    (exc.Duplicate, Exit.BAD_FLOW),
    (exc.NotSerializable, Exit.BAD_FLOW),
    (exc.InvalidFormat, Exit.STORAGE),
)


def for_state(state: str) -> Exit:
    """Give the code for the state in which a flow was left.

    Args:
        state: the flow's state.

    Returns:
        The code.
    """
    return _BY_STATE.get(state, Exit.SUSPENDED)


def for_error(error: BaseException) -> Exit:
    """Give the code for an error.

    Args:
        error: what was raised.

    Returns:
        The code; INTERNAL for an error that is not of our tree.
    """
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), Exit.INTERNAL)


def epilog() -> str:
    """Write all codes for the end of the help.

    Returns:
        One paragraph a code, in rich markup.
    """
    lines = [f"[bold]{code:>3}[/bold]  {words}" for code, words in ABOUT.items()]
    return "[bold]Exit codes[/bold]\n\n" + "\n\n".join(lines)
