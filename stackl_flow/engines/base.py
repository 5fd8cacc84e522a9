"""What every engine is."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from stackl_flow import exceptions as exc
from stackl_flow.engines.plan import Plan
from stackl_flow.engines.storage import Storage
from stackl_flow.notifier import Notifier
from stackl_flow.patterns.base import Item
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import FlowDetail


class Engine(abc.ABC):
    """Runs one flow.

    Args:
        flow: the flow, or a lone task.
        flow_detail: what is known of it.
        backend: where that is stored, or None.
        options: see each engine.
    """

    #: Options that this kind of engine reads besides those that all have.
    FURTHER_OPTIONS: ClassVar[frozenset[str]] = frozenset()

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
            NotImplementedError: it can only ``run``, as an engine that was made for TaskFlow may.
        """
        del timeout
        raise exc.NotImplementedError(
            f"{type(self).__name__} cannot run '{self._flow.name}' step by step: call run()"
        )

    @abc.abstractmethod
    def suspend(self) -> None:
        """Ask for a pause."""

    @abc.abstractmethod
    def reset(self) -> None:
        """Set the flow and all its atoms back to the beginning."""
