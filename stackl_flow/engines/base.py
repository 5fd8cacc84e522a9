"""What every engine is.

What an engine can be told, read once from what it was given.
"""

from __future__ import annotations

import abc
import dataclasses
import difflib
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final, Self

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.engines.plan import Plan
from stackl_flow.engines.storage import Storage
from stackl_flow.notifier import Notifier
from stackl_flow.patterns.base import Item
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import FlowDetail, new_uuid


class Engine(abc.ABC):
    """Runs one flow.

    Args:
        flow: the flow, or a lone task.
        flow_detail: what is known of it.
        backend: where that is stored, or None.
        options: see each engine.
    """

    #: Options that this kind of engine reads besides those that all have.
    EXTRA_OPTIONS: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        flow: Item,
        flow_detail: FlowDetail,
        backend: Backend | None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._flow = flow
        self._flow_detail = flow_detail
        self._backend = backend
        self._options = dict(options or {})
        self._notifier = Notifier()
        self._atom_notifier = Notifier()

    @property
    def notifier(self) -> Notifier:
        """Tells of the flow's moves."""
        return self._notifier

    @property
    def atom_notifier(self) -> Notifier:
        """Tells of the atoms' moves."""
        return self._atom_notifier

    @property
    def options(self) -> dict[str, Any]:
        """What the engine was made with."""
        return self._options

    @property
    @abc.abstractmethod
    def storage(self) -> Storage:
        """Answers what there is to know of the flow."""

    @property
    @abc.abstractmethod
    def statistics(self) -> dict[str, Any]:
        """Numbers about the present or last run."""

    @property
    def compilation(self) -> Plan | None:
        """The plan, or None before ``compile``, and in an engine that shows none."""
        return None

    @abc.abstractmethod
    def compile(self) -> None:
        """Make the plan."""

    @abc.abstractmethod
    def prepare(self) -> None:
        """Take the flow over and match it with what is stored."""

    @abc.abstractmethod
    def validate(self) -> None:
        """Check that every atom can get what it needs."""

    @abc.abstractmethod
    def run(self, timeout: float | None = None) -> None:
        """Run the flow to its end, or to a suspension."""

    def run_iter(self, timeout: float | None = None) -> Iterator[str]:
        """Run the flow step by step, if this engine can.

        Args:
            timeout: how many seconds to wait for calls before looking up again.

        Returns:
            The engine's states as it goes.

        Raises:
            NotSupported: it can only ``run``, as an engine that was made for TaskFlow may.
        """
        del timeout
        raise exc.NotSupported(
            f"{type(self).__name__} cannot run '{self._flow.name}' step by step: call run()"
        )

    @abc.abstractmethod
    def suspend(self) -> None:
        """Ask for a pause."""

    @abc.abstractmethod
    def reset(self) -> None:
        """Set the flow and all its atoms back to the beginning."""


_LOG = redaction.get_logger(__name__)

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
        reset_reverted: a flow that had been undone is set back to its beginning by ``prepare``; else whoever
            prepared it says whether to, with ``reset``.
    """

    defer_reverts: bool = False
    never_resolve: bool = False
    inject_transient: bool = True
    gather_statistics: bool = True
    clock: Clock = SYSTEM
    owner: str = ""
    reset_reverted: bool = True

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
            "reset_reverted", "defer_reverts", "gather_statistics", "inject_transient", "never_resolve",
        )  # fmt: skip
        return cls(
            **{name: _flag(options[name]) for name in flags if name in options},
            clock=options.get("clock") or SYSTEM,
            owner=options.get("owner") or f"{socket.gethostname()}:{os.getpid()}:{new_uuid()[:8]}",
        )
