"""The options of the commands that go to a jobboard."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from stackl_flow.control.boards import BOARD
from stackl_flow.control.places import check_shared

Board = Annotated[
    str | None,
    typer.Option(
        "--board",
        metavar="URL",
        envvar="STACKL_FLOW_BOARD",
        help="Where the jobboard is: an address such as dir:///srv/jobs, or the path of an SQLite file.",
    ),
]
BoardName = Annotated[
    str, typer.Option("--board-name", help="The board's name: several may share one place.")
]
JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="The job: its uuid, the beginning of it, or its name.")
]
DEFAULT_NAME = BOARD


def needed_board(board: str | None) -> str:
    """Insist on a board.

    Args:
        board: what was given.

    Returns:
        The same, when it was given.

    Raises:
        BadParameter: it was not.
    """
    if not board:
        raise typer.BadParameter(
            "say where the jobboard is: --board URL, or STACKL_FLOW_BOARD=URL", param_hint="--board"
        )
    return board


@contextmanager
def reachable(board: str, db: str) -> Iterator[None]:
    """Insist on places that other processes find, too.

    Args:
        board: where the board is.
        db: where the flows are.

    Yields:
        Nothing.

    Raises:
        StorageFailure: one of them is in the memory of this process.
    """
    check_shared(board, "--board")
    check_shared(db, "--db")
    yield
