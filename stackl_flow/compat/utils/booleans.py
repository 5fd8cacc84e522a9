"""Booleans in settings, which may be text."""

from __future__ import annotations

from typing import Final

_TRUE: Final = frozenset({"1", "t", "true", "on", "y", "yes"})
_FALSE: Final = frozenset({"0", "f", "false", "off", "n", "no"})


def parse_bool(value: object, default: bool = False) -> bool:
    """Convert a boolean or a text such as "True" or "off"; other text is ``default``."""
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in _TRUE:
        return True
    return False if text in _FALSE else default
