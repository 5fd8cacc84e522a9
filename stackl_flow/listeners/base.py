"""What every listener is: something that registers its receivers with an engine and takes them back.

A listener sees an engine only through what it asks of it, so that it can watch any that tells its moves.
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
from stackl_flow.formatters import shown_result
from stackl_flow.notifier import Notifier

_LOG = redaction.get_logger(__name__)

#: States in which an atom's ``execute`` or ``revert`` has come to an end.
FINISH_STATES: Final = (st.FAILURE, st.SUCCESS, st.REVERTED, st.REVERT_FAILURE)

#: What a listener listens for unless it is told otherwise: everything.
DEFAULT_LISTEN_FOR: Final = (Notifier.ANY,)

Details = Mapping[str, Any]
Receiver = Callable[[str, Details], None]


class Engine(Protocol):
    """What a listener asks of an engine."""

    @property
    def notifier(self) -> Notifier:
        """Tells of the flow's moves."""

    @property
    def atom_notifier(self) -> Notifier:
        """Tells of the atoms' moves."""


class _Watch(NamedTuple):
    """One registration that is to be taken back."""

    notifier: Notifier
    state: str
    receiver: Receiver
    details_filter: Callable[[Details], bool] | None


def _of_task(details: Details) -> bool:
    return events.is_kind(events.TASK, details)


def _of_retry(details: Details) -> bool:
    return events.is_kind(events.RETRY, details)


class Listener:
    """Watches an engine while it is registered, or for the length of a ``with`` block.

    A subclass says in ``_flow_receiver``, ``_task_receiver`` and ``_retry_receiver`` what it does with a
    move; here they do nothing. They are called in the engine's own thread, once the move is stored. What one
    raises is logged and goes no further. (The shape is TaskFlow's.)

    Args:
        engine: whom to watch.
        task_listen_for: states of tasks to be told of; none: no tasks.
        flow_listen_for: states of the flow to be told of.
        retry_listen_for: states of retries to be told of.
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
        self._registered: list[_Watch] = []

    def _flow_receiver(self, state: str, details: Details) -> None:
        """Take a move of the flow."""

    def _task_receiver(self, state: str, details: Details) -> None:
        """Take a move of a task."""

    def _retry_receiver(self, state: str, details: Details) -> None:
        """Take a move of a retry."""

    def _watches(self) -> Iterable[_Watch]:
        flows, atoms = self._engine.notifier, self._engine.atom_notifier
        for state in self._task_listen_for:
            yield _Watch(atoms, state, self._task_receiver, _of_task)
        for state in self._retry_listen_for:
            yield _Watch(atoms, state, self._retry_receiver, _of_retry)
        for state in self._flow_listen_for:
            yield _Watch(flows, state, self._flow_receiver, None)

    def register(self) -> None:
        """Begin to watch; nothing happens if that was done already.

        Raises:
            ValueError: the engine does not tell of such a state; nothing stays registered.
        """
        if self._registered:
            return
        try:
            for watch in self._watches():
                notifier, state, receiver, wanted = watch
                if not notifier.is_registered(state, receiver, wanted):
                    notifier.register(state, receiver, details_filter=wanted)
                    self._registered.append(watch)
        except ValueError:
            self.deregister()
            raise

    def deregister(self) -> None:
        """Stop watching; nothing happens if that was done already."""
        while self._registered:
            notifier, state, receiver, wanted = self._registered.pop()
            notifier.deregister(state, receiver, wanted)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self.register()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Stop watching."""
        try:
            self.deregister()
        except Exception:  # noqa: BLE001  a listener never hides what the flow itself raised
            _LOG.warning("%s could not be taken back from %s", self, self._engine, exc_info=True)


class DumpingListener(Listener, metaclass=abc.ABCMeta):
    """Turns each move of the flow and of its tasks into a line of text, which a subclass writes somewhere."""

    @abc.abstractmethod
    def _dump(self, message: str, *args: Any, **kwargs: Any) -> None:
        """Write a line.

        Args:
            message: the line, with ``%s`` for each argument.
            args: the arguments; those that would show a secret are without it.
            kwargs: ``exc_info``: type, error and traceback of what went wrong, where something did.
        """

    def _flow_receiver(self, state: str, details: Details) -> None:
        told = FlowTransition.from_details(state, details)
        self._dump(
            "%s has moved flow '%s' (%s) into state '%s' from state '%s'",
            self._engine, told.flow_name, told.flow_uuid, state, told.old_state,
        )  # fmt: skip

    def _task_receiver(self, state: str, details: Details) -> None:
        told = AtomTransition.from_details(state, details)
        message = "%s has moved task '%s' (%s) into state '%s' from state '%s'"
        args = (self._engine, told.name, told.uuid, state, told.old_state)
        if state not in FINISH_STATES:
            self._dump(message, *args)
            return
        result = None if told.result is NO_RESULT else shown_result(self._engine, told.name, told.result)
        failed = isinstance(result, Failure)
        exc_info: ExcInfo | None = result.exc_info if isinstance(result, Failure) else None
        message = f"{message} with result '%s' (failure=%s)"
        if exc_info is not None and redaction.contains_secret(exc_info):
            # As text, which can be changed: the error itself belongs to whoever raised it.
            self._dump(f"{message}\n%s", *args, result, failed, redaction.format_traceback(exc_info).rstrip())
        else:
            self._dump(message, *args, result, failed, exc_info=exc_info)
