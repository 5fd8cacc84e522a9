"""Errors become one message and an exit code; a traceback is shown only to those who ask."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

import typer

from stackl_flow import exceptions as exc
from stackl_flow import secrecy
from stackl_flow.cli.answers_only import standard_output_kept
from stackl_flow.cli.exits import Exit, for_error
from stackl_flow.cli.output import Output

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
        stack.enter_context(secrecy.keeping(secrets))
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
            out.say(secrecy.traceback_of((type(error), error, error.__traceback__)).rstrip())
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
    if not isinstance(error, exc.TaskFlowException):
        hint = " (--debug shows where)" if code is Exit.INTERNAL else ""
        return f"{type(error).__name__}: {error}{hint}"
    lines = [str(error.args[0] if error.args else type(error).__name__)]
    cause = error.cause
    while isinstance(cause, exc.TaskFlowException):
        lines.append("  " * len(lines) + str(cause.args[0] if cause.args else type(cause).__name__))
        cause = cause.cause
    return "\n".join([*lines, *getattr(error, "__notes__", ())])
