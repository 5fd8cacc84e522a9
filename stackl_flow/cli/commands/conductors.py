"""`stackl-flow conductors`: who works at a board, and how to have one stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer
from rich.text import Text

from stackl_flow.cli.errors import answering
from stackl_flow.cli.options import DEFAULT_NAME, Board, BoardName, Json, help_of, needed_board
from stackl_flow.cli.tables import conductors_table
from stackl_flow.control import boards

app = typer.Typer(help="Look at the conductors of a board, and have them stop.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The conductor's name.")]


def list_conductors(board: Board = None, board_name: BoardName = DEFAULT_NAME, as_json: Json = False) -> None:
    """List the conductors at a board, with the jobs that each claims.

    [bold]Examples[/bold]

      stackl-flow conductors list --board jobs.db
    """
    place = needed_board(board)
    with answering(as_json=as_json) as out, boards.open_board(place, board_name, new=False) as opened:
        found = boards.conductors(opened)
        out.answer(conductors_table(found), found)
        if not found:
            out.say(f"no conductors at board '{board_name}'")


def drain(
    name: Name, board: Board = None, board_name: BoardName = DEFAULT_NAME, as_json: Json = False
) -> None:
    """Have a conductor, on whatever machine, hand over what it runs and end.

    [bold]Examples[/bold]

      stackl-flow conductors drain worker-3 --board jobs.db
    """
    place = needed_board(board)
    with answering(as_json=as_json) as out, boards.open_board(place, board_name, new=False) as opened:
        opened.membership.request_drain(name)
        out.answer(Text(f"asked {name} to stop"), {"name": name})


_COMMANDS: dict[str, Callable[..., None]] = {"list": list_conductors, "drain": drain}
for _name, _command in _COMMANDS.items():
    app.command(_name, help=help_of(_command))(_command)
