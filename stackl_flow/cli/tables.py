"""Tables and other renderables for flows, jobs and conductors.

On a narrow terminal a `ResponsiveTable` drops its least important columns; states are never truncated.
Consoles without a terminal drop the colors.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from stackl_flow import states
from stackl_flow.control.boards import ConductorView, JobView
from stackl_flow.control.views import AtomView, FlowSummary, FlowView
from stackl_flow.diagrams.model import format_duration
from stackl_flow.jobboards.unreadable import UnreadableEntry
from stackl_flow.persistence.records import Transition
from stackl_flow.persistence.retention import FinishedLogBook

# ------------------------------------------------------------- responsive tables

#: Blank cells between two columns.
_GAP = 3
#: Minimum width of a column whose cells can be wrapped.
_WRAPPED_WIDTH = 20
#: Length to which uuids are shortened; commands accept the beginning of a uuid.
_UUID_PREFIX = 8

Cell = str | Text
#: One step that makes a table narrower: changes the columns in place.
Reduction = Callable[[dict[str, "Column"]], None]


@dataclass(slots=True)
class Column:
    """One column: its cells, whether long cells are wrapped, and whether it is right-aligned."""

    wraps: bool = False
    right: bool = False
    cells: list[Cell] = field(default_factory=list)

    def min_width(self, name: str) -> int:
        """Return the minimum width in character cells, for a column with this header."""
        width = max(cell_len(cell.plain if isinstance(cell, Text) else cell) for cell in (name, *self.cells))
        return min(width, _WRAPPED_WIDTH) if self.wraps else width


def without(name: str) -> Reduction:
    """Return a reduction that drops a column."""

    def drop(columns: dict[str, Column]) -> None:
        columns.pop(name, None)

    return drop


def shortened(name: str, length: int) -> Reduction:
    """Return a reduction that shows only the beginning of a column's cells."""

    def shorten(columns: dict[str, Column]) -> None:
        old = columns[name]
        columns[name] = Column(old.wraps, old.right, [cell[:length] for cell in old.cells])

    return shorten


