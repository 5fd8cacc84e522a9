"""What an engine can be told, read once from what it was given."""

from __future__ import annotations

import dataclasses
import difflib
import os
import socket
from collections.abc import Mapping
from typing import Any, Final, Self

from stackl_flow import secrecy
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.persistence.models import new_uuid

_LOG = secrecy.logger(__name__)

#: What the parallel engine is told besides.
_OF_PARALLEL: Final = frozenset({"executor", "max_workers"})
_TRUE: Final = frozenset({"1", "t", "true", "on", "y", "yes"})


def _flag(value: object) -> bool:
    """Read an option that may have come as text in a URI."""
    return value.strip().lower() in _TRUE if isinstance(value, str) else bool(value)


def _meant(name: str, known: frozenset[str]) -> str:
    if name in _OF_PARALLEL:
        return "give engine='parallel' with it"
    near = difflib.get_close_matches(name, known | _OF_PARALLEL, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known are {', '.join(sorted(known))}"


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
        begin_anew: a flow that had been undone is set back to its beginning by ``prepare``; else whoever
            prepared it says whether to, with ``reset``.
    """

    defer_reverts: bool = False
    never_resolve: bool = False
    inject_transient: bool = True
    gather_statistics: bool = True
    clock: Clock = SYSTEM
    owner: str = ""
    begin_anew: bool = True

    @classmethod
    def read(cls, options: Mapping[str, Any], further: frozenset[str] = frozenset()) -> Self:
        """Read options; one that nobody knows is left alone, as TaskFlow does, but not in silence.

        Args:
            options: by name, flags also as words such as "true" and "no".
            further: names of options that somebody else reads.

        Returns:
            The options.
        """
        known = further.union(field.name for field in dataclasses.fields(cls))
        for name in sorted(options.keys() - known):
            _LOG.warning("engine option '%s' is unknown here and does nothing: %s", name, _meant(name, known))
        flags = (
            "begin_anew", "defer_reverts", "gather_statistics", "inject_transient", "never_resolve",
        )  # fmt: skip
        return cls(
            **{name: _flag(options[name]) for name in flags if name in options},
            clock=options.get("clock") or SYSTEM,
            owner=options.get("owner") or f"{socket.gethostname()}:{os.getpid()}:{new_uuid()[:8]}",
        )
