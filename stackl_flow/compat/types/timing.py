"""TaskFlow's `taskflow.types.timing`: an interruptible timeout."""

from __future__ import annotations

import threading
from collections.abc import Callable

EventFactory = Callable[[], threading.Event]


class Timeout:
    """A wait of a fixed length that another thread can interrupt.

    Args:
        value: the length in seconds.
        event_factory: creates the event to wait for.

    Raises:
        ValueError: the length is negative.
    """

    def __init__(self, value: float, event_factory: EventFactory = threading.Event) -> None:
        if value < 0:
            raise ValueError(f"Timeout value must be greater than or equal to zero, not '{value}'")
        self._value = value
        self._event = event_factory()

    @property
    def value(self) -> float:
        """The length in seconds."""
        return self._value

    def interrupt(self) -> None:
        """Interrupt the wait."""
        self._event.set()

    def is_stopped(self) -> bool:
        """Return whether it was interrupted."""
        return self._event.is_set()

    def wait(self) -> None:
        """Block until the time has passed or another thread interrupts."""
        self._event.wait(self._value)

    def reset(self) -> None:
        """Clear the interruption."""
        self._event.clear()


def convert_to_timeout(
    value: float | str | Timeout | None = None,
    default_value: float | str | Timeout | None = None,
    event_factory: EventFactory = threading.Event,
) -> Timeout:
    """Convert a number, or a number as text, to a timeout.

    Args:
        value: seconds, or a timeout, which is returned as it is.
        default_value: used if ``value`` is None.
        event_factory: creates the event to wait for.

    Raises:
        ValueError: the value is not a number.
    """
    literal = default_value if value is None else value
    if isinstance(literal, Timeout):
        return literal
    if isinstance(literal, (int, float, str)):
        return Timeout(float(literal), event_factory)
    raise ValueError(f"Invalid timeout literal '{literal}'")
