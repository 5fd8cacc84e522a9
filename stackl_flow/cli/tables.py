"""Answers of the desk as tables; they carry colours, and a console without a terminal leaves those out."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from stackl_flow import states
from stackl_flow.cli.fitting import FittingTable, shortened, without
from stackl_flow.cli.styles import clock_text, date_text, span_text, state_text
from stackl_flow.control.views import AtomView, FlowSummary, FlowView, MoveView
from stackl_flow.persistence.pruning import EndedBook

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


def books_table(books: Sequence[EndedBook]) -> FittingTable:
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
        ended = date_text(book.ended)
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
    if atom.undoing is None or atom.seconds is None:
        return span_text(atom.seconds)
    return f"{span_text(atom.seconds - atom.undoing)} + {span_text(atom.undoing)} undoing"
