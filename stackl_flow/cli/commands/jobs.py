"""`stackl-flow jobs`: what is on a board, and what to do about it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.text import Text

from stackl_flow import exceptions as exc
from stackl_flow.cli.errors import answering
from stackl_flow.cli.options import (
    DEFAULT_NAME,
    Board,
    BoardName,
    JobArgument,
    Json,
    help_of,
    needed_board,
    words_of,
)
from stackl_flow.cli.signals import interruptible
from stackl_flow.cli.tables import clock_text, job_panel, jobs_table
from stackl_flow.control import boards

app = typer.Typer(help="Look at the jobs of a board, trash them, put them back.", no_args_is_help=True)

_LISTED = ("waiting", "scheduled", "claimed", "dead")
State = Annotated[
    str | None,
    typer.Option(
        "--state",
        metavar="STATE",
        help="Only jobs that are waiting, scheduled, claimed or dead.",
        autocompletion=words_of(_LISTED),
    ),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="At most so many.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the job.")]


def list_jobs(
    board: Board = None,
    state: State = None,
    limit: Limit = None,
    board_name: BoardName = DEFAULT_NAME,
    as_json: Json = False,
) -> None:
    """List the jobs on a board, in the order in which they are claimed.

    [bold]Examples[/bold]

      stackl-flow jobs list --board jobs.db

      stackl-flow jobs list --board jobs.db --state dead --json
    """
    place = needed_board(board)
    if state is not None and state not in _LISTED:
        raise typer.BadParameter(f"'{state}' is none of {', '.join(_LISTED)}", param_hint="--state")
    with answering(as_json=as_json) as out, boards.open_board(place, board_name, new=False) as opened:
        found = boards.jobs(opened, state, limit)
        out.answer(jobs_table(found), found)
        if not found:
            out.say(f"no jobs on board '{board_name}'")


def show(
    wanted: JobArgument, board: Board = None, board_name: BoardName = DEFAULT_NAME, as_json: Json = False
) -> None:
    """Show one job: who claimed it, how that ended, and what came of it.

    [bold]Examples[/bold]

      stackl-flow jobs show 3f2a --board jobs.db
    """
    place = needed_board(board)
    with answering(as_json=as_json) as out, boards.open_board(place, board_name, new=False) as opened:
        found = boards.find(opened, wanted)
        out.answer(job_panel(found), found)


def watch(board: Board = None, board_name: BoardName = DEFAULT_NAME, as_json: Json = False) -> None:
    """Tell what happens on a board as it happens, until Ctrl-C.

    With --json each line is one JSON object.

    [bold]Examples[/bold]

      stackl-flow jobs watch --board redis://localhost
    """
    place = needed_board(board)
    ended = threading.Event()
    with answering(as_json=as_json) as out, boards.open_board(place, board_name) as opened:

        def tell(event: str, details: dict[str, Any]) -> None:
            job = details["job"]
            owner = job.claims[-1].owner if job.claims else ""
            if as_json:
                out.line(
                    {"at": time.time(), "event": event, "job": job.uuid, "name": job.name, "owner": owner}
                )
                return
            out.console.print(f"{clock_text(time.time())} {event} {job.name} {owner}".rstrip(), markup=False)
            out.console.file.flush()

        opened.notifier.register("*", tell)
        out.say("watching; Ctrl-C ends it")
        with interruptible(ended.set, lambda _words: None, "ended"):
            ended.wait()


def trash(
    wanted: JobArgument,
    board: Board = None,
    reason: Reason = "trashed by an operator",
    board_name: BoardName = DEFAULT_NAME,
    as_json: Json = False,
) -> None:
    """Take a job that nobody claims off the board; it is kept in the bin.

    [bold]Examples[/bold]

      stackl-flow jobs trash 3f2a --board jobs.db --reason "posted by mistake"
    """
    place = needed_board(board)
    with answering(as_json=as_json) as out, boards.open_board(place, board_name, new=False) as opened:
        found = boards.find(opened, wanted)
        boards.trash(opened, found.uuid, reason)
        out.answer(Text(f"trashed {found.name} {found.uuid}"), {"uuid": found.uuid, "name": found.name})


def requeue(
    wanted: JobArgument, board: Board = None, board_name: BoardName = DEFAULT_NAME, as_json: Json = False
) -> None:
    """Put a trashed job back on the board, as if it had never been claimed.

    [bold]Examples[/bold]

      stackl-flow jobs requeue 3f2a --board jobs.db
    """
    place = needed_board(board)
    with answering(as_json=as_json) as out, boards.open_board(place, board_name, new=False) as opened:
        found = boards.find(opened, wanted)
        if found.state != "dead":
            raise exc.NotFound(f"job '{found.name}' ({found.uuid}) is {found.state}, not dead")
        opened.dead_letters.requeue(found.uuid)
        out.answer(Text(f"requeued {found.name} {found.uuid}"), {"uuid": found.uuid, "name": found.name})


_COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_jobs,
    "show": show,
    "watch": watch,
    "trash": trash,
    "requeue": requeue,
}
for _name, _command in _COMMANDS.items():
    app.command(_name, help=help_of(_command))(_command)
