"""`stackl-flow list`, `show` and `history`: queries of stored flows."""

from typing import Annotated

import typer

from stackl_flow import states
from stackl_flow.cli.errors import command_output
from stackl_flow.cli.options import Db, FlowArgument, Json, Results, completion_of, require_db
from stackl_flow.cli.output import flow_result
from stackl_flow.cli.tables import flows_table, history_table
from stackl_flow.control import flows, opening

_STATES = frozenset(state for transition in states.FLOW_TRANSITIONS for state in transition)
State = Annotated[
    str | None,
    typer.Option(
        "--state",
        metavar="STATE",
        help="Only flows in this state, such as SUSPENDED.",
        autocompletion=completion_of(sorted(_STATES)),
    ),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Maximum number of rows.")]
After = Annotated[
    int, typer.Option("--after", min=0, metavar="SEQ", help="Only transitions after this sequence number.")
]


def list_flows(db: Db = None, state: State = None, limit: Limit = None, as_json: Json = False) -> None:
    """List the stored flows, newest first.

    [bold]Examples[/bold]

      stackl-flow list --db flows.db

      stackl-flow list --db flows.db --state REVERT_FAILURE --json
    """
    url = require_db(db)
    if state is not None and state.upper() not in _STATES:
        raise typer.BadParameter(
            f"'{state}' is not a state of a flow; use one of {', '.join(sorted(_STATES))}",
            param_hint="--state",
        )
    with command_output(as_json=as_json) as out, opening.open_read_only(url) as backend:
        found = flows.list_flows(backend, state.upper() if state else None, limit)
        out.result(flows_table(found), found)
        if not found:
            out.message(f"no flows in state {state.upper()}" if state else "no flows")


def show(identifier: FlowArgument, db: Db = None, results: Results = False, as_json: Json = False) -> None:
    """Show a flow: its tasks with states and times, and the error of each failed task.

    [bold]Examples[/bold]

      stackl-flow show 3f2a --db flows.db

      stackl-flow show 3f2a --db flows.db --results --json
    """
    url = require_db(db)
    with command_output(as_json=as_json) as out, opening.open_read_only(url) as backend:
        out.result(*flow_result(flows.get_flow(backend, identifier), results=results))


def show_history(
    identifier: FlowArgument, db: Db = None, after: After = 0, limit: Limit = None, as_json: Json = False
) -> None:
    """Show the state transitions of a flow and its tasks, each with its time, who made it and why.

    [bold]Examples[/bold]

      stackl-flow history 3f2a --db flows.db

      stackl-flow history 3f2a --db flows.db --after 120 --limit 20 --json
    """
    url = require_db(db)
    with command_output(as_json=as_json) as out, opening.open_read_only(url) as backend:
        flow = flows.find_flow(backend, identifier)
        transitions = flows.get_history(backend, flow.uuid, after, limit)
        out.result(history_table(transitions), [each._asdict() for each in transitions])
