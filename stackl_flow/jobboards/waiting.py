"""Waiting for something on a board, woken by its changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from stackl_flow.clock import SYSTEM
from stackl_flow.kv.base import KV

T = TypeVar("T")


def until(
    kv: KV, prefix: str, look: Callable[[], tuple[T | None, float | None]], timeout: float | None
) -> T | None:
    """Look again at each change, and when the look before said so, until something is found.

    Args:
        kv: where the board's items are.
        prefix: changes of which items wake us.
        look: gives what is found, and in how many seconds to look again though nothing has changed.
        timeout: how many seconds to wait at most, by real time; None for ever.

    Returns:
        What was found; None if the time is over.
    """
    deadline = None if timeout is None else SYSTEM.monotonic() + timeout
    while True:
        mark = kv.wait(prefix)
        found, soon = look()
        left = None if deadline is None else deadline - SYSTEM.monotonic()
        if found is not None or (left is not None and left <= 0):
            return found
        spans = [span for span in (left, soon) if span is not None]
        kv.wait(prefix, mark, min(spans, default=None))
