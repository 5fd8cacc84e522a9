"""Answers of the desk as tables; they carry colours, and a console without a terminal leaves those out.

Jobs and conductors as tables.

Tables that a narrow terminal can hold: what tells least is left out, rather than everything cut short.

How states and times look on a terminal.
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
from stackl_flow.control.boards import JobView, WorkerView
from stackl_flow.control.views import AtomView, FlowSummary, FlowView, MoveView
from stackl_flow.diagrams.model import span
from stackl_flow.persistence.retention import FinishedLogBook

#: Blank cells between two columns.
_GAP = 3
#: A column that may be folded needs no more than this.
_FOLDED = 20

Cell = str | Text
#: One way to save room: takes the columns that are shown, and changes them.
Saving = Callable[[dict[str, "Column"]], None]


@dataclass(slots=True)
class Column:
    """One column: its cells, whether long ones may be folded, and whether it is set to the right."""

    folds: bool = False
    right: bool = False
    cells: list[Cell] = field(default_factory=list)

    def need(self, name: str) -> int:
        """Count the cells that it needs at least.

        Args:
            name: what stands above it.

        Returns:
            The width.
        """
        width = max(cell_len(cell.plain if isinstance(cell, Text) else cell) for cell in (name, *self.cells))
        return min(width, _FOLDED) if self.folds else width


def without(name: str) -> Saving:
    """Save room by leaving out a column.

    Args:
        name: the column.

    Returns:
        The saving.
    """

    def leave_out(columns: dict[str, Column]) -> None:
        columns.pop(name, None)

    return leave_out


def shortened(name: str, letters: int) -> Saving:
    """Save room by showing only the beginning of what a column holds.

    Args:
        name: the column.
        letters: how much of it.

    Returns:
        The saving.
    """

    def shorten(columns: dict[str, Column]) -> None:
        old = columns[name]
        columns[name] = Column(old.folds, old.right, [cell[:letters] for cell in old.cells])

    return shorten


class FittingTable:
    """A table that is laid out when the width of the console is known.

    Args:
        columns: the columns' names; a ">" before one sets it to the right, a "~" lets it be folded.
        savings: what to do when there is no room for all, one after the other until there is.
    """

    def __init__(self, columns: Sequence[str], savings: Sequence[Saving] = ()) -> None:
        self._columns = {
            name.lstrip("~>"): Column(folds=name.startswith("~"), right=name.startswith(">"))
            for name in columns
        }
        self._savings = savings

    def add_row(self, *cells: Cell) -> None:
        """Add a row.

        Args:
            cells: one for each column.
        """
        for column, cell in zip(self._columns.values(), cells, strict=True):
            column.cells.append(cell)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the table in the width that there is."""
        columns = dict(self._columns)
        for saving in self._savings:
            needed = sum(column.need(name) for name, column in columns.items()) + _GAP * (len(columns) - 1)
            if needed <= options.max_width:
                break
            saving(columns)
        yield _drawn(columns)


def _drawn(columns: dict[str, Column]) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False, show_edge=False, padding=(0, 1), header_style="bold")
    for name, column in columns.items():
        table.add_column(
            name,
            justify="right" if column.right else "left",
            no_wrap=not column.folds,
            overflow="fold" if column.folds else "ellipsis",
        )
    for row in _rows(columns):
        table.add_row(*row)
    return table


def _rows(columns: dict[str, Column]) -> Iterator[tuple[Cell, ...]]:
    return zip(*(column.cells for column in columns.values()), strict=True)


