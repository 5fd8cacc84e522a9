"""`stackl-flow resume`: go on with flows that were left."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from stackl_flow import exceptions as exc
from stackl_flow import states
from stackl_flow.cli.errors import Exit, answering, for_error, for_state, message
from stackl_flow.cli.options import (
    Db,
    EngineKind,
    EngineOption,
    Json,
    Results,
    Workers,
    engine_options,
    needed,
)
from stackl_flow.cli.output import Output
from stackl_flow.cli.session import drive, sum_up
from stackl_flow.control import flows, opening, runs
from stackl_flow.control.flows import check_free
from stackl_flow.control.views import FlowSummary
from stackl_flow.persistence.base import Backend

Wanted = Annotated[
    str | None, typer.Argument(metavar="UUID", help="The flow: its uuid, the beginning of it, or its name.")
]
All = Annotated[
    bool, typer.Option("--all", help="Every flow that was left before its end, the oldest first.")
]
Stuck = Annotated[bool, typer.Option("--stuck", help="With --all: flows stuck in REVERT_FAILURE, too.")]
Force = Annotated[
    bool, typer.Option("--force", help="Take a flow over even from a process of this machine that is alive.")
]
Answer = tuple[Exit, dict[str, Any]]


def resume(
    wanted: Wanted = None,
    everything: All = False,
    stuck: Stuck = False,
    force: Force = False,
    db: Db = None,
    engine: EngineOption = EngineKind.serial,
    max_workers: Workers = None,
    results: Results = False,
    as_json: Json = False,
) -> None:
    """Go on with a stored flow where it was left: forwards, or in the middle of its rollback.

    What was finished is not done again; an atom that was at work when its process died runs again. A flow
    whose process is alive on this machine is left alone, unless --force takes it over.

    [bold]Examples[/bold]

      stackl-flow resume 3f2a --db flows.db

      stackl-flow resume --all --db flows.db
    """
    place = needed(db)
    if (wanted is None) is not everything:
        raise typer.BadParameter("name one flow, or give --all", param_hint="UUID")
    options = engine_options(engine, max_workers)
    with answering(as_json=as_json) as out, opening.for_resuming(place) as backend:
        one = partial(_one, backend, out, place, options, force=force, results=results)
        if wanted is not None:
            code, data = one(flows.find(backend, wanted))
            out.machine(data)
        else:
            found = runs.unfinished(backend, stuck=stuck)
            code = _all(found, one, out)
            left = 0 if stuck else len(flows.flows(backend, states.REVERT_FAILURE))
            if not found or left:
                out.say(_rest(len(found), left))
        raise typer.Exit(code)


def _one(
    backend: Backend,
    out: Output,
    db: str,
    options: dict[str, Any],
    flow: FlowSummary,
    *,
    force: bool,
    results: bool,
) -> Answer:
    """Go on with one flow; one that is at its end is only shown."""
    if flow.state in {states.SUCCESS, states.REVERTED}:
        out.say(f"flow {flow.name} ({flow.uuid}) has ended already: {flow.state}")
        return sum_up(backend, runs.Outcome(flow.uuid, flow.state), out, db, results=results)
    if not force:
        check_free(flow)
    outcome = drive(runs.reload(backend, flow.uuid, **options), out, db)
    return sum_up(backend, outcome, out, db, results=results)


def _all(found: list[FlowSummary], one: Callable[[FlowSummary], Answer], out: Output) -> Exit:
    """Go on with one flow after the other; trouble with one does not keep the others waiting."""
    worst, answers = Exit.OK, []
    for flow in found:
        try:
            code, data = one(flow)
        except exc.StacklFlowError as error:
            code = for_error(error)
            data = {"flow": {"uuid": flow.uuid, "name": flow.name}, "exit_code": int(code)}
            data["error"] = {"type": type(error).__name__, "message": message(error, code)}
            out.say(f"flow {flow.name} ({flow.uuid}): {message(error, code)}")
        worst = max(worst, code)
        answers.append(data)
        if code is for_state(states.SUSPENDED):
            # Whoever pressed Ctrl-C did not want the next flow to begin.
            break
    out.machine(answers)
    return worst


def _rest(done: int, stuck: int) -> str:
    words = [] if done else ["nothing to resume"]
    words += [f"{stuck} stuck in REVERT_FAILURE, --stuck takes them up too"] if stuck else []
    return "; ".join(words)
