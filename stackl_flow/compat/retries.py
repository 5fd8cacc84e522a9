"""The part of `taskflow.retry` that `stackl_flow.retry` does not have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stackl_flow.retry import (
    RETRY,
    REVERT,
    REVERT_ALL,
    Decision,
    History,
    Retry,
    next_value,
    unused_values,
)


class ForEachBase(Retry):
    """Base class of retries that try the elements of a collection one by one.

    Args:
        name: the name; defaults to the name of the flow plus ``_retry``.
        provides: the name of the element of the current attempt.
        requires: inputs besides those in the signatures.
        auto_extract: read the inputs from the signatures.
        rebind: names to look up instead of the argument names.
        revert_all: after the last element, revert everything instead of only the flow.
    """

    def __init__(
        self,
        name: str | None = None,
        provides: Any = None,
        requires: Any = None,
        auto_extract: bool = True,
        rebind: Any = None,
        revert_all: bool = False,
    ) -> None:
        super().__init__(name, provides, requires, auto_extract, rebind)
        self._revert_action = REVERT_ALL if revert_all else REVERT

    def _get_next_value(self, values: Iterable[Any], history: History) -> Any:
        """Return the first element that no attempt has used yet."""
        return next_value(self.name, values, history)

    def _on_failure(self, values: Iterable[Any], history: History) -> Decision:
        """Return `Decision.RETRY` while elements are left."""
        return RETRY if unused_values(values, history) else self._revert_action
