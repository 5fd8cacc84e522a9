"""Text in boxes: how wide it is, where it breaks, how a time span reads.

Names are drawn in a monospaced face, whose letters are all 0.6 em wide in every common font; so a width can
be told without a font at hand, and what is measured here fits on any machine.
"""

import re
import unicodedata

#: Width of one monospaced letter as a share of the font size (0.602 in DejaVu Sans Mono and Menlo, less
#: elsewhere).
LETTER = 0.605

_PIECE = re.compile(r"[^\s._:/\-]*[\s._:/\-]*")
#: Up to which span, times what, written how; the limits are where rounding would reach the next one.
_SHORT = ((0.9995, 1000.0, "{:.0f} ms"), (9.995, 1.0, "{:.2f} s"), (59.95, 1.0, "{:.1f} s"))
_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def cells(text: str) -> int:
    """Count the letter cells a text takes.

    Args:
        text: any text; wide letters (Chinese, Japanese, Korean, most signs) take two cells, combining marks
        none.

    Returns:
        The number of cells.
    """
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    none = sum(unicodedata.combining(letter) > 0 for letter in text)
    return len(text) + wide - none


def printable(text: str) -> str:
    """Replace the letters that a picture cannot hold: control codes, line breaks, lone surrogates.

    Args:
        text: any text.

    Returns:
        Text that every format can carry.
    """
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def shorten(text: str, limit: int) -> str:
    """Cut the middle out of a text that is too long: its start and its end tell more than its middle.

    Args:
        text: the text.
        limit: the most cells it may take, at least 3.

    Returns:
        The text itself when it fits, else its two ends around an ellipsis.
    """
    if cells(text) <= limit:
        return text
    head, tail = text[: limit // 2], text[limit // 2 - limit + 1 :]
    while cells(head + tail) > limit - 1:
        head, tail = (head[:-1], tail) if len(head) > len(tail) else (head, tail[1:])
    return f"{head}…{tail}"


def wrap(text: str, width: int, lines: int) -> tuple[str, ...]:
    """Break a name into lines, after a dot, dash, colon, slash, underscore or blank where there is one.

    Args:
        text: the name.
        width: the most cells in a line.
        lines: the most lines; what is over is cut from the middle of the name.

    Returns:
        At least one line, none wider than `width`.
    """
    text = " ".join(text.split()) or " "
    rows = _rows(text, width)
    limit = width * lines
    while len(rows) > lines:
        rows = _rows(shorten(text, limit), width)
        limit -= 1
    return tuple(rows)


def _rows(text: str, width: int) -> list[str]:
    rows = [""]
    for piece in _PIECE.findall(text):
        rest = piece
        if cells(rows[-1] + rest.rstrip()) <= width:
            rows[-1] += rest
            continue
        if rows[-1]:
            rows.append("")
        while cells(rest.rstrip()) > width:
            cut = _fit(rest, width)
            rows[-1], rest = rest[:cut], rest[cut:]
            rows.append("")
        rows[-1] = rest
    return [row.strip() for row in rows if row.strip()] or [" "]


def _fit(text: str, width: int) -> int:
    cut = min(width, len(text))
    while cut > 1 and cells(text[:cut]) > width:
        cut -= 1
    return cut


def span(seconds: float) -> str:
    """Write a time span for people.

    Args:
        seconds: the span in seconds.

    Returns:
        Such as "3 ms", "1.24 s", "2 min 5 s", "3 h 10 min".
    """
    for below, scale, shape in _SHORT:
        if seconds < below:
            return shape.format(max(seconds, 0.0) * scale)
    size, name, small, small_name = next(unit for unit in _UNITS if max(round(seconds), 60) >= unit[0])
    whole, rest = divmod(round(seconds / small), size // small)
    return f"{whole} {name} {rest} {small_name}" if rest else f"{whole} {name}"
