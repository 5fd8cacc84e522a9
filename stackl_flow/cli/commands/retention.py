"""`stackl-flow books`: logbooks, removed when they have been kept long enough."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from stackl_flow import exceptions as exc
from stackl_flow.cli.errors import answering
from stackl_flow.cli.options import Db, Json, help_of, needed
from stackl_flow.cli.tables import books_table
from stackl_flow.control import flows, opening
from stackl_flow.persistence.retention import RetentionPolicy

app = typer.Typer(no_args_is_help=True, help="Remove stored flows that have ended long enough ago.")

OlderThan = Annotated[
    str,
    typer.Option(
        "--older-than", metavar="AGE", help="Those that ended at least so long ago, such as 7d or 12h."
    ),
]
FailedOlderThan = Annotated[
    str | None,
    typer.Option(
        "--failed-older-than", metavar="AGE", help="Another age for those that failed; 'never' keeps them."
    ),
]
KeepNewest = Annotated[
    int,
    typer.Option("--keep-newest", min=0, metavar="N", help="The N that ended last stay, whatever their age."),
]
OnlyJobs = Annotated[bool, typer.Option("--only-jobs", help="Only those that were posted as jobs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what would go, and remove nothing.")]


def prune(
    older_than: OlderThan,
    failed_older_than: FailedOlderThan = None,
    keep: KeepNewest = 0,
    only_jobs: OnlyJobs = False,
    dry_run: DryRun = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Remove logbooks, with their flows and histories, whose flows all ended long enough ago.

    A book with a flow that has not ended, or is stuck in REVERT_FAILURE, always stays. What came of a job
    can be asked of its board all the same.

    [bold]Examples[/bold]

      stackl-flow runs prune --older-than 7d --db flows.db --dry-run

      stackl-flow runs prune --older-than 7d --failed-older-than never --keep-newest 100 --db flows.db
    """
    place = needed(db)
    rule = keeping(older_than, failed_older_than, keep)
    # Values are left as they are stored: whoever tidies up need not be able to import their types.
    with answering(as_json=as_json) as out, opening.for_looking(place) as backend:
        found = flows.prune(backend, rule, only_jobs=only_jobs, dry_run=dry_run)
        out.answer(books_table(found), {"removed": not dry_run, "runs": found})
        out.say(f"{len(found)} logbooks {'would go' if dry_run else 'removed'}")


def keeping(older_than: str, failed_older_than: str | None, newest: int = 0) -> RetentionPolicy:
    """Read the rule that the options give.

    Args:
        older_than: an age.
        failed_older_than: an age, "never", or None.
        newest: how many stay.

    Returns:
        The rule.

    Raises:
        BadParameter: something is no age.
    """
    try:
        seconds = flows.span(older_than)
    except exc.InvalidFormat as error:
        raise typer.BadParameter(str(error)) from None
    failed = failed_older_than
    if failed is None or failed.strip().lower() == "never":
        return RetentionPolicy(seconds, None if failed is None else math.inf, newest)
    try:
        return RetentionPolicy(seconds, flows.span(failed), newest)
    except exc.InvalidFormat as error:
        raise typer.BadParameter(f"{error}, or never") from None


# With a single command typer would drop its name; this keeps `runs prune` two words.
@app.callback()
def _books() -> None:
    """Remove stored flows that have ended long enough ago."""


app.command("prune", help=help_of(prune))(prune)
