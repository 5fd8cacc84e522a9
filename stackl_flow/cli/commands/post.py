"""`stackl-flow post`: stores a flow and posts it as a job."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.text import Text

from stackl_flow import exceptions as exc
from stackl_flow.cli.errors import Exit, command_output
from stackl_flow.cli.options import (
    Board,
    BoardName,
    Db,
    FactoryArgument,
    FactoryArguments,
    Json,
    Secrets,
    Store,
    completion_of,
    require_board,
    require_db,
    shared_storage,
)
from stackl_flow.cli.output import Output
from stackl_flow.cli.values import hint_missing_inputs, parse_pairs, parse_time, read_secrets
from stackl_flow.control import boards, opening
from stackl_flow.control.boards import DEFAULT_BOARD
from stackl_flow.jobboards.base import Job
from stackl_flow.jobboards.record import JobPriority

_PRIORITIES = [priority.value for priority in JobPriority]

Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Name of the job; by default the flow's name.")
]
Priority = Annotated[
    str,
    typer.Option(
        "--priority",
        metavar="PRIORITY",
        help=f"Priority of the job: {', '.join(_PRIORITIES)}.",
        autocompletion=completion_of(_PRIORITIES),
    ),
]
Key = Annotated[
    str | None,
    typer.Option("--key", metavar="KEY", help="Idempotency key: a job is posted only once for each key."),
]
Requires = Annotated[
    list[str] | None,
    typer.Option(
        "--requires",
        metavar="CAPABILITY",
        help="Capability that a conductor needs to claim the job. Repeatable.",
    ),
]
NotBefore = Annotated[
    str | None,
    typer.Option(
        "--not-before",
        metavar="TIME",
        help="The job is not claimed before this time: +SECONDS from now, or ISO 8601 (UTC by default).",
    ),
]
Expires = Annotated[
    str | None,
    typer.Option(
        "--expires",
        metavar="TIME",
        help="The job becomes a dead letter if it has not been claimed by this time; format as --not-before.",
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the job has ended, and return its result.")]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", min=0, metavar="SECONDS", help="With --wait: maximum time to wait."),
]


def post(
    factory: FactoryArgument,
    board: Board = None,
    board_name: BoardName = DEFAULT_BOARD,
    db: Db = None,
    store: Store = None,
    secret: Secrets = None,
    arg: FactoryArguments = None,
    name: Name = None,
    priority: Priority = JobPriority.NORMAL.value,
    key: Key = None,
    requires: Requires = None,
    not_before: NotBefore = None,
    expires: Expires = None,
    wait: Wait = False,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Post a flow as a job, for a conductor to run.

    The flow is stored in --db, the job on --board. Start conductors with the same two options.

    [bold]Examples[/bold]

      stackl-flow post shop.flows:order --store order=17 --board jobs.db --db flows.db

      stackl-flow post shop.flows:order --board jobs.db --db flows.db --priority HIGH --wait

      stackl-flow post shop.flows:charge --secret card=@card.txt --board jobs.db --db flows.db
    """
    inputs, factory_kwargs = parse_pairs(store or (), "--store"), parse_pairs(arg or (), "--arg")
    secrets = read_secrets(secret or (), inputs)
    board_url, db_url = require_board(board), require_db(db)
    options: dict[str, Any] = {
        "priority": _parse_priority(priority),
        "key": key,
        "required_capabilities": tuple(requires or ()),
        "not_before": parse_time(not_before, "--not-before"),
        "expires_at": parse_time(expires, "--expires"),
    }
    with (
        command_output(as_json=as_json, secrets=secrets.values()) as out,
        shared_storage(board_url, db_url),
        opening.open_for_running(db_url) as backend,
        boards.open_board(board_url, board_name, backend) as job_board,
    ):
        with hint_missing_inputs():
            job = boards.post(
                job_board,
                backend,
                factory,
                factory_kwargs,
                {**inputs, **secrets},
                name,
                secrets=list(secrets),
                **options,
            )
        if not wait:
            out.result(Text(f"posted {job.name} {job.uuid}"), {"uuid": job.uuid, "name": job.name})
            return
        out.message(f"posted {job.name} {job.uuid}; waiting until it has ended")
        raise typer.Exit(_wait_for_job(out, job, timeout))


def _parse_priority(text: str) -> str:
    try:
        return JobPriority.convert(text).value
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--priority") from None


def _wait_for_job(out: Output, job: Job, timeout: float | None) -> Exit:
    data: dict[str, Any] = {"uuid": job.uuid, "name": job.name}
    if not job.wait(timeout):
        out.result(Text(f"{job.name} has not ended within {timeout:g} s; it stays on the board"), data)
        return Exit.SUSPENDED
    try:
        result = job.result(0)
    except (exc.JobFailure, exc.WrappedFailure) as error:
        out.result(Text(f"{job.name} failed: {error}", style="red"), {**data, "failed": str(error)})
        return Exit.FAILED
    text = json.dumps(result, ensure_ascii=False, default=str)
    out.result(Text(f"{job.name} succeeded: {text}"), {**data, "result": result})
    return Exit.OK
