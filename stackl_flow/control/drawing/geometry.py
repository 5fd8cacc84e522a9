"""The few shapes that laying out a flow speaks of; every length is in SVG user units (pixels at scale 1)."""

from dataclasses import dataclass, field

Point = tuple[float, float]

#: Room between two boxes side by side, and between two rows of boxes.
GAP_X = 28.0
GAP_Y = 36.0

#: Width over height that a large picture aims at.
SHAPE = 1.5


@dataclass(frozen=True, slots=True)
class Item:
    """A box that wants a place."""

    key: str
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Route:
    """The way of one arrow.

    In a "curve" vertical pieces are straight and all others are drawn as an S; in an "elbow" every piece is
    straight and the corners are rounded.
    """

    source: str
    target: str
    points: tuple[Point, ...]
    shape: str = "curve"
    guarded: bool = False

    def moved(self, dx: float, dy: float) -> "Route":
        """Give the same way, moved by (dx, dy)."""
        points = tuple((x + dx, y + dy) for x, y in self.points)
        return Route(self.source, self.target, points, self.shape, self.guarded)


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Where the boxes of one flow stand (top left corners) and how its arrows run."""

    width: float
    height: float
    spots: dict[str, Point] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
