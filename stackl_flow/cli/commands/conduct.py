"""`stackl-flow conduct`: claims jobs from a board and runs their flows."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Annotated, Any

import typer

from stackl_flow.cli.commands.retention import keeping
from stackl_flow.cli.conductor_display import ENDS, Tally, showing
from stackl_flow.cli.errors import answering
from stackl_flow.cli.health import answering_health, read_address
from stackl_flow.cli.options import (
    DEFAULT_NAME,
    Board,
    BoardName,
    Db,
    EngineKind,
    EngineOption,
    Json,
    Workers,
    engine_options,
    needed,
    needed_board,
    reachable,
)
from stackl_flow.cli.output import Output
from stackl_flow.cli.signals import interruptible
from stackl_flow.conductors.conductor import Conductor
from stackl_flow.control import boards, opening
from stackl_flow.control.runs import use_working_directory
from stackl_flow.jobboards.board import TTL
from stackl_flow.persistence.retention import RetentionPolicy

Name = Annotated[
    str | None, typer.Option("--name", help="Its name; HOST-PID if left out. No two may have the same.")
]
Jobs = Annotated[int, typer.Option("--jobs", min=1, metavar="N", help="How many jobs at once.")]
Can = Annotated[
    list[str] | None,
    typer.Option(
        "--capability", metavar="ABILITY", help="What it can do: jobs that need more are left to others."
    ),
]
Dispatches = Annotated[
    int | None, typer.Option("--max-dispatches", min=1, metavar="N", help="End after so many jobs.")
]
Ttl = Annotated[
    float,
    typer.Option(
        "--lease-ttl", min=0.5, metavar="SECONDS", help="After its death others have its jobs in so long."
    ),
]
RemoveBooks = Annotated[
    str | None,
    typer.Option(
        "--retention",
        metavar="AGE",
        help="Remove logbooks of consumed jobs after so long, such as 7d; 0s for at once.",
    ),
]
KeepFailed = Annotated[
    str | None,
    typer.Option(
        "--failed-retention",
        metavar="AGE",
        help="With --retention: another age for those that failed; 'never' keeps them.",
    ),
]
Listen = Annotated[
    str | None,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        help="Answer GET /health there, 200 if all is well, and GET /metrics.",
    ),
]


def conduct(
    board: Board = None,
    db: Db = None,
    jobs: Jobs = 1,
    name: Name = None,
    can: Can = None,
    engine: EngineOption = EngineKind.serial,
    max_workers: Workers = None,
    max_dispatches: Dispatches = None,
    ttl: Ttl = TTL,
    retention: RemoveBooks = None,
    remove_failed_books: KeepFailed = None,
    listen: Listen = None,
    board_name: BoardName = DEFAULT_NAME,
    as_json: Json = False,
) -> None:
    """Claim jobs from a board and run their flows, until it is told to stop.

    Ctrl-C, SIGTERM or `conductors drain` stop it in order: running flows are suspended at their next task and
    their jobs go back to the board. Killed, its jobs go to others when its claims run out.

    [bold]Examples[/bold]

      stackl-flow conduct --board jobs.db --db flows.db --jobs 4

      stackl-flow conduct --board redis://localhost --db flows.db --capability gpu --listen 127.0.0.1:8080
    """
    place, where, options = needed_board(board), needed(db), engine_options(engine, max_workers)
    address = None if listen is None else read_address(listen)
    keep = _keep(retention, remove_failed_books)
    kind = str(options.pop("engine"))
    use_working_directory()
    settings: dict[str, Any] = {"max_simultaneous_jobs": jobs, "capabilities": can or None, "retention": keep}
    with (
        answering(as_json=as_json or not sys.stdout.isatty()) as out,
        reachable(place, where),
        opening.for_work(where) as backend,
        boards.open_board(place, board_name, backend, ttl=ttl) as opened,
    ):
        name = name or f"{socket.gethostname()}-{os.getpid()}"
        for host, process in boards.namesakes(opened, name):
            out.say(
                f"a conductor called {name} is at this board already (process {process} of {host}): unless"
                " it has just died, give this one another --name"
            )
        _run(Conductor(name, opened, backend, kind, options, **settings), out, address, max_dispatches)


def _run(conductor: Conductor, out: Output, address: tuple[str, int] | None, limit: int | None) -> None:
    """Have a conductor run, seen and heard, until it is told to stop."""
    with ExitStack() as stack:
        tally = stack.enter_context(showing(conductor, out))
        if address is not None:
            port = stack.enter_context(answering_health(address, lambda: health(conductor, tally)))
            out.say(f"health: http://{address[0]}:{port}/health")
        stack.enter_context(interruptible(conductor.stop, out.say, "aborted; others take its jobs over"))
        out.say(f"conductor {conductor.name} waits for jobs; Ctrl-C stops it in order")
        conductor.run(limit)


def _keep(age: str | None, failed: str | None) -> RetentionPolicy | None:
    if age is None and failed is not None:
        raise typer.BadParameter("it goes with --retention AGE", param_hint="--failed-retention")
    return None if age is None else keeping(age, failed)


def health(conductor: Conductor, tally: Tally) -> Mapping[str, Any]:
    """Tell how a conductor is.

    Args:
        conductor: the conductor.
        tally: what it did.

    Returns:
        Whether it is well, its state, for how many seconds it has been there, and its counts.
    """
    well = conductor.dispatching and not conductor.stopping
    state = "running" if well else "stopping" if conductor.dispatching else "stopped"
    return {
        "ok": well,
        "name": conductor.name,
        "state": state,
        "uptime": round(tally.age, 3),
        "running": [name for name, _, _ in tally.running],
        **{end: tally.ends[end] for end in ENDS},
    }
