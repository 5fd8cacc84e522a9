"""What `taskflow.retry` has besides ours."""

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
    """What programs derive retries from that try one element of a collection after the other.

    Args:
        name: see ``Retry``, as for all that follow.
        provides: the name for the element of this attempt.
        requires: names handed over besides those in the signature.
        auto_extract: read what is required off the signatures.
        rebind: names to look up instead of the argument names.
        revert_all: undo everything, not only the flow, when the elements are used up.
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
        """Decide to retry while elements are left."""
        return RETRY if unused_values(values, history) else self._revert_action
