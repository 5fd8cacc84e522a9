"""A listener that stops an engine once the job that it works on is no longer its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.listeners import base

_LOG = redaction.get_logger(__name__)

OnJobLoss = Callable[[Any, str, base.Details], Any]

#: What a board raises for a job that it no longer has.
_GONE: Final = (exc.NotFound, exc.JobFailure)


class Board(Protocol):
    """What is asked of a jobboard."""

    def find_owner(self, job: Any) -> str | None:
        """Return who has claimed a job, or None."""


class Engine(base.Engine, Protocol):
    """An engine that can be asked for a pause."""

    def suspend(self) -> None:
        """Ask for a pause."""


class CheckingClaimListener(base.Listener):
    """Asks the board at each move of the flow and of its tasks whether the job is still claimed by its owner.

    Each check is one question to the board, or two for a job that was claimed through the object at hand:
    then a claim that was lost and made anew under the same name counts as lost, too, as its fencing number
    is another. A claim counts as lost when the job is unclaimed, somebody else's, or gone; that the board
    cannot be reached is no such sign, and is only logged.

    Args:
        engine: whom to watch.
        job: what it works on.
        board: where that was claimed.
        owner: under which name.
        on_job_loss: called as ``on_job_loss(engine, state, details)`` at each move after the loss; the
            engine is suspended if left out.

    Raises:
        ValueError: ``on_job_loss`` cannot be called.
    """

    _engine: Engine

    def __init__(
        self, engine: Engine, job: Any, board: Board, owner: str, on_job_loss: OnJobLoss | None = None
    ) -> None:
        super().__init__(engine)
        if on_job_loss is not None and not callable(on_job_loss):
            raise ValueError(f"Custom 'on_job_loss' handler must be callable, not {on_job_loss!r}")
        self._job = job
        self._board = board
        self._owner = owner
        self._fence: int = getattr(job, "fencing_token", 0)
        #: Says where a job stands; TaskFlow's boards know owners only.
        self._look: Callable[[Any], Any] | None = getattr(board, "look", None)
        self._on_job_loss = on_job_loss or self._suspend

    def _suspend(self, engine: Engine, state: str, details: base.Details) -> None:
        """Do what is done unless the program says otherwise."""
        del state, details
        try:
            engine.suspend()
        except exc.StacklFlowError as error:
            _LOG.warning(
                "could not suspend %s, which has lost its job (owner '%s'):\n%s",
                engine, self._owner, error.pformat(),
            )  # fmt: skip

    def _has_been_lost(self) -> bool:
        try:
            if self._board.find_owner(self._job) != self._owner:
                return True
            if self._look is None or not self._fence:
                return False
            return bool(self._look(self._job).version != self._fence)
        except _GONE:
            return True

    def _check(self, state: str, details: base.Details) -> None:
        if self._has_been_lost():
            _LOG.warning("job '%s' is no longer claimed by '%s'", self._job, self._owner)
            self._on_job_loss(self._engine, state, details)
        else:
            _LOG.debug("job '%s' is still claimed by '%s'", self._job, self._owner)

    def _flow_receiver(self, state: str, details: base.Details) -> None:
        self._check(state, details)

    def _task_receiver(self, state: str, details: base.Details) -> None:
        self._check(state, details)
