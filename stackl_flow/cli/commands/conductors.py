"""`stackl-flow conductors`: lists the conductors of a board, and drains them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer
from rich.text import Text

from stackl_flow.cli.errors import command_output
from stackl_flow.cli.options import Board, BoardName, Json, help_of, require_board
from stackl_flow.cli.tables import conductors_table
from stackl_flow.control import boards
from stackl_flow.control.boards import DEFAULT_BOARD

app = typer.Typer(help="List the conductors of a board, and drain them.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the conductor.")]


def list_conductors(
    board: Board = None, board_name: BoardName = DEFAULT_BOARD, as_json: Json = False
) -> None:
    """List the conductors of a board, with the jobs that they claim.

    [bold]Examples[/bold]

      stackl-flow conductors list --board jobs.db
    """
    url = require_board(board)
    with (
        command_output(as_json=as_json) as out,
        boards.open_board(url, board_name, create=False) as job_board,
    ):
        found = boards.list_conductors(job_board)
        out.result(conductors_table(found), found)
        if not found:
            out.message(f"no conductors on board '{board_name}'{boards.other_boards_hint(job_board)}")


def drain(
    name: Name, board: Board = None, board_name: BoardName = DEFAULT_BOARD, as_json: Json = False
) -> None:
    """Request a conductor, on any machine, to suspend its flows, release its jobs and exit.

    [bold]Examples[/bold]

      stackl-flow conductors drain conductor-3 --board jobs.db
    """
    url = require_board(board)
    with (
        command_output(as_json=as_json) as out,
        boards.open_board(url, board_name, create=False) as job_board,
    ):
        boards.drain(job_board, name)
        out.result(Text(f"requested {name} to stop"), {"name": name})


_COMMANDS: dict[str, Callable[..., None]] = {"list": list_conductors, "drain": drain}
for _name, _command in _COMMANDS.items():
    app.command(_name, help=help_of(_command))(_command)
