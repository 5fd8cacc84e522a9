"""What TaskFlow's failure module knows of the triples that `sys.exc_info` gives."""

from __future__ import annotations

import copy

from stackl_flow.failure import ExcInfo, Failure


def copy_exc_info(exc_info: ExcInfo | None) -> ExcInfo | None:
    """Make a triple with a copy of the error; class and traceback are the same.

    Args:
        exc_info: the triple, or None.

    Returns:
        The new triple, or None.
    """
    if exc_info is None:
        return None
    kind, error, where = exc_info
    return kind, copy.copy(error), where


def are_equal_exc_info_tuples(one: ExcInfo | None, other: ExcInfo | None) -> bool:
    """Say whether two triples tell of the same error, raised at the same place.

    Args:
        one: a triple, or None.
        other: a triple, or None.

    Returns:
        True when class, message and place agree.
    """
    if one is None or other is None:
        return one is other
    return one[2] is other[2] and Failure(one).matches(Failure(other))
