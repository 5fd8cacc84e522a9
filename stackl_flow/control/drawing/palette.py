"""Colours of the states, the same in every picture.

Each state has a light paper and a dark ink of the same hue; the state's name is always written too, so that
nobody has to tell red from green.
"""

from typing import NamedTuple


class Tint(NamedTuple):
    """The colours of one state, as "#rrggbb"."""

    paper: str
    ink: str


PLAIN = Tint("#f6f8fa", "#57606a")

#: Every state of a flow or an atom; the order is that of the legend.
TINTS: dict[str, Tint] = {
    "PENDING": Tint("#f3f4f6", "#6b7280"),
    "RUNNING": Tint("#dbeafe", "#1d4ed8"),
    "SUCCESS": Tint("#dcfce7", "#15803d"),
    "FAILURE": Tint("#fee2e2", "#b91c1c"),
    "RETRYING": Tint("#e0e7ff", "#4338ca"),
    "REVERTING": Tint("#ffedd5", "#c2410c"),
    "REVERTED": Tint("#fef3c7", "#a16207"),
    "REVERT_FAILURE": Tint("#fbcfe8", "#9d174d"),
    "IGNORE": Tint("#ffffff", "#9ca3af"),
    "SUSPENDING": Tint("#ede9fe", "#6d28d9"),
    "SUSPENDED": Tint("#ede9fe", "#6d28d9"),
    "RESUMING": Tint("#cffafe", "#0e7490"),
}


def tint(state: str | None) -> Tint:
    """Give the colours of a state.

    Args:
        state: a state's name, or None when there is none.

    Returns:
        Its colours; grey ones for a state nobody knows.
    """
    return PLAIN if state is None else TINTS.get(state, PLAIN)
