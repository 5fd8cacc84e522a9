"""Tables that a narrow terminal can hold: what tells least is left out, rather than everything cut short."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

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
