"""The legend under a picture: the states that occur in it, in the order of the palette."""

from dataclasses import dataclass

from stackl_flow.control.drawing.model import Drawing
from stackl_flow.control.drawing.palette import TINTS
from stackl_flow.control.drawing.scene import NOTE_SIZE
from stackl_flow.control.drawing.words import LETTER, cells


@dataclass(frozen=True, slots=True)
class Legend:
    """Where each state's entry starts, and the width of all."""

    width: float
    items: tuple[tuple[float, str], ...]


def legend(drawing: Drawing) -> Legend:
    """List the states of a drawing.

    Args:
        drawing: what is shown.

    Returns:
        The entries; none when the drawing has no states.
    """
    states = {node.mark.state for node in drawing.nodes if node.mark is not None}
    x = 0.0
    items = []
    for state in [*(name for name in TINTS if name in states), *sorted(states - TINTS.keys())]:
        items.append((x, state))
        x += 20 + cells(state) * LETTER * NOTE_SIZE + 22
    return Legend(x, tuple(items))
