"""`stackl-flow resume`: continues unfinished flows."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from stackl_flow import exceptions as exc
from stackl_flow import states
from stackl_flow.cli.errors import (
    Exit,
    command_output,
    error_message,
    exit_code_of_error,
    exit_code_of_state,
)
from stackl_flow.cli.flow_runner import report_result, run_with_display
from stackl_flow.cli.options import (
    Db,
    EngineKind,
    EngineOption,
    Factories,
    Json,
    MaxWorkers,
    OptionalFlowArgument,
    Results,
    allowed_factories,
    engine_options,
    require_db,
)
from stackl_flow.cli.output import Output
from stackl_flow.control import flows, opening, runs
from stackl_flow.control.views import FlowSummary
from stackl_flow.persistence.base import Backend

All = Annotated[bool, typer.Option("--all", help="Resume all unfinished flows, oldest first.")]
Stuck = Annotated[bool, typer.Option("--stuck", help="With --all: include flows stuck in REVERT_FAILURE.")]
Force = Annotated[
    bool, typer.Option("--force", help="Take over a flow even if a live process of this machine owns it.")
]
Result = tuple[Exit, dict[str, Any]]


def resume(
    identifier: OptionalFlowArgument = None,
    resume_all: All = False,
    stuck: Stuck = False,
    force: Force = False,
    db: Db = None,
    engine: EngineOption = EngineKind.serial,
    max_workers: MaxWorkers = None,
    results: Results = False,
    factories: Factories = None,
    as_json: Json = False,
) -> None:
    """Resume a stored flow from its last checkpoint, forwards or in the middle of its rollback.

    Finished tasks do not run again; a task that was running when its process died does. A flow that a live
    process of this machine owns is left alone, unless --force is given.

    [bold]Examples[/bold]

      stackl-flow resume 3f2a --db flows.db

      stackl-flow resume --all --db flows.db
    """
    url = require_db(db)
    if (identifier is None) is not resume_all:
        raise typer.BadParameter("pass one flow, or --all", param_hint="FLOW")
    options = {
        **engine_options(engine, max_workers),
        "factories_allowed": allowed_factories(factories),
    }
    with command_output(as_json=as_json) as out, opening.open_for_resuming(url) as backend:
        resume_flow = partial(_resume_flow, backend, out, url, options, force=force, results=results)
        if identifier is not None:
            code, data = resume_flow(flows.find_flow(backend, identifier))
            out.json_result(data)
        else:
            found = runs.unfinished_flows(backend, include_stuck=stuck)
            code = _resume_all(found, resume_flow, out)
            skipped = 0 if stuck else len(flows.list_flows(backend, states.REVERT_FAILURE))
            if not found or skipped:
                out.message(_remaining_message(len(found), skipped))
        raise typer.Exit(code)


def _resume_flow(
    backend: Backend,
    out: Output,
    db: str,
    options: dict[str, Any],
    flow: FlowSummary,
    *,
    force: bool,
    results: bool,
) -> Result:
    """Resume one flow; a finished flow is only shown."""
    if flow.state in {states.SUCCESS, states.REVERTED}:
        out.message(f"flow {flow.name} ({flow.uuid}) is already finished: {flow.state}")
        return report_result(backend, runs.RunResult(flow.uuid, flow.state), out, db, results=results)
    if not force:
        flows.check_not_running(flow)
    result = run_with_display(runs.load_engine(backend, flow.uuid, **options), out, db)
    return report_result(backend, result, out, db, results=results)


def _resume_all(found: list[FlowSummary], resume_flow: Callable[[FlowSummary], Result], out: Output) -> Exit:
    """Resume flows one after the other; an error of one flow does not affect the others."""
    worst, results = Exit.OK, []
    for flow in found:
        try:
            code, data = resume_flow(flow)
        except exc.StacklFlowError as error:
            code = exit_code_of_error(error)
            message = error_message(error, code)
            data = {"flow": {"uuid": flow.uuid, "name": flow.name}, "exit_code": int(code)}
            data["error"] = {"type": type(error).__name__, "message": message}
            out.message(f"flow {flow.name} ({flow.uuid}): {message}")
        worst = max(worst, code)
        results.append(data)
        if code is exit_code_of_state(states.SUSPENDED):
            break  # after Ctrl-C the next flow must not start
    out.json_result(results)
    return worst


def _remaining_message(found: int, skipped: int) -> str:
    parts = [] if found else ["nothing to resume"]
    parts += [f"{skipped} stuck in REVERT_FAILURE: use --stuck to resume them, too"] if skipped else []
    return "; ".join(parts)
