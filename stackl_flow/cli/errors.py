"""Errors become one message and an exit code; a traceback is shown only to those who ask.

Exit codes: what a script learns from how a command ends.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from enum import IntEnum

import typer

from stackl_flow import exceptions as exc
from stackl_flow import redaction, states
from stackl_flow.cli.output import Output, standard_output_kept


class Exit(IntEnum):
    """Every code that a command ends with; `ABOUT` says them in words."""

    OK = 0
    FAILED = 1
    USAGE = 2
    STUCK = 3
    SUSPENDED = 4
    STORAGE = 5
    OWNERSHIP = 6
    NOT_FOUND = 7
    BAD_FLOW = 8
    INTERNAL = 70
    ABORTED = 130


ABOUT = {
    Exit.OK: "success; for a flow: SUCCESS",
    Exit.FAILED: "the flow failed: REVERTED (rolled back) or FAILURE",
    Exit.USAGE: "invalid usage: unknown option, invalid value, or unusable factory",
    Exit.STUCK: "a revert failed and the flow is stuck in REVERT_FAILURE: fix the cause, then resume",
    Exit.SUSPENDED: "the flow is SUSPENDED or otherwise unfinished: continue it with resume",
    Exit.STORAGE: "the database or board cannot be used: missing, locked, read-only, full, corrupt, too new",
    Exit.OWNERSHIP: "another process owns the flow or the job",
    Exit.NOT_FOUND: "no stored flow or job matches the identifier, or several do",
    Exit.BAD_FLOW: "the flow is invalid: missing input, cycle, duplicate name, or changed since stored",
    Exit.INTERNAL: "internal error; use --debug for a traceback",
    Exit.ABORTED: "aborted by a second Ctrl-C; a stored flow can be resumed",
}

_BY_STATE = {
    states.SUCCESS: Exit.OK,
    states.REVERTED: Exit.FAILED,
    states.FAILURE: Exit.FAILED,
    states.REVERT_FAILURE: Exit.STUCK,
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


#: Whether --debug was given.
DEBUG: ContextVar[bool] = ContextVar("DEBUG", default=False)


@contextmanager
def answering(*, as_json: bool, secrets: Iterable[str] = ()) -> Iterator[Output]:
    """Give a command its voice, and turn errors into messages.

    Args:
        as_json: answers and errors are JSON.
        secrets: values that the command was given and is not to show.

    Yields:
        The voice.

    Raises:
        Exit: the command ends, with the code of the error.
    """
    with ExitStack() as stack:
        stack.enter_context(redaction.redacting(secrets))
        answers = stack.enter_context(standard_output_kept()) if as_json else sys.stdout
        yield from _guarded(Output(as_json=as_json, answers=answers))


def _guarded(out: Output) -> Iterator[Output]:
    try:
        yield out
    except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
        # These speak to the command line itself, which knows what to do.
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, it becomes a message and a code
        code = for_error(error)
        if DEBUG.get():
            out.say(redaction.format_traceback((type(error), error, error.__traceback__)).rstrip())
        out.refuse(type(error).__name__, message(error, code), code)
        raise typer.Exit(code) from None


def message(error: BaseException, code: Exit) -> str:
    """Write an error for people.

    Args:
        error: what was raised.
        code: the exit code it leads to.

    Returns:
        The message; below it, indented, those of our own errors that led to it.
    """
    if not isinstance(error, exc.StacklFlowError):
        hint = " (--debug shows where)" if code is Exit.INTERNAL else ""
        return f"{type(error).__name__}: {error}{hint}"
    lines = [str(error.args[0] if error.args else type(error).__name__)]
    cause = error.cause
    while isinstance(cause, exc.StacklFlowError):
        lines.append("  " * len(lines) + str(cause.args[0] if cause.args else type(cause).__name__))
        cause = cause.cause
    return "\n".join([*lines, *getattr(error, "__notes__", ())])