_STYLES = {
    "PENDING": "dim",
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
    """Write a state in its colour.

    Args:
        state: its name, or None.

    Returns:
        The text.
    """
    return Text(state or "-", style=_STYLES.get(state or "", ""), no_wrap=True)


def clock_text(at: float | None) -> str:
    """Write a time of day, in the zone of this machine.

    Args:
        at: seconds since 1970, or None.

    Returns:
        Such as "14:03:07.250"; "-" for None.
    """
    return "-" if at is None else datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S.%f")[:-3]


def date_text(at: float | None) -> str:
    """Write date and time, in the zone of this machine.

    Args:
        at: seconds since 1970, or None.

    Returns:
        Such as "2024-05-01 14:03:07"; "-" for None.
    """
    return "-" if at is None else datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def span_text(seconds: float | None) -> str:
    """Write a time span.

    Args:
        seconds: the span, or None.

    Returns:
        Such as "12 ms"; "-" for None.
    """
    return "-" if seconds is None else span(seconds)


#: The beginning of a uuid names a flow in every command, unless another begins alike.
_UUID_START = 8
_AT_WORK = frozenset({states.RUNNING, states.REVERTING})


def flow_panel(view: FlowView) -> RenderableType:
    """Show all of a flow: a head line, its atoms, and why what failed.

    Args:
        view: the flow.

    Returns:
        Something to print.
    """
    parts: list[RenderableType] = [flow_head(view), atoms_table(view)]
    if view.failures():
        parts.append(failures_list(view))
    return Group(*parts)


def flow_head(view: FlowView) -> Text:
    """Show a flow in a few lines, without its atoms.

    Args:
        view: the flow.

    Returns:
        Something to print.
    """
    counts = ", ".join(f"{count} {state}" for state, count in view.counts().items()) or "no atoms"
    head = Text.assemble(
        (view.flow.name, "bold"), "  ", state_text(view.flow.state), "  ", (view.flow.uuid, "dim")
    )
    head.append(f"\n{counts}; started {date_text(view.started)}, worked {span_text(view.seconds)}")
    if view.factory:
        head.append(f"\nfactory {view.factory}", style="dim")
    return head


def atoms_table(view: FlowView) -> FittingTable:
    """Show the atoms of a flow with their states and times.

    Args:
        view: the flow.

    Returns:
        Something to print.
    """
    tried = any(atom.attempts > 1 for atom in view.atoms)
    names = ("~atom", "state", "started", "ended", ">took", *([">tries"] if tried else []))
    table = FittingTable(names, [without(name) for name in ("started", "ended", "took", "tries")])
    for atom in view.atoms:
        times = (clock_text(atom.started), clock_text(atom.ended), _took(atom))
        table.add_row(_name(atom), _state(atom), *times, *([str(atom.attempts)] if tried else []))
    return table


def failures_list(view: FlowView) -> RenderableType:
    """Show why what failed, one line a failure.

    Args:
        view: the flow.

    Returns:
        Something to print.
    """
    lines = []
    for atom, failure in view.failures():
        undoing = " while being undone" if failure.during == "revert" else ""
        lines.append(Text.assemble((atom.name, "bold"), f" failed{undoing}: ", (failure.line, "red")))
    return Group(*lines)


def flows_table(flows: Sequence[FlowSummary]) -> FittingTable:
    """Show a list of flows.

    Args:
        flows: the flows.

    Returns:
        Something to print.
    """
    table = FittingTable(
        ("uuid", "~name", "state", "created", "updated", "~owner"),
        (without("owner"), without("updated"), shortened("uuid", _UUID_START), without("created")),
    )
    for flow in flows:
        created, updated = date_text(flow.created), date_text(flow.updated)
        table.add_row(
            flow.uuid, Text(flow.name), state_text(flow.state), created, updated, Text(flow.owner or "-")
        )
    return table


def books_table(books: Sequence[FinishedLogBook]) -> FittingTable:
    """Show a list of logbooks whose flows have ended.

    Args:
        books: the books.

    Returns:
        Something to print.
    """
    table = FittingTable(
        ("uuid", "~name", ">flows", "ended", "how", "~job"),
        (without("job"), without("flows"), shortened("uuid", _UUID_START)),
    )
    for book in books:
        how = Text("failed", style="yellow") if book.failed else Text("done", style="green")
        ended = date_text(book.finished_at)
        table.add_row(book.uuid, Text(book.name), str(book.flows), ended, how, Text(book.job or "-"))
    return table


def history_table(moves: Iterable[MoveView]) -> FittingTable:
    """Show the moves of a flow.

    Args:
        moves: the moves, in order.

    Returns:
        Something to print.
    """
    names = (">seq", "when", "~atom", "from", "to", "~owner")
    table = FittingTable(names, [without(name) for name in ("owner", "when", "seq", "from")])
    for move in moves:
        who = Text(move.atom) if move.atom is not None else Text("(the flow)", style="italic")
        when = f"{date_text(move.at)[:10]} {clock_text(move.at)}"
        table.add_row(str(move.seq), when, who, state_text(move.old), state_text(move.new), Text(move.owner))
    return table


def values_table(values: Iterable[tuple[str, str]]) -> FittingTable:
    """Show named values.

    Args:
        values: names and the JSON text of their values.

    Returns:
        Something to print.
    """
    table = FittingTable(("~name", "~value"))
    for name, text in values:
        table.add_row(Text(name), Text(text, overflow="fold"))
    return table


def _name(atom: AtomView) -> Text:
    return Text.assemble(Text(atom.name), (" (retry)", "dim") if atom.kind == "retry" else "")


def _state(atom: AtomView) -> Text:
    text = state_text(atom.state)
    if atom.progress and atom.state in _AT_WORK:
        text.append(f" {atom.progress:.0%}".replace("%", " %"), style="dim")
    return text


def _took(atom: AtomView) -> str:
    if atom.revert_seconds is None or atom.seconds is None:
        return span_text(atom.seconds)
    return (
        f"{span_text(atom.seconds - atom.revert_seconds)} + {span_text(atom.revert_seconds)} revert_seconds"
    )


_COLOURS = {
    "waiting": "",
    "scheduled": "dim",
    "claimed": "cyan",
    "succeeded": "green",
    "failed": "red",
    "dead": "red",
}


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
            _job_tables_state(job),
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
    head = Text.assemble((job.name, "bold"), "  ", _job_tables_state(job), "  ", (job.uuid, "dim"))
    head.append(f"\n{job.priority}; posted {date_text(job.created)}")
    if job.owner:
        head.append(f"; claimed by {job.owner}")
    if job.not_before is not None:
        head.append(f"; not before {date_text(job.not_before)}")
    if job.required_capabilities:
        head.append(f"\nneeds {', '.join(job.required_capabilities)}")
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
        table.add_row(Text(claim.owner), date_text(claim.at), claim.ended or "-")
    return table


def _job_tables_state(job: JobView) -> Text:
    return Text(job.state, style=_COLOURS[job.state])
