"""How states and times look on a terminal."""

from datetime import datetime

from rich.text import Text

from stackl_flow.control.drawing.words import span

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
