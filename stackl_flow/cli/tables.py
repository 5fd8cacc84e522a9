"""Answers of the desk as tables; they carry colours, and a console without a terminal leaves those out."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stackl_flow.cli.styles import clock_text, date_text, span_text, state_text
from stackl_flow.control.views import AtomView, FlowSummary, FlowView, MoveView


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


def atoms_table(view: FlowView) -> Table:
    """Show the atoms of a flow with their states and times.

    Args:
        view: the flow.

    Returns:
        Something to print.
    """
    tried = any(atom.attempts > 1 for atom in view.atoms)
    table = _table("atom", "state", "started", "ended", ">took", *([">tries"] if tried else []))
    for atom in view.atoms:
        times = (clock_text(atom.started), clock_text(atom.ended), _took(atom))
        table.add_row(_name(atom), state_text(atom.state), *times, *([str(atom.attempts)] if tried else []))
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


def flows_table(flows: Sequence[FlowSummary]) -> Table:
    """Show a list of flows.

    Args:
        flows: the flows.

    Returns:
        Something to print.
    """
    table = _table("uuid", "name", "state", "created", "updated", "owner")
    for flow in flows:
        created, updated = date_text(flow.created), date_text(flow.updated)
        table.add_row(
            flow.uuid, Text(flow.name), state_text(flow.state), created, updated, Text(flow.owner or "-")
        )
    return table


def history_table(moves: Iterable[MoveView]) -> Table:
    """Show the moves of a flow.

    Args:
        moves: the moves, in order.

    Returns:
        Something to print.
    """
    table = _table(">seq", "when", "atom", "from", "to", "owner")
    for move in moves:
        who = Text(move.atom) if move.atom is not None else Text("(the flow)", style="italic")
        when = f"{date_text(move.at)[:10]} {clock_text(move.at)}"
        table.add_row(str(move.seq), when, who, state_text(move.old), state_text(move.new), Text(move.owner))
    return table


def values_table(values: Iterable[tuple[str, str]]) -> Table:
    """Show named values.

    Args:
        values: names and the JSON text of their values.

    Returns:
        Something to print.
    """
    table = _table("name", "value")
    for name, text in values:
        table.add_row(Text(name), Text(text, overflow="fold"))
    return table


def _table(*columns: str) -> Table:
    """Make an empty table; a column whose name starts with ">" is set to the right."""
    table = Table(box=box.SIMPLE, pad_edge=False, show_edge=False, padding=(0, 1), header_style="bold")
    for column in columns:
        name = column.removeprefix(">")
        free = name in {"atom", "name", "value", "owner"}
        table.add_column(
            name,
            justify="right" if name != column else "left",
            no_wrap=not free,
            overflow="fold" if free else "ellipsis",
        )
    return table


def _name(atom: AtomView) -> Text:
    return Text.assemble(Text(atom.name), (" (retry)", "dim") if atom.kind == "retry" else "")


def _took(atom: AtomView) -> str:
    if atom.undoing is None or atom.seconds is None:
        return span_text(atom.seconds)
    return f"{span_text(atom.seconds - atom.undoing)} + {span_text(atom.undoing)} undoing"
