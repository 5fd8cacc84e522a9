"""The executor interface.

An executor of another package is registered as an entry point of the group ``stackl_flow.executors``; its
tests inherit from `stackl_flow.testing.contracts.executors`.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from stackl_flow.engines.executors.calls import Call
from stackl_flow.engines.executors.mailbox import Mailbox

if TYPE_CHECKING:
    from stackl_flow.engines.executors.wire import Encoder


class Executor(abc.ABC):
    """Performs the calls of one engine.

    The engine's thread calls all methods. For each call that is submitted, the executor reports exactly one
    ``Completion``, ``Cancelled`` or ``Interrupted``; ``calls.perform`` makes the report of a call.
    """

    #: Whether the scheduler selects atoms in batches: one is complete before the next is selected.
    in_batches: bool = False

    #: Whether a call may wait between ``submit`` and its start. Then the executor reports ``Started``.
    queues: bool = True

    #: Where calls are sent as messages, ``wire.PROCESSES`` or ``wire.REMOTE``; None if they are passed as
    #: they are. ``validate()`` of the engine refuses tasks that a receiver cannot find, and sets ``encoder``.
    target: str | None = None

    #: Encodes the calls of the flow and decodes their reports, for an executor with a ``target``.
    encoder: Encoder | None = None

    #: Maximum number of calls to submit at once; None for no limit.
    slots: int | None = None

    @abc.abstractmethod
    def start(self, mailbox: Mailbox) -> None:
        """Acquire resources for a run.

        Args:
            mailbox: where the calls of this run are reported.
        """

    @abc.abstractmethod
    def stop(self, wait: bool = True) -> None:
        """Drop the calls that have not started, and release what ``start`` acquired.

        Args:
            wait: wait until the calls that are running are complete.
        """

    @abc.abstractmethod
    def submit(self, call: Call) -> None:
        """Accept a call.

        Raises:
            Exception: the call is not accepted, and nothing will be reported on it.
        """

    @abc.abstractmethod
    def cancel(self, call: Call) -> None:
        """Recall a call that has not started, and report it as ``Cancelled``.

        Has no effect on a call that has started or is complete.
        """
