"""`stackl-flow jobs`: queries and changes the jobs of a board."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.text import Text

from stackl_flow.cli.errors import command_output
from stackl_flow.cli.options import Board, BoardName, JobArgument, Json, completion_of, help_of, require_board
from stackl_flow.cli.signals import stop_on_signal
from stackl_flow.cli.tables import job_panel, jobs_table, time_text, unreadable_table
from stackl_flow.cli.values import parse_past
from stackl_flow.control import boards
from stackl_flow.control.boards import DEFAULT_BOARD, LISTED_STATES

app = typer.Typer(
    help=f"Show the jobs of a board; trash and requeue them. Without --board-name, the board is named"
    f" '{DEFAULT_BOARD}'.",
    no_args_is_help=True,
)

State = Annotated[
    str | None,
    typer.Option(
        "--state",
        metavar="STATE",
        help="Only jobs in this state: waiting, scheduled, claimed, succeeded, failed or dead. By default the"
        " first three.",
        autocompletion=completion_of(LISTED_STATES),
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="Only jobs that ended, or else changed last, since then: a duration before now, such as 90m"
        " (s, m, h, d or w), or a time such as 2030-01-31T08:00:00Z.",
    ),
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="The same, but not later than this.")
]
Entry = Annotated[
    str, typer.Argument(metavar="ENTRY", help="Id of an unreadable entry, as `jobs unreadable` shows it.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Maximum number of jobs.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Reason; stored with the job.")]


def list_jobs(
    board: Board = None,
    board_name: BoardName = DEFAULT_BOARD,
    state: State = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """List the jobs of a board, in the order in which they are claimed, ended ones latest first.

    [bold]Examples[/bold]

      stackl-flow jobs list --board jobs.db

      stackl-flow jobs list --board jobs.db --state failed --since 1h

      stackl-flow jobs list --board jobs.db --state dead --json
    """
    url = require_board(board)
    if state is not None and state not in LISTED_STATES:
        raise typer.BadParameter(
            f"invalid state '{state}'; use one of {', '.join(LISTED_STATES)}", param_hint="--state"
        )
    first, last = parse_past(since, "--since"), parse_past(until, "--until")
    with (
        command_output(as_json=as_json) as out,
        boards.open_board(url, board_name, create=False) as job_board,
    ):
        found = boards.list_jobs(job_board, state, limit, since=first, until=last)
        out.result(jobs_table(found), found)
        if not found:
            kind = f"{state} jobs" if state else "jobs"
            out.message(f"no {kind} on board '{board_name}'{boards.other_boards_hint(job_board)}")
        count = len(job_board.unreadable)
        if count:
            out.message(f"entries that cannot be read and are set aside: {count}; see `jobs unreadable`")


def show(
    identifier: JobArgument,
    board: Board = None,
    board_name: BoardName = DEFAULT_BOARD,
    as_json: Json = False,
) -> None:
    """Show a job: its claims and how they ended, and its outcome.

    [bold]Examples[/bold]

      stackl-flow jobs show 3f2a --board jobs.db
    """
    url = require_board(board)
    with (
        command_output(as_json=as_json) as out,
        boards.open_board(url, board_name, create=False) as job_board,
    ):
        job = boards.find_job(job_board, identifier)
        out.result(job_panel(job), job)


def watch(board: Board = None, board_name: BoardName = DEFAULT_BOARD, as_json: Json = False) -> None:
    """Show the events of a board as they happen, until Ctrl-C.

    With --json each line is a JSON object.

    [bold]Examples[/bold]

      stackl-flow jobs watch --board redis://localhost
    """
    url = require_board(board)
    stopped = threading.Event()
    with command_output(as_json=as_json) as out, boards.open_board(url, board_name) as job_board:

        def write_event(event: str, details: dict[str, Any]) -> None:
            job, now = details["job"], time.time()
            owner = job.claims[-1].owner if job.claims else ""
            if as_json:
                out.json_line({"at": now, "event": event, "job": job.uuid, "name": job.name, "owner": owner})
                return
            out.console.print(f"{time_text(now)} {event} {job.name} {owner}".rstrip(), markup=False)
            out.console.file.flush()

        job_board.notifier.register("*", write_event)
        out.message(f"watching board '{board_name}'; press Ctrl-C to stop")
        with stop_on_signal(stopped.set, lambda _message: None, "stopped"):
            stopped.wait()


def trash(
    identifier: JobArgument,
    board: Board = None,
    board_name: BoardName = DEFAULT_BOARD,
    reason: Reason = "trashed by an operator",
    as_json: Json = False,
) -> None:
    """Move an unclaimed job to the dead letters.

    [bold]Examples[/bold]

      stackl-flow jobs trash 3f2a --board jobs.db --reason "posted by mistake"
    """
    url = require_board(board)
    with (
        command_output(as_json=as_json) as out,
        boards.open_board(url, board_name, create=False) as job_board,
    ):
        job = boards.find_job(job_board, identifier)
        boards.trash(job_board, job.uuid, reason)
        out.result(Text(f"trashed {job.name} {job.uuid}"), {"uuid": job.uuid, "name": job.name})


def requeue(
    identifier: Annotated[
        str | None, typer.Argument(metavar="JOB", help="Uuid of a dead letter, or the beginning of it.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters, or those of --reason.")] = False,
    reason: Annotated[
        str | None,
        typer.Option(
            "--reason",
            metavar="TEXT",
            help="With --all: only dead letters whose reason contains this text, in upper or lower case.",
        ),
    ] = None,
    board: Board = None,
    board_name: BoardName = DEFAULT_BOARD,
    as_json: Json = False,
) -> None:
    """Put dead letters back on the board, without their histories of claims.

    A conductor runs a requeued job again: its flow goes on where it was, a failed rollback with the revert
    that failed. Remove the cause first. `jobs list --state dead` lists them, `jobs show` shows a reason.

    [bold]Examples[/bold]

      stackl-flow jobs requeue 3f2a --board jobs.db

      stackl-flow jobs requeue --all --reason FactoryNotFound --board jobs.db
    """
    if (identifier is None) is not every:
        raise typer.BadParameter("name one job, or use --all", param_hint="JOB")
    if reason is not None and not every:
        raise typer.BadParameter("requires --all", param_hint="--reason")
    url = require_board(board)
    with (
        command_output(as_json=as_json) as out,
        boards.open_board(url, board_name, create=False) as job_board,
    ):
        if identifier is not None:
            job = boards.find_job(job_board, identifier)
            boards.requeue(job_board, job)
            out.result(Text(f"requeued {job.name} {job.uuid}"), {"uuid": job.uuid, "name": job.name})
            return
        requeued = list(boards.requeue_all(job_board, reason or ""))
        lines = [Text(f"requeued {each.name} {each.uuid}: {each.reason}") for each in requeued]
        data = [{"uuid": each.uuid, "name": each.name, "reason": each.reason} for each in requeued]
        out.result(Group(*lines), data)
        wanted = f" with '{reason}' in their reason" if reason else ""
        out.message(f"requeued {len(requeued)} dead letters{wanted} on board '{board_name}'")


def unreadable(board: Board = None, board_name: BoardName = DEFAULT_BOARD, as_json: Json = False) -> None:
    """List the entries of a board that cannot be read, with the reason; they were set aside.

    `jobs discard` deletes one for good, `jobs restore` puts it back for a release that can read it.

    [bold]Examples[/bold]

      stackl-flow jobs unreadable --board jobs.db
    """
    url = require_board(board)
    with (
        command_output(as_json=as_json) as out,
        boards.open_board(url, board_name, create=False) as job_board,
    ):
        found = boards.list_unreadable(job_board)
        out.result(unreadable_table(found), [entry._asdict() for entry in found])
        if not found:
            out.message(f"no unreadable entries on board '{board_name}'")


def discard(
    identifier: Annotated[
        str, typer.Argument(metavar="JOB|ENTRY", help="A dead letter, or the id of an unreadable entry.")
    ],
    board: Board = None,
    board_name: BoardName = DEFAULT_BOARD,
    as_json: Json = False,
) -> None:
    """Delete a dead letter, or an unreadable entry, for good.

    [bold]Examples[/bold]

      stackl-flow jobs discard 3f2a --board jobs.db
    """
    url = require_board(board)
    with (
        command_output(as_json=as_json) as out,
        boards.open_board(url, board_name, create=False) as job_board,
    ):
        discarded = boards.discard(job_board, identifier)
        out.result(Text(f"discarded {discarded}"), {"discarded": discarded})


def restore(
    entry: Entry, board: Board = None, board_name: BoardName = DEFAULT_BOARD, as_json: Json = False
) -> None:
    """Put an unreadable entry back where it was found, for a release that can read it.

    [bold]Examples[/bold]

      stackl-flow jobs restore 0a1b2c3d4e5f6071 --board jobs.db
    """
    url = require_board(board)
    with (
        command_output(as_json=as_json) as out,
        boards.open_board(url, board_name, create=False) as job_board,
    ):
        boards.restore(job_board, entry)
        out.result(Text(f"restored {entry}"), {"restored": entry})


_COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_jobs,
    "show": show,
    "watch": watch,
    "trash": trash,
    "requeue": requeue,
    "unreadable": unreadable,
    "discard": discard,
    "restore": restore,
}
for _name, _command in _COMMANDS.items():
    app.command(_name, help=help_of(_command))(_command)
