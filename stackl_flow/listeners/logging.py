"""Listeners that log transitions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final, Protocol

from stackl_flow import formatters, redaction
from stackl_flow import states as st
from stackl_flow.events import NO_RESULT, AtomTransition, FlowTransition
from stackl_flow.failure import ExcInfo, Failure
from stackl_flow.formatters import FailureFormatter, mask_result, redact_result
from stackl_flow.listeners import base
from stackl_flow.task import Task

_LOG = redaction.get_logger(__name__)

_TASK_MESSAGE: Final = "Task '%s' (%s) transitioned into state '%s' from state '%s'"

Logger = logging.Logger | logging.LoggerAdapter[Any]


class Engine(base.Engine, formatters.Engine, Protocol):
    """What these listeners require of an engine."""


class FailFormatter(Protocol):
    """What ``DynamicLoggingListener`` requires of a formatter of failures."""

    def format(self, fail: Failure, atom_matcher: Callable[[Any], bool]) -> tuple[ExcInfo | None, str | None]:
        """Return ``exc_info`` for a logger, and further text."""


class LoggingListener(base.DumpingListener):
    """Logs each transition of the flow and of its tasks.

    Args:
        engine: the engine.
        task_listen_for: see ``Listener``.
        flow_listen_for: see ``Listener``.
        retry_listen_for: see ``Listener``.
        log: the logger; the class's ``_LOGGER``, or that of this module, if left out.
        level: the level.
    """

    _LOGGER: ClassVar[Logger | None] = None

    def __init__(
        self,
        engine: base.Engine,
        task_listen_for: Iterable[str] | None = base.DEFAULT_LISTEN_FOR,
        flow_listen_for: Iterable[str] | None = base.DEFAULT_LISTEN_FOR,
        retry_listen_for: Iterable[str] | None = base.DEFAULT_LISTEN_FOR,
        log: Logger | None = None,
        level: int = logging.DEBUG,
    ) -> None:
        super().__init__(engine, task_listen_for, flow_listen_for, retry_listen_for)
        self._logger = _first(log, self._LOGGER)
        self._level = level

    def _dump(self, message: str, *args: Any, **kwargs: Any) -> None:
        self._logger.log(self._level, message, *args, **kwargs)


class DynamicLoggingListener(base.Listener):
    """Logs each transition of the flow and of its tasks, failures at a higher level.

    Results of tasks are shown if the logger is enabled for ``level``. A failure is logged with its traceback
    and with the preceding atoms: their states, inputs and results.

    Args:
        engine: the engine.
        task_listen_for: see ``Listener``.
        flow_listen_for: see ``Listener``.
        retry_listen_for: see ``Listener``.
        log: the logger; the class's ``_LOGGER``, or that of this module, if left out.
        failure_level: the level for failures, reverts and retries.
        level: the level for other transitions.
        hide_inputs_outputs_of: names of tasks whose inputs and outputs are not shown.
        fail_formatter: used instead of a ``FailureFormatter``, which applies the masks below.
        mask_inputs_keys: names whose values are masked in inputs.
        mask_outputs_keys: names whose values are masked in outputs.
    """

    _LOGGER: ClassVar[Logger | None] = None
    _TASK_FAILURE_STATES: Final = frozenset({st.FAILURE, st.REVERTED, st.RETRYING, st.REVERT_FAILURE})
    _FLOW_FAILURE_STATES: Final = frozenset({st.FAILURE, st.REVERTED, st.REVERT_FAILURE})

    _engine: Engine

    def __init__(
        self,
        engine: Engine,
        task_listen_for: Iterable[str] | None = base.DEFAULT_LISTEN_FOR,
        flow_listen_for: Iterable[str] | None = base.DEFAULT_LISTEN_FOR,
        retry_listen_for: Iterable[str] | None = base.DEFAULT_LISTEN_FOR,
        log: Logger | None = None,
        failure_level: int = logging.WARNING,
        level: int = logging.DEBUG,
        hide_inputs_outputs_of: Iterable[str] = (),
        fail_formatter: FailFormatter | None = None,
        mask_inputs_keys: Iterable[str] = (),
        mask_outputs_keys: Iterable[str] = (),
    ) -> None:
        super().__init__(engine, task_listen_for, flow_listen_for, retry_listen_for)
        self._logger = _first(log, self._LOGGER)
        self._failure_level = failure_level
        self._level = level
        self._hide_inputs_outputs_of = frozenset(hide_inputs_outputs_of)
        self._mask_outputs_keys = frozenset(mask_outputs_keys)
        self._fail_formatter: FailFormatter = fail_formatter or FailureFormatter(
            engine, self._hide_inputs_outputs_of, mask_inputs_keys, self._mask_outputs_keys
        )

    def _flow_receiver(self, state: str, details: base.Details) -> None:
        event = FlowTransition.from_details(state, details)
        self._logger.log(
            self._failure_level if state in self._FLOW_FAILURE_STATES else self._level,
            "Flow '%s' (%s) transitioned into state '%s' from state '%s'",
            event.flow_name, event.flow_uuid, state, event.old_state,
        )  # fmt: skip

    def _task_receiver(self, state: str, details: base.Details) -> None:
        event = AtomTransition.from_details(state, details)
        level = self._failure_level if state in self._TASK_FAILURE_STATES else self._level
        if event.result is NO_RESULT or state not in base.FINISH_STATES:
            self._log(level, event)
        elif isinstance(event.result, Failure):
            self._log_failure(event, event.result)
        elif event.name in self._hide_inputs_outputs_of or not self._logger.isEnabledFor(self._level):
            self._log(level, event)
        else:
            self._log(level, event, " with result '%s'", self._displayed_result(event))

    def _log(
        self, level: int, event: AtomTransition, suffix: str = "", *args: Any, exc_info: Any = None
    ) -> None:
        message = _TASK_MESSAGE + suffix
        self._logger.log(
            level, message, event.name, event.uuid, event.state, event.old_state, *args, exc_info=exc_info
        )

    def _log_failure(self, event: AtomTransition, fail: Failure) -> None:
        exc_info, text = self._fail_formatter.format(fail, _matcher(event.name))
        instead = None if exc_info is None else redaction.text_to_log(exc_info)
        if instead is not None:
            text, exc_info = f"{text or ''}\n{instead}\n", None
        if text:
            self._log(self._failure_level, event, "\n%s", redaction.redact(text), exc_info=exc_info)
        else:
            self._log(self._failure_level, event, exc_info=exc_info)

    def _displayed_result(self, event: AtomTransition) -> Any:
        plan, result = self._engine.compilation, event.result
        if self._mask_outputs_keys and plan is not None:
            result = mask_result(plan.atoms[plan.index[event.name]], result, self._mask_outputs_keys)
        return redact_result(self._engine, event.name, result)


def _first(*loggers: Logger | None) -> Logger:
    return next((log for log in loggers if log is not None), _LOG)


def _matcher(task_name: str) -> Callable[[Any], bool]:
    return lambda node: isinstance(node.item, Task) and node.item.name == task_name
