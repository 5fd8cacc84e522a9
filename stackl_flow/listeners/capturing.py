"""A listener that keeps transitions, for tests and for inspection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from stackl_flow.events import AtomTransition, FlowTransition
from stackl_flow.formatters import redact_result
from stackl_flow.listeners import base


class CaptureListener(base.Listener):
    """Appends each transition to ``values``, with secrets redacted.

    Override ``_format_capture`` to keep something other than ``(kind, state, details)``.

    Args:
        engine: the engine.
        task_listen_for: see ``Listener``.
        flow_listen_for: see ``Listener``.
        retry_listen_for: see ``Listener``.
        capture_flow: whether to keep transitions of the flow.
        capture_task: whether to keep transitions of tasks.
        capture_retry: whether to keep transitions of retries.
        skip_tasks: names of tasks to skip.
        skip_retries: names of retries to skip.
        skip_flows: names of flows to skip.
        values: a list to append to; a new one if left out.

    Attributes:
        values: what was kept.
    """

    FLOW: Final = "flow"
    """Kind of a captured transition of the flow."""
    TASK: Final = "task"
    """Kind of a captured transition of a task."""
    RETRY: Final = "retry"
    """Kind of a captured transition of a retry."""

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
        #: Names to skip, for each kind that is captured.
        self._skipped = {
            kind: frozenset(skipped or ())
            for kind, captured, skipped in (
                (self.FLOW, capture_flow, skip_flows),
                (self.TASK, capture_task, skip_tasks),
                (self.RETRY, capture_retry, skip_retries),
            )
            if captured
        }
        self.values: list[Any] = [] if values is None else values

    @staticmethod
    def _format_capture(kind: str, state: str, details: base.Details) -> Any:
        """Return what to keep of a transition; ``kind`` is "flow", "task" or "retry"."""
        return kind, state, details

    def _capture(self, kind: str, name: str, state: str, details: base.Details) -> None:
        if kind in self._skipped and name not in self._skipped[kind]:
            if "result" in details:
                details = {**details, "result": redact_result(self._engine, name, details["result"])}
            self.values.append(self._format_capture(kind, state, details))

    def _flow_receiver(self, state: str, details: base.Details) -> None:
        self._capture(self.FLOW, FlowTransition.from_details(state, details).flow_name, state, details)

    def _task_receiver(self, state: str, details: base.Details) -> None:
        self._capture(self.TASK, AtomTransition.from_details(state, details).name, state, details)

    def _retry_receiver(self, state: str, details: base.Details) -> None:
        self._capture(self.RETRY, AtomTransition.from_details(state, details).name, state, details)
