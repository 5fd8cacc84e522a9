"""The context of a task: which flow, atom and attempt the running code works for.

An engine sets ``CURRENT`` in the thread that does the work, before each call. `current_task` builds the
context when it is asked for, so that a task that does not ask pays nothing.
"""

from __future__ import annotations

import contextvars
import hashlib
import json
import logging
import uuid
from typing import Any, Final, Protocol

from stackl_flow import exceptions as exc
from stackl_flow import redaction

_LOGGER: Final = redaction.get_logger("stackl_flow.tasks")


class TaskContext:
    """What a task can find out about itself; see `current_task`.

    Attributes:
        flow_uuid: the UUID of the flow.
        flow_name: the name of the flow.
        name: the name of the task or retry.
        action: "execute", "revert", or "on_failure" of a retry.
        attempt: 1 for the first attempt, and one more each time a retry or a reset makes it run again. A
            resumption after a crash is the same attempt.
    """

    __slots__ = ("action", "attempt", "flow_name", "flow_uuid", "name")

    def __init__(self, flow_uuid: str, flow_name: str, name: str, action: str, attempt: int) -> None:
        self.flow_uuid = flow_uuid
        self.flow_name = flow_name
        self.name = name
        self.action = action
        self.attempt = attempt

    @property
    def idempotency_key(self) -> str:
        """A UUID of this call: pass it to a service that ignores a request that it has already carried out.

        A call that is repeated after a crash has the same key. Each attempt has its own, and so have
        ``execute`` and ``revert``.
        """
        parts = json.dumps([self.flow_uuid, self.name, self.action, self.attempt])
        return str(uuid.UUID(bytes=hashlib.sha256(parts.encode()).digest()[:16], version=4))

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records begin with flow, task and attempt, and have them as attributes, too.

        The attributes are ``flow_uuid``, ``flow_name``, ``task_name``, ``task_action`` and ``task_attempt``.
        """
        return _TaskLogger(self)

    def __repr__(self) -> str:
        return (
            f"<TaskContext {self.action} of '{self.name}' in flow '{self.flow_name}' ({self.flow_uuid}),"
            f" attempt {self.attempt}>"
        )


class _TaskLogger(logging.LoggerAdapter[logging.Logger]):
    """Adds the context of a task to each record."""

    def __init__(self, context: TaskContext) -> None:
        super().__init__(
            _LOGGER,
            {
                "flow_uuid": context.flow_uuid,
                "flow_name": context.flow_name,
                "task_name": context.name,
                "task_action": context.action,
                "task_attempt": context.attempt,
            },
        )
        self._prefix = f"{context.flow_name}/{context.name} {context.action} #{context.attempt}: "

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        """Keep attributes that the caller passes as ``extra``."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a message with its prefix; the caller of this method's caller is the one that logs."""
        prefix = self._prefix.replace("%", "%%") if args else self._prefix
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
        super().log(level, f"{prefix}{msg}", *args, **kwargs)


class RunningCall(Protocol):
    """What an engine sets as ``CURRENT``."""

    def task_context(self) -> TaskContext:
        """Return the context of the task that is called."""
        ...

    def is_for(self, atom: object) -> bool:
        """Return whether this is a call of the atom."""
        ...

    def report_progress(self, progress: float, details: dict[str, Any]) -> None:
        """Report progress of the task."""
        ...


CURRENT: Final[contextvars.ContextVar[RunningCall]] = contextvars.ContextVar("stackl_flow_call")
"""The call that is being performed."""


def current_task() -> TaskContext:
    """Return the context of the task that calls this: its flow, its attempt, an idempotency key, a logger.

    It works in ``execute`` and ``revert`` of tasks and retries, in ``on_failure`` of retries, and in all that
    they call in the same thread. In a thread or an event loop of their own, pass the context on:
    ``threading.Thread(target=contextvars.copy_context().run, args=(work,))``.

    Raises:
        InvalidState: no task is running here.
    """
    call = CURRENT.get(None)
    if call is None:
        raise exc.InvalidState(
            "there is no current task here: call current_task() from a task or retry that an engine runs;"
            " in a thread that a task starts, run the code with contextvars.copy_context().run(...)"
        )
    return call.task_context()


class CurrentContext:
    """The attribute ``context`` of atoms; an attribute of the instance or of a subclass replaces it."""

    def __get__(self, atom: object | None, owner: type | None = None) -> Any:
        """Return the context of the task that is running; the descriptor itself for a class."""
        return self if atom is None else current_task()
