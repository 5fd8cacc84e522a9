"""`stackl-flow runs prune`: retention, the deletion of old runs."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from stackl_flow import exceptions as exc
from stackl_flow.cli.errors import command_output
from stackl_flow.cli.options import Db, Json, help_of, require_db
from stackl_flow.cli.tables import logbooks_table
from stackl_flow.control import flows, opening
from stackl_flow.persistence.retention import RetentionPolicy

app = typer.Typer(no_args_is_help=True, help="Delete old runs of flows (retention).")

OlderThan = Annotated[
    str,
    typer.Option(
        "--older-than",
        metavar="AGE",
        help="Minimum age since the end of the run: a number with s, m, h, d or w, such as 12h or 7d.",
    ),
]
FailedOlderThan = Annotated[
    str | None,
    typer.Option(
        "--failed-older-than",
        metavar="AGE",
        help="Minimum age of failed runs, by default --older-than; 'never' keeps them.",
    ),
]
KeepNewest = Annotated[
    int,
    typer.Option("--keep-newest", min=0, metavar="N", help="Keep the N runs that ended last, at any age."),
]
OnlyJobs = Annotated[bool, typer.Option("--only-jobs", help="Only runs that were posted as jobs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted, and delete nothing.")]


def prune(
    older_than: OlderThan,
    failed_older_than: FailedOlderThan = None,
    keep_newest: KeepNewest = 0,
    only_jobs: OnlyJobs = False,
    dry_run: DryRun = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Delete old runs: logbooks with their flows and histories.

    Runs with an unfinished flow, or with a flow that is stuck in REVERT_FAILURE, are always kept. The outcome
    of a job stays on its board.

    [bold]Examples[/bold]

      stackl-flow runs prune --older-than 7d --db flows.db --dry-run

      stackl-flow runs prune --older-than 7d --failed-older-than never --keep-newest 100 --db flows.db
    """
    url = require_db(db)
    policy = parse_policy(older_than, failed_older_than, keep_newest)
    # Values stay as they are stored, so that their types need not be importable here.
    with command_output(as_json=as_json) as out, opening.open_read_only(url) as backend:
        books = flows.prune(backend, policy, only_jobs=only_jobs, dry_run=dry_run)
        out.result(logbooks_table(books), {"deleted": not dry_run, "runs": books})
        out.message(f"{len(books)} runs {'would be ' if dry_run else ''}deleted")


def parse_policy(max_age: str, failed_max_age: str | None, keep_newest: int = 0) -> RetentionPolicy:
    """Return the retention policy of the options.

    Raises:
        typer.BadParameter: a text is not a duration.
    """
    try:
        seconds = flows.parse_duration(max_age)
    except exc.InvalidFormat as error:
        raise typer.BadParameter(str(error)) from None
    if failed_max_age is None:
        return RetentionPolicy(seconds, None, keep_newest)
    if failed_max_age.strip().lower() == "never":
        return RetentionPolicy(seconds, math.inf, keep_newest)
    try:
        return RetentionPolicy(seconds, flows.parse_duration(failed_max_age), keep_newest)
    except exc.InvalidFormat as error:
        raise typer.BadParameter(f"{error}, or never") from None


# For an app with a single command typer would omit the command's name; the callback prevents that.
@app.callback()
def _runs() -> None:
    """Delete old runs of flows (retention)."""


app.command("prune", help=help_of(prune))(prune)
