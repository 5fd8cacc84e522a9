"""The terms on which a job is posted, read from what a program gave."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Final

_KNOWN: Final = ("claim_by", "key", "needs", "not_before", "uuid")


def read_terms(given: Mapping[str, Any]) -> dict[str, Any]:
    """Read terms.

    Args:
        given: ``key``, ``needs``, ``not_before``, ``claim_by`` and ``uuid``, as for the board's ``post``.

    Returns:
        The same in the types that a posting keeps: points in time as seconds since 1970 UTC.

    Raises:
        TypeError: there is no such term, or it is of another kind.
        ValueError: a point in time has no zone.
    """
    for name in given:
        if name not in _KNOWN:
            near = difflib.get_close_matches(name, _KNOWN, n=1)
            meant = f"did you mean {near[0]}?" if near else f"it takes {', '.join(_KNOWN)}"
            raise TypeError(f"post() takes no '{name}': {meant}")
    terms = {name: value for name, value in given.items() if value is not None}
    for name in terms.keys() & {"not_before", "claim_by"}:
        terms[name] = _seconds(name, terms[name])
    if "needs" in terms:
        terms["needs"] = _words(terms["needs"])
    return terms


def read_details(details: Any) -> dict[str, Any]:
    """Read what workers need to know.

    Args:
        details: values by name, or None.

    Returns:
        The same.

    Raises:
        TypeError: it is something else.
    """
    if details is not None and not isinstance(details, Mapping):
        raise TypeError(
            f"details= takes values by name, such as {{'size': 3}}, not a {type(details).__name__}"
        )
    return dict(details or {})


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise ValueError(
                f"{name}= takes a point in time with its zone, such as datetime.now(UTC), not {value}"
            )
        return value.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}= takes seconds since 1970 UTC, or a datetime with its zone, not {value!r}")
    return float(value)


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    words = tuple(value) if isinstance(value, Iterable) else (None,)
    if not all(isinstance(word, str) for word in words):
        raise TypeError(f"needs= takes names of abilities, such as ['gpu'], not {value!r}")
    return words
