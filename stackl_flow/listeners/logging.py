"""Listeners that log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final, Protocol

from stackl_flow import formatters, redaction
from stackl_flow import states as st
from stackl_flow.events import NO_RESULT, AtomTransition, FlowTransition
from stackl_flow.failure import ExcInfo, Failure
from stackl_flow.formatters import FailureFormatter, mask_result, shown_result
from stackl_flow.listeners import base
from stackl_flow.task import Task

_LOG = redaction.get_logger(__name__)

_MOVED_TASK: Final = "Task '%s' (%s) transitioned into state '%s' from state '%s'"

Logger = logging.Logger | logging.LoggerAdapter[Any]


class Engine(base.Engine, formatters.Engine, Protocol):
    """An engine of whose failures can be told."""


class FailFormatter(Protocol):
    """What tells of a failure."""

    def format(self, fail: Failure, atom_matcher: Callable[[Any], bool]) -> tuple[ExcInfo | None, str | None]:
        """Return what a logger takes as ``exc_info``, and what else there is to say."""


class LoggingListener(base.DumpingListener):
    """Logs each move of the flow and of its tasks.

    Args:
        engine: whom to watch.
        task_listen_for: see ``Listener``, as for the two that follow.
        flow_listen_for: states of the flow.
        retry_listen_for: states of retries.
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
    """Logs each move of the flow and of its tasks, louder when something goes wrong.

    What a task gave is shown where the logger takes the ordinary level. A failure is logged with its
    traceback and with the atoms that came before: their states, what they got and what they gave.

    Args:
        engine: whom to watch.
        task_listen_for: see ``Listener``, as for the two that follow.
        flow_listen_for: states of the flow.
        retry_listen_for: states of retries.
        log: the logger; the class's ``_LOGGER``, or that of this module, if left out.
        failure_level: the level for failures, reverts and retries.
        level: the level for all else.
        hide_inputs_outputs_of: names of tasks of which neither inputs nor outputs are shown.
        fail_formatter: tells of failures instead of a ``FailureFormatter``, which knows the masks below.
        mask_inputs_keys: names whose values are masked in inputs.
        mask_outputs_keys: names whose values are masked in outputs.
    """

    _LOGGER: ClassVar[Logger | None] = None
    _LOUD_OF_TASK: Final = frozenset({st.FAILURE, st.REVERTED, st.RETRYING, st.REVERT_FAILURE})
    _LOUD_OF_FLOW: Final = frozenset({st.FAILURE, st.REVERTED, st.REVERT_FAILURE})

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
        self._hidden = frozenset(hide_inputs_outputs_of)
        self._mask_outputs_keys = frozenset(mask_outputs_keys)
        self._fail_formatter: FailFormatter = fail_formatter or FailureFormatter(
            engine, self._hidden, mask_inputs_keys, self._mask_outputs_keys
        )

    def _flow_receiver(self, state: str, details: base.Details) -> None:
        told = FlowTransition.from_details(state, details)
        self._logger.log(
            self._failure_level if state in self._LOUD_OF_FLOW else self._level,
            "Flow '%s' (%s) transitioned into state '%s' from state '%s'",
            told.flow_name, told.flow_uuid, state, told.old_state,
        )  # fmt: skip

    def _task_receiver(self, state: str, details: base.Details) -> None:
        told = AtomTransition.from_details(state, details)
        level = self._failure_level if state in self._LOUD_OF_TASK else self._level
        if told.result is NO_RESULT or state not in base.FINISH_STATES:
            self._log(level, told)
        elif isinstance(told.result, Failure):
            self._log_failure(told, told.result)
        elif told.name in self._hidden or not self._logger.isEnabledFor(self._level):
            self._log(level, told)
        else:
            self._log(level, told, " with result '%s'", self._shown(told))

    def _log(
        self, level: int, told: AtomTransition, more: str = "", *args: Any, exc_info: Any = None
    ) -> None:
        message = _MOVED_TASK + more
        self._logger.log(
            level, message, told.name, told.uuid, told.state, told.old_state, *args, exc_info=exc_info
        )

    def _log_failure(self, told: AtomTransition, fail: Failure) -> None:
        exc_info, more = self._fail_formatter.format(fail, _matcher(told.name))
        if exc_info is not None and redaction.contains_secret(exc_info):
            more, exc_info = f"{more or ''}\n{redaction.format_traceback(exc_info)}", None
        if more:
            self._log(self._failure_level, told, "\n%s", redaction.redact(more), exc_info=exc_info)
        else:
            self._log(self._failure_level, told, exc_info=exc_info)

    def _shown(self, told: AtomTransition) -> Any:
        """Return a task's result as it may be seen."""
        plan, result = self._engine.compilation, told.result
        if self._mask_outputs_keys and plan is not None:
            result = mask_result(plan.atoms[plan.index[told.name]], result, self._mask_outputs_keys)
        return shown_result(self._engine, told.name, result)


def _first(*loggers: Logger | None) -> Logger:
    return next((log for log in loggers if log is not None), _LOG)


def _matcher(task_name: str) -> Callable[[Any], bool]:
    """Return what tells a task by its name."""
    return lambda node: isinstance(node.item, Task) and node.item.name == task_name
