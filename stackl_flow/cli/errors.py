"""Errors of commands: each becomes one message and an exit code; --debug adds a traceback."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from enum import IntEnum

import typer

from stackl_flow import error_text, redaction, states
from stackl_flow import exceptions as exc
from stackl_flow.cli.output import Output, reserve_stdout


class Exit(IntEnum):
    """The exit codes of all commands; `EXIT_CODES` describes them."""

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


EXIT_CODES = {
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

#: The first class that matches decides, so specific classes come before general ones.
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
    (exc.ValueTooLarge, Exit.BAD_FLOW),
    (exc.InvalidFormat, Exit.STORAGE),
)

#: Whether --debug was given.
DEBUG: ContextVar[bool] = ContextVar("DEBUG", default=False)


def exit_code_of_state(state: str) -> Exit:
    """Return the exit code for a flow that a run left in this state."""
    return _BY_STATE.get(state, Exit.SUSPENDED)


def exit_code_of_error(error: BaseException) -> Exit:
    """Return the exit code for an error; INTERNAL for errors that this library does not define."""
    return next((code for kind, code in _BY_ERROR if error_text.is_a(error, kind)), Exit.INTERNAL)


def exit_codes_help() -> str:
    """Return the table of exit codes for the help text, in rich markup."""
    lines = [f"[bold]{code:>3}[/bold]  {meaning}" for code, meaning in EXIT_CODES.items()]
    return "[bold]Exit codes[/bold]\n\n" + "\n\n".join(lines)


@contextmanager
def command_output(*, as_json: bool, secrets: Iterable[str] = ()) -> Iterator[Output]:
    """Provide the output of a command, and turn errors into messages and exit codes.

    Args:
        as_json: write results and errors as JSON.
        secrets: values that are redacted in everything that the command writes.

    Raises:
        typer.Exit: the command failed.
    """
    with ExitStack() as stack:
        stack.enter_context(redaction.redacting(secrets))
        results = stack.enter_context(reserve_stdout()) if as_json else sys.stdout
        yield from _handle_errors(Output(as_json=as_json, results=results))


def _handle_errors(out: Output) -> Iterator[Output]:
    try:
        yield out
    except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
        raise  # typer handles these itself
    except Exception as error:  # noqa: BLE001  every error becomes a message and an exit code
        code = exit_code_of_error(error)
        if DEBUG.get():
            exc_info = (type(error), error, error_text.traceback_of(error))
            out.message(redaction.format_traceback(exc_info).rstrip())
        out.error(error_text.short_name(type(error)), error_message(error, code), code)
        raise typer.Exit(code) from None


def error_message(error: BaseException, code: Exit) -> str:
    """Return the message of an error, and indented below it the messages of our errors that caused it."""
    if not error_text.is_a(error, exc.StacklFlowError):
        hint = " (use --debug for a traceback)" if code is Exit.INTERNAL else ""
        return f"{error_text.describe(error)}{hint}"
    lines = [str(error.args[0] if error.args else type(error).__name__)]
    cause = error.cause
    while error_text.is_a(cause, exc.StacklFlowError):
        lines.append("  " * len(lines) + str(cause.args[0] if cause.args else type(cause).__name__))
        cause = cause.cause
    return "\n".join([*lines, *map(error_text.text_of, getattr(error, "__notes__", ()))])
