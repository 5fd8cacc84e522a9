"""Draws boxes and arrows: what a page says about parts and the data between them."""

from html import escape
from typing import NamedTuple

_INK, _PAPER, _STORE = "#1d4ed8", "#eff6ff", "#fef9c3"


class Box(NamedTuple):
    """A part; lines after the first are smaller. A store has another colour."""

    x: int
    y: int
    text: str
    width: int = 150
    height: int = 56
    store: bool = False


class Arrow(NamedTuple):
    """Data that goes from one box to another; `text` stands beside the middle."""

    source: str
    target: str
    text: str = ""
    both: bool = False
    dy: int = -6


JOBS = (
    {
        "poster": Box(10, 90, "Poster\nweb application, cron"),
        "board": Box(270, 20, "Job board\njobs, claims, leases", 170, store=True),
        "flows": Box(270, 170, "Persistence backend\nflows, atoms, history", 170, store=True),
        "one": Box(580, 20, "Conductor 1\nruns flows"),
        "two": Box(580, 170, "Conductor 2\nruns flows"),
    },
    (
        Arrow("poster", "flows", "1. store the flow", dy=22),
        Arrow("poster", "board", "2. post the job"),
        Arrow("one", "board", "3. claim, 5. report", both=True),
        Arrow("one", "flows", "4. checkpoint", dy=30),
        Arrow("two", "board", "", both=True),
        Arrow("two", "flows", "", both=True),
    ),
)
ENGINE = (
    {
        "flow": Box(10, 20, "Flow\ntasks, retries", 130),
        "plan": Box(180, 20, "Plan\ncompiled graph", 130),
        "scheduler": Box(350, 20, "Scheduler\npure decision", 130),
        "loop": Box(350, 130, "Loop\nmailbox, timers", 130),
        "executor": Box(180, 130, "Executor\nexecute, revert", 130),
        "journal": Box(520, 130, "Journal\none checkpoint a step", 160),
        "backend": Box(740, 130, "Persistence\nbackend", 130, store=True),
        "notifier": Box(520, 230, "Notifier\nlisteners", 160),
    },
    (
        Arrow("flow", "plan"),
        Arrow("plan", "scheduler"),
        Arrow("loop", "scheduler", "events, commands", both=True),
        Arrow("loop", "executor", "calls", both=True),
        Arrow("loop", "journal", ""),
        Arrow("journal", "backend", "commit"),
        Arrow("loop", "notifier", "then"),
    ),
)


def to_svg(boxes: dict[str, Box], arrows: tuple[Arrow, ...], title: str) -> str:
    """Draw boxes and arrows."""
    width = max(box.x + box.width for box in boxes.values()) + 10
    height = max(box.y + box.height for box in boxes.values()) + 20
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img"'
        f' font-family="system-ui, sans-serif" font-size="14"><title>{escape(title)}</title><defs>'
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
        ' orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" fill="#57606a"/></marker></defs>'
        f'<rect width="{width}" height="{height}" fill="#fff" rx="6"/>'
    )
    lines = [_arrow(boxes[arrow.source], boxes[arrow.target], arrow) for arrow in arrows]
    return "\n".join([head, *lines, *(_box(box) for box in boxes.values()), "</svg>\n"])


def _box(box: Box) -> str:
    paper = _STORE if box.store else _PAPER
    first, *rest = box.text.split("\n")
    x = box.x + box.width / 2
    text = f'<text x="{x:.0f}" y="{box.y + 24}" text-anchor="middle" fill="#1f2328">{escape(first)}</text>'
    for number, line in enumerate(rest):
        text += (
            f'<text x="{x:.0f}" y="{box.y + 42 + 14 * number}" text-anchor="middle" font-size="11"'
            f' fill="#57606a">{escape(line)}</text>'
        )
    return (
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="6" fill="{paper}"'
        f' stroke="{_INK if not box.store else "#a16207"}"/>{text}'
    )


def _arrow(source: Box, target: Box, arrow: Arrow) -> str:
    x0, y0, x1, y1 = _ends(source, target)
    start = ' marker-start="url(#head)"' if arrow.both else ""
    line = f'<path d="M{x0} {y0}L{x1} {y1}" fill="none" stroke="#57606a" marker-end="url(#head)"{start}/>'
    x, y = (x0 + x1) / 2, (y0 + y1) / 2 + arrow.dy
    return (
        f'{line}<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle" font-size="11" fill="#57606a"'
        f' stroke="#fff" stroke-width="4" paint-order="stroke">{escape(arrow.text)}</text>'
    )


def _ends(source: Box, target: Box) -> tuple[int, int, int, int]:
    """Find where a line between two boxes leaves the one and meets the other."""
    middle0, middle1 = source.y + source.height // 2, target.y + target.height // 2
    if source.x + source.width <= target.x:
        return source.x + source.width, middle0, target.x, middle1
    if target.x + target.width <= source.x:
        return source.x, middle0, target.x + target.width, middle1
    x0, x1 = source.x + source.width // 2, target.x + target.width // 2
    if source.y < target.y:
        return x0, source.y + source.height, x1, target.y
    return x0, source.y, x1, target.y + target.height