class ResponsiveTable:
    """A table that is laid out when the width of the console is known.

    Args:
        columns: names of the columns; the prefix ">" aligns a column to the right, "~" lets it wrap.
        reductions: applied one after the other until the table fits.
    """

    def __init__(self, columns: Sequence[str], reductions: Sequence[Reduction] = ()) -> None:
        self._columns = {
            name.lstrip("~>"): Column(wraps=name.startswith("~"), right=name.startswith(">"))
            for name in columns
        }
        self._reductions = reductions

    def add_row(self, *cells: Cell) -> None:
        """Add a row with one cell per column."""
        for column, cell in zip(self._columns.values(), cells, strict=True):
            column.cells.append(cell)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay out the table for the width of the console."""
        columns = dict(self._columns)
        for reduce in self._reductions:
            width = sum(column.min_width(name) for name, column in columns.items())
            if width + _GAP * (len(columns) - 1) <= options.max_width:
                break
            reduce(columns)
        yield _rich_table(columns)


def _rich_table(columns: dict[str, Column]) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False, show_edge=False, padding=(0, 1), header_style="bold")
    for name, column in columns.items():
        table.add_column(
            name,
            justify="right" if column.right else "left",
            no_wrap=not column.wraps,
            overflow="fold" if column.wraps else "ellipsis",
        )
    for row in _rows(columns):
        table.add_row(*row)
    return table


def _rows(columns: dict[str, Column]) -> Iterator[tuple[Cell, ...]]:
    return zip(*(column.cells for column in columns.values()), strict=True)


# ------------------------------------------------------------- states and times

_STATE_STYLES = {
    "PENDING": "dim",
    "QUEUED": "blue",
    "RUNNING": "bold blue",
    "SUCCESS": "green",
    "FAILURE": "bold red",
    "RETRYING": "blue",
    "REVERTING": "bold dark_orange",
    "REVERTED": "yellow",
    "REVERT_FAILURE": "bold magenta",
    "IGNORE": "dim",
    "SUSPENDING": "bold cyan",
    "SUSPENDED": "cyan",
    "RESUMING": "cyan",
}


def state_text(state: str | None) -> Text:
    """Return a state of a flow or atom in its color."""
    return Text(state or "-", style=_STATE_STYLES.get(state or "", ""), no_wrap=True)


def time_text(at: float | None) -> str:
    """Return a time of day in the local time zone, such as "14:03:07.250"; "-" for None."""
    return "-" if at is None else datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S.%f")[:-3]


def date_text(at: float | None) -> str:
    """Return date and time in the local time zone, such as "2024-05-01 14:03:07"; "-" for None."""
    return "-" if at is None else datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration_text(seconds: float | None) -> str:
    """Return a duration such as "12 ms"; "-" for None."""
    return "-" if seconds is None else format_duration(seconds)


# ------------------------------------------------------------- flows

_RUNNING = frozenset({states.RUNNING, states.REVERTING})


def flow_panel(view: FlowView) -> RenderableType:
    """Show a flow: a head, its atoms, and the error of each failed atom."""
    parts: list[RenderableType] = [flow_head(view), atoms_table(view)]
    if view.failures():
        parts.append(failures_list(view))
    return Group(*parts)


def flow_head(view: FlowView) -> Text:
    """Show a flow in two or three lines, without its atoms."""
    counts = ", ".join(f"{count} {state}" for state, count in view.counts().items()) or "no atoms"
    head = Text.assemble(
        (view.flow.name, "bold"), "  ", state_text(view.flow.state), "  ", (view.flow.uuid, "dim")
    )
    head.append(f"\n{counts}; started {date_text(view.started)}, ran for {duration_text(view.seconds)}")
    if view.factory:
        head.append(f"\nfactory {view.factory}", style="dim")
    return head


def atoms_table(view: FlowView) -> ResponsiveTable:
    """Show the atoms of a flow with their states and times."""
    has_attempts = any(atom.attempts > 1 for atom in view.atoms)
    names = ("~atom", "state", "started", "ended", ">duration", *([">attempts"] if has_attempts else []))
    table = ResponsiveTable(names, [without(name) for name in ("started", "ended", "duration", "attempts")])
    for atom in view.atoms:
        name = Text.assemble(Text(atom.name), (" (retry)", "dim") if atom.kind == "retry" else "")
        times = (time_text(atom.started), time_text(atom.ended), _atom_duration(atom))
        table.add_row(name, _atom_state(atom), *times, *([str(atom.attempts)] if has_attempts else []))
    return table


def _atom_state(atom: AtomView) -> Text:
    text = state_text(atom.state)
    if atom.progress and atom.state in _RUNNING:
        text.append(f" {atom.progress:.0%}".replace("%", " %"), style="dim")
    return text


def _atom_duration(atom: AtomView) -> str:
    if atom.revert_seconds is None or atom.seconds is None:
        return duration_text(atom.seconds)
    return (
        f"{duration_text(atom.seconds - atom.revert_seconds)} + {duration_text(atom.revert_seconds)} revert"
    )


def failures_list(view: FlowView) -> RenderableType:
    """Show one line for each failure."""
    lines = []
    for atom, failure in view.failures():
        method = " in revert" if failure.during == "revert" else ""
        lines.append(Text.assemble((atom.name, "bold"), f" failed{method}: ", (failure.line, "red")))
    return Group(*lines)


def flows_table(flows: Sequence[FlowSummary]) -> ResponsiveTable:
    """Show a list of flows."""
    table = ResponsiveTable(
        ("uuid", "~name", "state", "created", "updated", "~owner"),
        (without("owner"), without("updated"), shortened("uuid", _UUID_PREFIX), without("created")),
    )
    for flow in flows:
        created, updated = date_text(flow.created), date_text(flow.updated)
        table.add_row(
            flow.uuid, Text(flow.name), state_text(flow.state), created, updated, Text(flow.owner or "-")
        )
    return table


def history_table(transitions: Iterable[Transition]) -> ResponsiveTable:
    """Show the transitions of a flow."""
    further = [name for name in Transition._fields[5:] if name != "started_at"]  # left to --json
    names = (">seq", "time", "~atom", "from", "to", *(f"~{name}" for name in further))
    table = ResponsiveTable(names, [without(name) for name in (*further, "time", "seq", "from")])
    for transition in transitions:
        atom = Text("(flow)", style="italic") if transition.atom is None else Text(transition.atom)
        at = f"{date_text(transition.at)[:10]} {time_text(transition.at)}"
        old, new = state_text(transition.old), state_text(transition.new)
        texts = [Text(getattr(transition, name) or "-") for name in further]
        table.add_row(str(transition.seq), at, atom, old, new, *texts)
    return table


def values_table(values: Iterable[tuple[str, str]]) -> ResponsiveTable:
    """Show named values, given as JSON text."""
    table = ResponsiveTable(("~name", "~value"))
    for name, text in values:
        table.add_row(Text(name), Text(text, overflow="fold"))
    return table


def logbooks_table(books: Sequence[FinishedLogBook]) -> ResponsiveTable:
    """Show logbooks whose flows have all finished."""
    table = ResponsiveTable(
        ("uuid", "~name", ">flows", "finished", "outcome", "~job"),
        (without("job"), without("flows"), shortened("uuid", _UUID_PREFIX)),
    )
    for book in books:
        outcome = Text("failed", style="yellow") if book.failed else Text("succeeded", style="green")
        finished = date_text(book.finished_at)
        table.add_row(book.uuid, Text(book.name), str(book.flows), finished, outcome, Text(book.job or "-"))
    return table


# ------------------------------------------------------------- jobs and conductors

_JOB_STATE_STYLES = {
    "waiting": "",
    "scheduled": "dim",
    "claimed": "cyan",
    "succeeded": "green",
    "failed": "red",
    "dead": "red",
}


def jobs_table(jobs: Sequence[JobView]) -> ResponsiveTable:
    """Show a list of jobs."""
    ended = any(job.ended is not None for job in jobs)
    table = ResponsiveTable(
        ("uuid", "~name", "priority", "state", "~owner", ">claims", "created", *(["ended"] if ended else [])),
        (without("created"), without("claims"), shortened("uuid", _UUID_PREFIX), without("owner")),
    )
    for job in jobs:
        table.add_row(
            job.uuid,
            Text(job.name),
            job.priority,
            _job_state(job),
            Text(job.owner or "-"),
            str(len(job.claims)) if job.claims or job.ended is None else "-",
            date_text(job.created),
            *([date_text(job.ended)] if ended else []),
        )
    return table


def job_panel(job: JobView) -> RenderableType:
    """Show a job with its details, its outcome and its claims."""
    head = Text.assemble((job.name, "bold"), "  ", _job_state(job), "  ", (job.uuid, "dim"))
    head.append(f"\npriority {job.priority}; posted {date_text(job.created)}")
    if job.owner:
        head.append(f"; claimed by {job.owner}")
    if job.ended is not None:
        head.append(f"; ended {date_text(job.ended)}")
    if job.not_before is not None:
        head.append(f"; not before {date_text(job.not_before)}")
    if job.required_capabilities:
        head.append(f"\nrequires {', '.join(job.required_capabilities)}")
    if job.reason:
        head.append(f"\n{job.reason}", style="red")
    for name, value in {**job.details, **(job.outcome or {})}.items():
        head.append(f"\n{name}: {value}")
    if not job.claims:
        return head
    claims = ResponsiveTable(("~claimed by", "at", "ended", "~reason"), (without("at"),))
    for claim in job.claims:
        claims.add_row(Text(claim.owner), date_text(claim.at), claim.ended or "-", Text(claim.reason))
    return Group(head, claims)


def unreadable_table(entries: Sequence[UnreadableEntry]) -> ResponsiveTable:
    """Show the entries of a board that cannot be read."""
    table = ResponsiveTable(
        ("id", "kind", "uuid", "found", "~reason"),
        (without("found"), shortened("uuid", _UUID_PREFIX), without("kind")),
    )
    for entry in entries:
        table.add_row(
            entry.id, Text(entry.kind), Text(entry.uuid or "-"), date_text(entry.at), Text(entry.reason)
        )
    return table


def _job_state(job: JobView) -> Text:
    return Text(job.state, style=_JOB_STATE_STYLES.get(job.state, ""))


def conductors_table(conductors: Iterable[ConductorView]) -> ResponsiveTable:
    """Show the conductors of a board."""
    table = ResponsiveTable(
        ("~name", "host", ">pid", ">slots", "~jobs"), (without("pid"), without("host"), without("slots"))
    )
    for conductor in conductors:
        pid = "-" if conductor.pid is None else str(conductor.pid)
        slots = "-" if conductor.slots is None else str(conductor.slots)
        jobs = Text(", ".join(conductor.jobs) or "-")
        table.add_row(Text(conductor.name), conductor.hostname, pid, slots, jobs)
    return table
