"""What an engine can be told, read once from what it was given."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Mapping
from typing import Any, Final, Self

from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.persistence.models import new_uuid

_TRUE: Final = frozenset({"1", "t", "true", "on", "y", "yes"})


def _flag(value: object) -> bool:
    """Read an option that may have come as text in a URI."""
    return value.strip().lower() in _TRUE if isinstance(value, str) else bool(value)


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """An engine's options.

    Args:
        defer_reverts: an inner retry that gives up has everything undone, not only its own flow.
        never_resolve: a failure stops the flow and nothing is undone.
        inject_transient: values injected into an atom are kept in this process only.
        gather_statistics: keep numbers about each run.
        clock: tells when something happened.
        owner: under which name the flow is owned.
    """

    defer_reverts: bool = False
    never_resolve: bool = False
    inject_transient: bool = True
    gather_statistics: bool = True
    clock: Clock = SYSTEM
    owner: str = ""

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Self:
        """Read options; those that are not known here belong to somebody else.

        Args:
            options: by name, flags also as words such as "true" and "no".

        Returns:
            The options.
        """
        flags = ("defer_reverts", "never_resolve", "inject_transient", "gather_statistics")
        return cls(
            **{name: _flag(options[name]) for name in flags if name in options},
            clock=options.get("clock") or SYSTEM,
            owner=options.get("owner") or f"{socket.gethostname()}:{os.getpid()}:{new_uuid()[:8]}",
        )
