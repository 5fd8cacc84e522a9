"""`stackl-flow list`, `show` and `history`: questions about stored flows."""

from typing import Annotated

import typer

from stackl_flow import states
from stackl_flow.cli.errors import answering
from stackl_flow.cli.options import Db, Json, Results, needed, words_of
from stackl_flow.cli.output import flow_answer
from stackl_flow.cli.tables import flows_table, history_table
from stackl_flow.control import flows, opening
from stackl_flow.control import flows as history

Wanted = Annotated[
    str, typer.Argument(metavar="UUID", help="The flow: its uuid, the beginning of it, or its name.")
]
_STATES = frozenset(word for move in states.FLOW_TRANSITIONS for word in move)
State = Annotated[
    str | None,
    typer.Option(
        "--state",
        metavar="STATE",
        help="Only flows in this state, such as SUSPENDED.",
        autocompletion=words_of(sorted(_STATES)),
    ),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="At most so many.")]
After = Annotated[int, typer.Option("--after", min=0, metavar="SEQ", help="Only moves after this one.")]


def list_flows(db: Db = None, state: State = None, limit: Limit = None, as_json: Json = False) -> None:
    """List the stored flows, the newest first.

    [bold]Examples[/bold]

      stackl-flow list --db flows.db

      stackl-flow list --db flows.db --state REVERT_FAILURE --json
    """
    place = needed(db)
    if state is not None and state.upper() not in _STATES:
        raise typer.BadParameter(
            f"'{state}' is no state of a flow: {', '.join(sorted(_STATES))}", param_hint="--state"
        )
    with answering(as_json=as_json) as out, opening.for_looking(place) as backend:
        found = flows.flows(backend, state.upper() if state else None, limit)
        out.answer(flows_table(found), found)
        if not found:
            out.say("no flows")


def show(wanted: Wanted, db: Db = None, results: Results = False, as_json: Json = False) -> None:
    """Show one flow: its atoms with states and times, and why what failed.

    [bold]Examples[/bold]

      stackl-flow show 3f2a --db flows.db

      stackl-flow show 3f2a --db flows.db --results --json
    """
    place = needed(db)
    with answering(as_json=as_json) as out, opening.for_looking(place) as backend:
        out.answer(*flow_answer(flows.show(backend, wanted), results=results))


def show_history(
    wanted: Wanted, db: Db = None, after: After = 0, limit: Limit = None, as_json: Json = False
) -> None:
    """Show every move of a flow and its atoms: from which state to which, when, and by which process.

    [bold]Examples[/bold]

      stackl-flow history 3f2a --db flows.db

      stackl-flow history 3f2a --db flows.db --after 120 --limit 20 --json
    """
    place = needed(db)
    with answering(as_json=as_json) as out, opening.for_looking(place) as backend:
        moves = history.history(backend, flows.find(backend, wanted).uuid, after, limit)
        out.answer(history_table(moves), moves)
