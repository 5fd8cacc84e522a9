"""TaskFlow's `taskflow.types.timing`: a wait that can be cut short."""

from __future__ import annotations

import threading
from collections.abc import Callable

EventFactory = Callable[[], threading.Event]


class Timeout:
    """A wait of a given length, which anyone may cut short.

    Args:
        value: how many seconds it lasts.
        event_factory: makes what is waited for.

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
        """How many seconds it lasts."""
        return self._value

    def interrupt(self) -> None:
        """Cut the wait short."""
        self._event.set()

    def is_stopped(self) -> bool:
        """Say whether it was cut short."""
        return self._event.is_set()

    def wait(self) -> None:
        """Wait until the time is up or somebody interrupts."""
        self._event.wait(self._value)

    def reset(self) -> None:
        """Make it as it was before the interruption."""
        self._event.clear()


def convert_to_timeout(
    value: float | str | Timeout | None = None,
    default_value: float | str | Timeout | None = None,
    event_factory: EventFactory = threading.Event,
) -> Timeout:
    """Make a timeout of a number, or of its text.

    Args:
        value: seconds, or a timeout, which is returned as it is.
        default_value: what to take where there is no value.
        event_factory: makes what is waited for.

    Returns:
        The timeout.

    Raises:
        ValueError: that is no length of time.
    """
    found = default_value if value is None else value
    if isinstance(found, Timeout):
        return found
    if isinstance(found, (int, float, str)):
        return Timeout(float(found), event_factory)
    raise ValueError(f"Invalid timeout literal '{found}'")
