"""TaskFlow's `taskflow.utils.eventlet_utils`: whether eventlet is there."""

from __future__ import annotations

import importlib.util
from typing import Final

EVENTLET_AVAILABLE: Final = importlib.util.find_spec("eventlet") is not None


def check_for_eventlet(exc: BaseException | None = None) -> None:
    """Refuse to go on without eventlet.

    Args:
        exc: what to raise instead of the usual error.

    Raises:
        RuntimeError: eventlet is not installed.
    """
    if not EVENTLET_AVAILABLE:
        raise exc or RuntimeError("Eventlet is not installed here: install it, or use threads")
