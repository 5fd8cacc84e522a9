"""TaskFlow's `taskflow.utils.eventlet_utils`."""

from __future__ import annotations

import importlib.util
from typing import Final

EVENTLET_AVAILABLE: Final = importlib.util.find_spec("eventlet") is not None


def check_for_eventlet(exc: BaseException | None = None) -> None:
    """Raise an error if eventlet is not installed.

    Args:
        exc: raised instead of the default error.

    Raises:
        RuntimeError: eventlet is not installed.
    """
    if not EVENTLET_AVAILABLE:
        raise exc or RuntimeError("eventlet is not installed: install it, or use threads")
