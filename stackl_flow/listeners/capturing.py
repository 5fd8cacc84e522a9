"""A listener that keeps what it is told, for tests and for looking back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from stackl_flow.events import AtomTransition, FlowTransition
from stackl_flow.formatters import shown_result
from stackl_flow.listeners import base


class CaptureListener(base.Listener):
    """Keeps each move in ``values``, without what is marked as secret.

    A subclass may override ``_format_capture`` to keep something else than ``(kind, state, details)``.

    Args:
        engine: whom to watch.
        task_listen_for: see ``Listener``, as for the two that follow.
        flow_listen_for: states of the flow.
        retry_listen_for: states of retries.
        capture_flow: whether to keep moves of the flow.
        capture_task: whether to keep moves of tasks.
        capture_retry: whether to keep moves of retries.
        skip_tasks: names of tasks whose moves are not kept.
        skip_retries: names of retries whose moves are not kept.
        skip_flows: names of flows whose moves are not kept.
        values: a list to add to; a new one if left out.

    Attributes:
        values: what was kept.
    """

    FLOW: Final = "flow"
    TASK: Final = "task"
    RETRY: Final = "retry"

    def __init__(
        self,
        engine: base.Engine,
        task_listen_for: Iterable[str] | None = base.DEFAULT_LISTEN_FOR,
        flow_listen_for: Iterable[str] | None = base.DEFAULT_LISTEN_FOR,
        retry_listen_for: Iterable[str] | None = base.DEFAULT_LISTEN_FOR,
        capture_flow: bool = True,
        capture_task: bool = True,
        capture_retry: bool = True,
        skip_tasks: Iterable[str] | None = None,
        skip_retries: Iterable[str] | None = None,
        skip_flows: Iterable[str] | None = None,
        values: list[Any] | None = None,
    ) -> None:
        super().__init__(engine, task_listen_for, flow_listen_for, retry_listen_for)
        #: For each kind that is kept, the names that are not.
        self._skipped = {
            kind: frozenset(skipped or ())
            for kind, wanted, skipped in (
                (self.FLOW, capture_flow, skip_flows),
                (self.TASK, capture_task, skip_tasks),
                (self.RETRY, capture_retry, skip_retries),
            )
            if wanted
        }
        self.values: list[Any] = [] if values is None else values

    @staticmethod
    def _format_capture(kind: str, state: str, details: base.Details) -> Any:
        """Make what is kept of a move.

        Args:
            kind: "flow", "task" or "retry".
            state: where it went.
            details: what is told besides.

        Returns:
            What goes into ``values``.
        """
        return kind, state, details

    def _keep(self, kind: str, name: str, state: str, details: base.Details) -> None:
        if kind in self._skipped and name not in self._skipped[kind]:
            if "result" in details:
                details = {**details, "result": shown_result(self._engine, name, details["result"])}
            self.values.append(self._format_capture(kind, state, details))

    def _flow_receiver(self, state: str, details: base.Details) -> None:
        self._keep(self.FLOW, FlowTransition.from_details(state, details).flow_name, state, details)

    def _task_receiver(self, state: str, details: base.Details) -> None:
        self._keep(self.TASK, AtomTransition.from_details(state, details).name, state, details)

    def _retry_receiver(self, state: str, details: base.Details) -> None:
        self._keep(self.RETRY, AtomTransition.from_details(state, details).name, state, details)
