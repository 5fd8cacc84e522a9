"""`stackl-flow post`: a flow goes to the board, for a conductor to run."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from stackl_flow import exceptions as exc
from stackl_flow.cli.commands.run import FactoryArgument, Store
from stackl_flow.cli.errors import Exit, answering
from stackl_flow.cli.options import (
    DEFAULT_NAME,
    Arguments,
    Board,
    BoardName,
    Db,
    Json,
    Secrets,
    needed,
    needed_board,
    reachable,
    words_of,
)
from stackl_flow.cli.output import Output
from stackl_flow.cli.values import naming_what_lacks, pairs, secrets
from stackl_flow.control import boards, opening
from stackl_flow.jobboards.base import Job
from stackl_flow.jobboards.record import JobPriority

_PRIORITIES = ", ".join(priority.value for priority in JobPriority)

Name = Annotated[str | None, typer.Option("--name", help="What to call the job, if not by the flow's name.")]
Priority = Annotated[
    str,
    typer.Option(
        "--priority",
        metavar="PRIORITY",
        help=f"How urgent it is: {_PRIORITIES}.",
        autocompletion=words_of([priority.value for priority in JobPriority]),
    ),
]
Key = Annotated[
    str | None,
    typer.Option("--key", help="JobRecord again under this key gives the job that is there already."),
]
Needs = Annotated[
    list[str] | None,
    typer.Option("--requires", metavar="ABILITY", help="What a conductor has to be able to do. Repeatable."),
]
NotBefore = Annotated[
    str | None,
    typer.Option("--not-before", metavar="WHEN", help="Not to run before: +SECONDS, or a time in ISO 8601."),
]
ClaimBy = Annotated[
    str | None,
    typer.Option(
        "--expires", metavar="WHEN", help="Trashed if nobody has claimed it by then; as --not-before."
    ),
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait for the job's end, and answer with what came of it.")
]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=0, metavar="SECONDS", help="With --wait: at most so long.")
]


def post(
    factory: FactoryArgument,
    board: Board = None,
    db: Db = None,
    store: Store = None,
    secret: Secrets = None,
    arg: Arguments = None,
    name: Name = None,
    priority: Priority = JobPriority.NORMAL.value,
    key: Key = None,
    need: Needs = None,
    not_before: NotBefore = None,
    expires_at: ClaimBy = None,
    wait: Wait = False,
    timeout: Timeout = None,
    board_name: BoardName = DEFAULT_NAME,
    as_json: Json = False,
) -> None:
    """Post a flow as a job, for a conductor to run.

    The flow is stored in --db, the job on --board; conductors are started with the same two.

    [bold]Examples[/bold]

      stackl-flow post shop.flows:order --store order=17 --board jobs.db --db flows.db

      stackl-flow post shop.flows:order --board jobs.db --db flows.db --priority HIGH --wait

      stackl-flow post shop.flows:charge --secret card=@card.txt --board jobs.db --db flows.db
    """
    values, arguments = pairs(store or (), "--store"), pairs(arg or (), "--arg")
    hidden = secrets(secret or (), values)
    place, where = needed_board(board), needed(db)
    times = {"not_before": moment(not_before, "--not-before"), "expires_at": moment(expires_at, "--expires")}
    what = {"key": key, "required_capabilities": tuple(need or ()), "priority": _urgency(priority)}
    terms: dict[str, Any] = {**what, **times}
    with (
        answering(as_json=as_json, secrets=hidden.values()) as out,
        reachable(place, where),
        opening.for_work(where) as backend,
        boards.open_board(place, board_name, backend) as opened,
    ):
        given, marks = {**values, **hidden}, list(hidden)
        with naming_what_lacks():
            job = boards.post(opened, backend, factory, arguments, given, name, secrets=marks, **terms)
        if not wait:
            out.answer(Text(f"posted {job.name} {job.uuid}"), {"uuid": job.uuid, "name": job.name})
            return
        out.say(f"posted {job.name} {job.uuid}; waiting for its end")
        raise typer.Exit(_wait(out, job, timeout))


def _urgency(text: str) -> str:
    try:
        return JobPriority.convert(text).value
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--priority") from None


def moment(text: str | None, option: str) -> float | None:
    """Read a point in time.

    Args:
        text: "+SECONDS" from now, or ISO 8601 (UTC if it says nothing else); None for none.
        option: which option it was given to.

    Returns:
        Seconds since 1970 UTC.

    Raises:
        BadParameter: it is neither.
    """
    if text is None:
        return None
    try:
        if text.startswith("+"):
            return time.time() + float(text)
        read = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"'{text}' is no point in time: write +90 or 2030-01-31T08:00:00Z", param_hint=option
        ) from None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def _wait(out: Output, job: Job, timeout: float | None) -> Exit:
    """Wait for a job's end and answer with it."""
    told: dict[str, Any] = {"uuid": job.uuid, "name": job.name}
    if not job.wait(timeout):
        out.answer(Text(f"{job.name} has not ended within {timeout:g} s; it stays on the board"), told)
        return Exit.SUSPENDED
    try:
        result = job.result(0)
    except (exc.JobFailure, exc.WrappedFailure) as error:
        out.answer(Text(f"{job.name} failed: {error}", style="red"), {**told, "failed": str(error)})
        return Exit.FAILED
    text = json.dumps(result, ensure_ascii=False, default=str)
    out.answer(Text(f"{job.name} is done: {text}"), {**told, "result": result})
    return Exit.OK
