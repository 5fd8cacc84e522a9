"""Jobs and conductors as tables."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from stackl_flow.cli.fitting import FittingTable, shortened, without
from stackl_flow.cli.styles import date_text
from stackl_flow.control.boards import JobView, WorkerView

_UUID_START = 8
_COLOURS = {"waiting": "", "later": "dim", "claimed": "cyan", "done": "green", "trashed": "red"}


def jobs_table(jobs: Sequence[JobView]) -> FittingTable:
    """Show a list of jobs.

    Args:
        jobs: the jobs.

    Returns:
        Something to print.
    """
    table = FittingTable(
        ("uuid", "~name", "priority", "state", "~owner", ">claims", "created"),
        (without("created"), without("claims"), shortened("uuid", _UUID_START), without("owner")),
    )
    for job in jobs:
        table.add_row(
            job.uuid,
            Text(job.name),
            job.priority,
            _state(job),
            Text(job.owner or "-"),
            str(len(job.claims)),
            date_text(job.created),
        )
    return table


def job_panel(job: JobView) -> RenderableType:
    """Show all of a job.

    Args:
        job: the job.

    Returns:
        Something to print.
    """
    head = Text.assemble((job.name, "bold"), "  ", _state(job), "  ", (job.uuid, "dim"))
    head.append(f"\n{job.priority}; posted {date_text(job.created)}")
    if job.owner:
        head.append(f"; claimed by {job.owner}")
    if job.not_before is not None:
        head.append(f"; not before {date_text(job.not_before)}")
    if job.needs:
        head.append(f"\nneeds {', '.join(job.needs)}")
    if job.reason:
        head.append(f"\n{job.reason}", style="red")
    for name, value in {**job.details, **(job.outcome or {})}.items():
        head.append(f"\n{name}: {value}")
    return Group(head, _claims(job)) if job.claims else head


def conductors_table(workers: Iterable[WorkerView]) -> FittingTable:
    """Show the conductors at a board.

    Args:
        workers: the conductors.

    Returns:
        Something to print.
    """
    table = FittingTable(
        ("~name", "host", ">pid", ">slots", "~jobs"), (without("pid"), without("host"), without("slots"))
    )
    for worker in workers:
        pid, slots = (str(number) if number is not None else "-" for number in (worker.pid, worker.slots))
        table.add_row(Text(worker.name), worker.hostname, pid, slots, Text(", ".join(worker.jobs) or "-"))
    return table


def _claims(job: JobView) -> FittingTable:
    table = FittingTable(("~claimed by", "at", "ended"), (without("at"),))
    for claim in job.claims:
        table.add_row(Text(claim.who), date_text(claim.at), claim.ended or "-")
    return table


def _state(job: JobView) -> Text:
    return Text(job.state, style=_COLOURS[job.state])
