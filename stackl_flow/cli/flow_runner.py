"""Runs one flow for a command: shows it, handles process signals, and reports the result."""

import shlex
from typing import Any

from stackl_flow import error_text, redaction, states
from stackl_flow import exceptions as exc
from stackl_flow.cli.errors import DEBUG, Exit, exit_code_of_state
from stackl_flow.cli.flow_display import show_flow
from stackl_flow.cli.output import Output, flow_result
from stackl_flow.cli.signals import stop_on_signal
from stackl_flow.control.flows import get_flow
from stackl_flow.control.runs import RunResult, run_engine
from stackl_flow.engines.base import Engine
from stackl_flow.persistence.base import Backend

_RESUME_HINTS = {
    states.SUSPENDED: "the flow is suspended; resume it with:",
    states.REVERT_FAILURE: "a revert failed and the flow is stuck; fix the cause, then resume it with:",
}


def run_with_display(engine: Engine, out: Output, db: str | None) -> RunResult:
    """Run an engine until its flow finishes, fails or is suspended.

    Args:
        engine: the engine.
        out: the output of the command.
        db: URL of the database, None if the flow is in memory.
    """
    engine.compile()
    engine.prepare()
    uuid = engine.storage.flow_uuid
    aborted = f"aborted; resume the flow with: {resume_command(uuid, db)}" if db else "aborted"
    try:
        with show_flow(engine, out), stop_on_signal(engine.suspend, out.message, aborted):
            result = run_engine(engine)
    except Exception as error:
        if db and not error_text.is_a(error, exc.OwnershipLost):
            out.message(f"run interrupted; fix the cause, then resume with: {resume_command(uuid, db)}")
        raise
    if result.error is not None and DEBUG.get():
        exc_info = (type(result.error), result.error, error_text.traceback_of(result.error))
        out.message(redaction.format_traceback(exc_info).rstrip())
    return result


def report_result(
    backend: Backend, result: RunResult, out: Output, db: str | None, *, results: bool
) -> tuple[Exit, dict[str, Any]]:
    """Print a flow after its run.

    Args:
        backend: where the flow is stored.
        result: how the run ended.
        out: the output of the command.
        db: URL of the database, None if the flow was in memory.
        results: include the results of the atoms.

    Returns:
        The exit code, and the result for --json, which is left to the caller.
    """
    code = exit_code_of_state(result.state)
    resume = resume_command(result.uuid, db) if db and result.state in _RESUME_HINTS else None
    renderable, data = flow_result(get_flow(backend, result.uuid), results=results)
    if not out.as_json:
        out.console.print(renderable)
    if resume is not None:
        out.message(f"{_RESUME_HINTS[result.state]} {resume}")
    return code, data | {"resume": resume, "exit_code": int(code)}


def resume_command(uuid: str, db: str) -> str:
    """Return the command that resumes a flow, quoted for a shell."""
    return f"stackl-flow resume {uuid} --db {shlex.quote(db)}"
