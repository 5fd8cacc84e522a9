"""Reads items in order; a page of many costs what a page of few does.

Before 3.5 a server goes over its index of the whole range, however few are asked for. So where a range turns
out to be long, the key of some thousand items ahead is remembered, and pages are read up to there, as long as
they come back full.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any, Final

_LONG: Final = 4000
_AHEAD: Final = 1000
_REMEMBERED: Final = 256


class Pages:
    """Reads ranges.

    Args:
        ask: sends a request for a range.
    """

    def __init__(self, ask: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
        self._ask = ask
        self._ends: dict[str, str] = {}

    def read(self, span: Mapping[str, Any]) -> list[dict[str, str]]:
        """Read a range, all of it at one moment.

        Args:
            span: the request.

        Returns:
            What is kept of each item.
        """
        limit = int(span["limit"])
        if not limit or "sort_order" in span:
            return list(self._ask(span).get("kvs", ()))
        near = self._ends.get(span["range_end"])
        if near is not None and b64decode(span["key"]) < b64decode(near):
            found = self._ask({**span, "range_end": near}).get("kvs", [])
            if len(found) == limit:
                return list(found)
        answer = self._ask(span)
        if int(answer.get("count", 0)) > max(_LONG, limit):
            self._look_ahead(span)
        return list(answer.get("kvs", ()))

    def _look_ahead(self, span: Mapping[str, Any]) -> None:
        ahead = self._ask({**span, "limit": int(span["limit"]) + _AHEAD, "keys_only": True}).get("kvs", ())
        if len(self._ends) >= _REMEMBERED:
            self._ends.clear()
        if ahead:
            self._ends[span["range_end"]] = ahead[-1]["key"]
