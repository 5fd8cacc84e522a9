"""Reads yes and no out of settings, which may hold them as words."""

from __future__ import annotations

from typing import Final

_YES: Final = frozenset({"1", "t", "true", "on", "y", "yes"})
_NO: Final = frozenset({"0", "f", "false", "off", "n", "no"})


def parse_bool(value: object, default: bool = False) -> bool:
    """Read a flag.

    Args:
        value: a bool, or a word such as "True" or "off".
        default: for words that are neither yes nor no.

    Returns:
        The flag.
    """
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _YES:
        return True
    return False if word in _NO else default
