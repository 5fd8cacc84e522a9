"""Helpers of `taskflow.types.failure` for the triples of `sys.exc_info`."""

from __future__ import annotations

import copy

from stackl_flow.failure import ExcInfo, Failure


def copy_exc_info(exc_info: ExcInfo | None) -> ExcInfo | None:
    """Copy the exception of a triple; class and traceback are shared."""
    if exc_info is None:
        return None
    kind, error, tb = exc_info
    return kind, copy.copy(error), tb


def are_equal_exc_info_tuples(one: ExcInfo | None, other: ExcInfo | None) -> bool:
    """Return whether two triples describe the same error with the same traceback."""
    if one is None or other is None:
        return one is other
    return one[2] is other[2] and Failure(one).matches(Failure(other))
