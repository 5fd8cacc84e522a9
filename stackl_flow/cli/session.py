"""One run of a flow from the command line: watched, interruptible, and summed up at the end."""

import shlex
from typing import Any

from stackl_flow import exceptions as exc
from stackl_flow import redaction, states
from stackl_flow.cli.boards import watching
from stackl_flow.cli.errors import DEBUG, Exit, for_state
from stackl_flow.cli.output import Output, flow_answer
from stackl_flow.cli.signals import interruptible
from stackl_flow.control.flows import show
from stackl_flow.control.runs import Outcome, carry_out
from stackl_flow.engines.base import Engine
from stackl_flow.persistence.base import Backend

_HINTS = {
    states.SUSPENDED: "the flow is suspended, go on with it:",
    states.REVERT_FAILURE: "a revert failed and the flow is stuck, repair the cause and go on:",
}


def drive(engine: Engine, out: Output, db: str | None) -> Outcome:
    """Run an engine to the end of its flow, showing its moves.

    Args:
        engine: the engine.
        out: the voice of the command.
        db: where the flow is stored, None when it is only kept in memory.

    Returns:
        How it ended.
    """
    engine.compile()
    engine.prepare()
    last = f"aborted; go on with it: {resume_line(engine.storage.flow_uuid, db)}" if db else "aborted"
    try:
        with watching(engine, out) as watcher, interruptible(engine.suspend, watcher.tell, last):
            outcome = carry_out(engine)
    except Exception as error:
        if db and not isinstance(error, exc.OwnershipLost):
            line = resume_line(engine.storage.flow_uuid, db)
            out.say(f"the run broke off; once the cause is gone, go on with it: {line}")
        raise
    if outcome.error is not None and DEBUG.get():
        shown = (type(outcome.error), outcome.error, outcome.error.__traceback__)
        out.say(redaction.format_traceback(shown).rstrip())
    return outcome


def sum_up(
    backend: Backend, outcome: Outcome, out: Output, db: str | None, *, results: bool
) -> tuple[Exit, dict[str, Any]]:
    """Show how a flow stands after its run; machines are answered by the caller.

    Args:
        backend: where the flow is stored.
        outcome: how it ended.
        out: the voice of the command.
        db: the address of the storage, None when the flow was only kept in memory.
        results: show the values that it has made, too.

    Returns:
        The exit code, and the answer for machines.
    """
    code = for_state(outcome.state)
    again = resume_line(outcome.uuid, db) if db and outcome.state in _HINTS else None
    shown, data = flow_answer(show(backend, outcome.uuid), results=results)
    if not out.as_json:
        out.console.print(shown)
    if again is not None:
        out.say(f"{_HINTS[outcome.state]} {again}")
    return code, data | {"resume": again, "exit_code": int(code)}


def resume_line(uuid: str, db: str) -> str:
    """Write the command that goes on with a flow.

    Args:
        uuid: the flow.
        db: where it is stored.

    Returns:
        The command, fit for a shell.
    """
    return f"stackl-flow resume {uuid} --db {shlex.quote(db)}"
