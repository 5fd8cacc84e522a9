"""Performs one call after the other, in the engine's thread."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

from stackl_flow.engines.executors import base
from stackl_flow.engines.executors.calls import (
    Call,
    Cancelled,
    Interrupted,
    Report,
    perform_in_context,
)
from stackl_flow.engines.executors.mailbox import Mailbox


class SerialExecutor(base.Executor):
    """Performs one call each time that the loop waits."""

    in_batches = True
    queues = False
    slots = 1

    #: Perform a call in ``submit`` instead of while the loop waits. A subclass may set this.
    performs_on_submit: ClassVar[bool] = False

    def __init__(self) -> None:
        self._calls: deque[Call] = deque()
        self._mailbox: Mailbox

    def start(self, mailbox: Mailbox) -> None:
        """Forget the calls of an earlier run."""
        self._calls.clear()
        self._mailbox = mailbox
        mailbox.work = self._perform_next

    def stop(self, wait: bool = True) -> None:
        """Drop the calls that have not started."""
        del wait
        self._calls.clear()

    def submit(self, call: Call) -> None:
        """Queue a call until the loop waits, or perform it if ``performs_on_submit`` is set."""
        if self.performs_on_submit:
            # Not ``perform``, to have a frame less above the code of the atom.
            try:
                self._mailbox.put(call.context.run(perform_in_context, call))
            except KeyboardInterrupt:
                self._mailbox.put(Interrupted(call.id))
        else:
            self._calls.append(call)

    def _perform_next(self) -> Report | None:
        if not self._calls:
            return None
        call = self._calls.popleft()
        try:
            return call.context.run(perform_in_context, call)
        except KeyboardInterrupt:
            return Interrupted(call.id)

    def cancel(self, call: Call) -> None:
        """Recall a call that has not started."""
        if any(queued is call for queued in self._calls):
            self._calls = deque(queued for queued in self._calls if queued is not call)
            self._mailbox.put(Cancelled(call.id))
