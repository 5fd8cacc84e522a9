"""`stackl-flow conduct`: runs a conductor, which claims jobs from a board and runs their flows."""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import ExitStack
from typing import Annotated, Any

import typer

from stackl_flow.cli.commands.retention import parse_policy
from stackl_flow.cli.conductor_display import show_conductor
from stackl_flow.cli.errors import Exit, command_output
from stackl_flow.cli.options import (
    Board,
    BoardName,
    Db,
    EngineKind,
    EngineOption,
    Factories,
    Json,
    MaxWorkers,
    allowed_factories,
    engine_options,
    require_board,
    require_db,
    shared_storage,
)
from stackl_flow.cli.output import Output
from stackl_flow.cli.signals import LeaveWhenStuck, stop_on_signal
from stackl_flow.cli.values import parse_address
from stackl_flow.conductors.claim_monitor import RESCUE_AFTER
from stackl_flow.conductors.conductor import Conductor
from stackl_flow.control import boards, opening
from stackl_flow.control.boards import DEFAULT_BOARD
from stackl_flow.control.health import health
from stackl_flow.jobboards.board import TTL
from stackl_flow.jobboards.maintenance import MAX_CLAIMS
from stackl_flow.persistence.retention import RetentionPolicy

Name = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="NAME", help="Name of the conductor, unique on the board; HOST-PID by default."
    ),
]
Jobs = Annotated[int, typer.Option("--jobs", min=1, metavar="N", help="Maximum number of concurrent jobs.")]
Capabilities = Annotated[
    list[str] | None,
    typer.Option(
        "--capability",
        metavar="NAME",
        help="Capability of the conductor: it claims only jobs that require no others; by default all."
        " Repeatable.",
    ),
]
MaxDispatches = Annotated[
    int | None,
    typer.Option("--max-dispatches", min=1, metavar="N", help="Exit after running this number of jobs."),
]
LeaseTTL = Annotated[
    float,
    typer.Option(
        "--lease-ttl",
        min=0.5,
        metavar="SECONDS",
        help="Lease TTL: how long until the jobs of a dead conductor are reassigned.",
    ),
]
RescueAfter = Annotated[
    float,
    typer.Option(
        "--rescue-after",
        min=0.1,
        metavar="SECONDS",
        help="Release a claimed job on which the conductor does not work after this time.",
    ),
]
MaxClaims = Annotated[
    int,
    typer.Option(
        "--max-claims",
        min=1,
        metavar="N",
        help="Failed claims after which a job is moved to the dead-letter queue.",
    ),
]
Retention = Annotated[
    str | None,
    typer.Option(
        "--retention",
        metavar="AGE",
        help="Delete logbooks of consumed jobs after this time, such as 12h, 7d or 0s (immediately);"
        " by default they are kept.",
    ),
]
FailedRetention = Annotated[
    str | None,
    typer.Option(
        "--failed-retention",
        metavar="AGE",
        help="With --retention: another time for failed flows; 'never' keeps them.",
    ),
]
Listen = Annotated[
    str | None,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        help="Serve GET /health (200 while running, else 503) and GET /metrics (Prometheus).",
    ),
]


_STUCK = "the board or the database does not answer: leaving; claims end with their leases"


def conduct(
    board: Board = None,
    board_name: BoardName = DEFAULT_BOARD,
    db: Db = None,
    jobs: Jobs = 1,
    name: Name = None,
    capability: Capabilities = None,
    engine: EngineOption = EngineKind.serial,
    max_workers: MaxWorkers = None,
    max_dispatches: MaxDispatches = None,
    lease_ttl: LeaseTTL = TTL,
    rescue_after: RescueAfter = RESCUE_AFTER,
    max_claims: MaxClaims = MAX_CLAIMS,
    retention: Retention = None,
    failed_retention: FailedRetention = None,
    listen: Listen = None,
    factories: Factories = None,
    as_json: Json = False,
) -> None:
    """Run a conductor: claim jobs from a board and run their flows, until stopped.

    Ctrl-C, SIGTERM, SIGHUP and `conductors drain` shut it down gracefully: running flows are suspended after
    their current tasks, and their jobs are released. If it is killed, other conductors claim its jobs when
    its lease expires.

    [bold]Examples[/bold]

      stackl-flow conduct --board jobs.db --db flows.db --jobs 4

      stackl-flow conduct --board redis://localhost --db flows.db --capability gpu --listen 127.0.0.1:8080
    """
    board_url, db_url, options = require_board(board), require_db(db), engine_options(engine, max_workers)
    address = None if listen is None else parse_address(listen, "--listen")
    settings: dict[str, Any] = {
        "max_simultaneous_jobs": jobs,
        "capabilities": capability or None,
        "retention": _retention_policy(retention, failed_retention),
        "factories": allowed_factories(factories),
        "rescue_after": rescue_after,
    }
    engine_name = str(options.pop("engine"))
    opening.add_working_directory()
    with (
        command_output(as_json=as_json or not sys.stdout.isatty()) as out,
        LeaveWhenStuck(_STUCK, Exit.STORAGE) as watch,
        shared_storage(board_url, db_url),
        opening.open_for_running(db_url) as backend,
        boards.open_board(board_url, board_name, backend, ttl=lease_ttl, max_claims=max_claims) as job_board,
    ):
        name = name or f"{socket.gethostname()}-{os.getpid()}"
        for host, pid in boards.find_conductors(job_board, name):
            out.message(
                f"a conductor named {name} is already registered on this board (process {pid} of {host}):"
                " unless it has just died, give this one another --name"
            )
        conductor = Conductor(name, job_board, backend, engine_name, options, **settings)
        _run(conductor, out, address, max_dispatches, watch)


def _run(
    conductor: Conductor,
    out: Output,
    address: tuple[str, int] | None,
    limit: int | None,
    watch: LeaveWhenStuck,
) -> None:
    """Run a conductor with its display, its health server and signal handlers."""
    with ExitStack() as stack:
        stats = stack.enter_context(show_conductor(conductor, out))
        if address is not None:
            from stackl_flow.cli.health_server import serve_health  # noqa: PLC0415  http.server loads slowly

            port = stack.enter_context(serve_health(address, lambda: health(conductor, stats)))
            out.message(f"health: http://{address[0]}:{port}/health")
        aborted = "aborted; other conductors take over its jobs"
        stopped = threading.Event()

        def stop() -> None:
            stopped.set()
            conductor.stop()
            watch.begin(lambda: conductor.running_jobs > 0)

        stack.enter_context(stop_on_signal(stop, out.message, aborted))
        out.message(f"conductor {conductor.name} is waiting for jobs; press Ctrl-C to stop gracefully")
        while True:
            before = sum(stats.dispositions.values())
            try:
                conductor.run(limit)
                return
            except KeyboardInterrupt:  # of a job: for Ctrl-C there is a handler
                out.message("a job raised KeyboardInterrupt; going on with others")
            if limit is not None:
                limit -= sum(stats.dispositions.values()) - before
            if stopped.is_set() or (limit is not None and limit <= 0):
                return


def _retention_policy(age: str | None, failed_age: str | None) -> RetentionPolicy | None:
    if age is None and failed_age is not None:
        raise typer.BadParameter("requires --retention AGE", param_hint="--failed-retention")
    return None if age is None else parse_policy(age, failed_age)
