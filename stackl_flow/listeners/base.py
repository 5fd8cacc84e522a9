"""Base classes of listeners.

A listener requires of an engine only what the protocols here name, so it can observe any engine that notifies
about transitions.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, NamedTuple, Protocol, Self

from stackl_flow import events, redaction
from stackl_flow import states as st
from stackl_flow.events import NO_RESULT, AtomTransition, FlowTransition
from stackl_flow.failure import ExcInfo, Failure
from stackl_flow.formatters import redact_result
from stackl_flow.notifier import Notifier

_LOG = redaction.get_logger(__name__)

#: States in which an atom's ``execute`` or ``revert`` has ended.
FINISH_STATES: Final = (st.FAILURE, st.SUCCESS, st.REVERTED, st.REVERT_FAILURE)

#: The default: all states.
DEFAULT_LISTEN_FOR: Final = (Notifier.ANY,)

Details = Mapping[str, Any]
Receiver = Callable[[str, Details], None]


class Engine(Protocol):
    """What a listener requires of an engine."""

    @property
    def notifier(self) -> Notifier:
        """Notifies about transitions of the flow."""

    @property
    def atom_notifier(self) -> Notifier:
        """Notifies about transitions of tasks and retries."""


class _Registration(NamedTuple):
    notifier: Notifier
    state: str
    receiver: Receiver
    details_filter: Callable[[Details], bool] | None


def _is_task(details: Details) -> bool:
    return events.is_kind(events.TASK, details)


def _is_retry(details: Details) -> bool:
    return events.is_kind(events.RETRY, details)


class Listener:
    """Observes an engine while it is registered, or for the length of a ``with`` block.

    Override ``_flow_receiver``, ``_task_receiver`` and ``_retry_receiver``; here they do nothing. They are
    called in the engine's thread once the transition is stored. Their exceptions are logged and do not affect
    the run. (The interface is TaskFlow's.)

    Args:
        engine: the engine.
        task_listen_for: states of tasks to observe; None for none.
        flow_listen_for: states of the flow to observe.
        retry_listen_for: states of retries to observe.
    """

    def __init__(
        self,
        engine: Engine,
        task_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
        flow_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
        retry_listen_for: Iterable[str] | None = DEFAULT_LISTEN_FOR,
    ) -> None:
        self._engine = engine
        self._task_listen_for = tuple(task_listen_for or ())
        self._flow_listen_for = tuple(flow_listen_for or ())
        self._retry_listen_for = tuple(retry_listen_for or ())
        self._registered: list[_Registration] = []

    def _flow_receiver(self, state: str, details: Details) -> None:
        """Receive a transition of the flow."""

    def _task_receiver(self, state: str, details: Details) -> None:
        """Receive a transition of a task."""

    def _retry_receiver(self, state: str, details: Details) -> None:
        """Receive a transition of a retry."""

    def _registrations(self) -> Iterable[_Registration]:
        flows, atoms = self._engine.notifier, self._engine.atom_notifier
        for state in self._task_listen_for:
            yield _Registration(atoms, state, self._task_receiver, _is_task)
        for state in self._retry_listen_for:
            yield _Registration(atoms, state, self._retry_receiver, _is_retry)
        for state in self._flow_listen_for:
            yield _Registration(flows, state, self._flow_receiver, None)

    def register(self) -> None:
        """Register with the engine, unless that is done already.

        Raises:
            ValueError: the engine does not notify about one of the states; nothing stays registered.
        """
        if self._registered:
            return
        try:
            for registration in self._registrations():
                notifier, state, receiver, details_filter = registration
                if not notifier.is_registered(state, receiver, details_filter):
                    notifier.register(state, receiver, details_filter=details_filter)
                    self._registered.append(registration)
        except ValueError:
            self.deregister()
            raise

    def deregister(self) -> None:
        """Deregister from the engine, unless that is done already."""
        while self._registered:
            notifier, state, receiver, details_filter = self._registered.pop()
            notifier.deregister(state, receiver, details_filter)

    def __enter__(self) -> Self:
        """Register with the engine."""
        self.register()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Deregister from the engine."""
        try:
            self.deregister()
        except Exception:  # noqa: BLE001  a listener never hides the exception of the flow
            _LOG.warning("could not deregister %s from %s", self, self._engine, exc_info=True)


class DumpingListener(Listener, metaclass=abc.ABCMeta):
    """Turns each transition of the flow and of its tasks into a line of text, which a subclass writes."""

    @abc.abstractmethod
    def _dump(self, message: str, *args: Any, **kwargs: Any) -> None:
        """Write a line.

        Args:
            message: the line, with ``%s`` for each argument.
            args: the arguments, redacted.
            kwargs: ``exc_info``: type, exception and traceback of a failure.
        """

    def _flow_receiver(self, state: str, details: Details) -> None:
        event = FlowTransition.from_details(state, details)
        self._dump(
            "%s has moved flow '%s' (%s) into state '%s' from state '%s'",
            self._engine, event.flow_name, event.flow_uuid, state, event.old_state,
        )  # fmt: skip

    def _task_receiver(self, state: str, details: Details) -> None:
        event = AtomTransition.from_details(state, details)
        message = "%s has moved task '%s' (%s) into state '%s' from state '%s'"
        args = (self._engine, event.name, event.uuid, state, event.old_state)
        if state not in FINISH_STATES:
            self._dump(message, *args)
            return
        result = None if event.result is NO_RESULT else redact_result(self._engine, event.name, event.result)
        failed = isinstance(result, Failure)
        exc_info: ExcInfo | None = result.exc_info if isinstance(result, Failure) else None
        message = f"{message} with result '%s' (failure=%s)"
        text = None if exc_info is None else redaction.text_to_log(exc_info)
        if text is not None:
            # As redacted text: the exception itself must not be changed.
            self._dump(f"{message}\n%s", *args, result, failed, text)
        else:
            self._dump(message, *args, result, failed, exc_info=exc_info)
