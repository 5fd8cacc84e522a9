"""A listener that suspends an engine when the claim on its job is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.listeners import base

_LOG = redaction.get_logger(__name__)

OnJobLoss = Callable[[Any, str, base.Details], Any]

#: What a board raises for a job that no longer exists.
_JOB_IS_GONE: Final = (exc.NotFound, exc.JobFailure)


class Board(Protocol):
    """What the listener requires of a job board."""

    def find_owner(self, job: Any) -> str | None:
        """Return the owner of a job's claim, or None."""


class Engine(base.Engine, Protocol):
    """What the listener requires of an engine."""

    def suspend(self) -> None:
        """Request suspension."""


class CheckingClaimListener(base.Listener):
    """Checks at each transition of the flow and of its tasks that the job is still claimed by its owner.

    A claim counts as lost if the job is unclaimed, claimed by another owner, or no longer exists. If the job
    was claimed through this job object, a claim that was lost and made again under the same name counts as
    lost, too, as its fencing token differs. A board that cannot be reached does not count as a lost claim;
    the error is logged. Each check costs one query, two with a fencing token.

    Args:
        engine: the engine.
        job: the job that it runs.
        board: the board on which the job is claimed.
        owner: the owner of the claim.
        on_job_loss: called as ``on_job_loss(engine, state, details)`` at each transition after the loss;
            suspends the engine if left out.

    Raises:
        ValueError: ``on_job_loss`` is not callable.
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
        self._fencing_token: int = getattr(job, "fencing_token", 0)
        # Boards written for TaskFlow do not have this method.
        self._get_snapshot: Callable[[Any], Any] | None = getattr(board, "get_snapshot", None)
        self._on_job_loss = on_job_loss or self._suspend

    def _suspend(self, engine: Engine, state: str, details: base.Details) -> None:
        del state, details
        try:
            engine.suspend()
        except exc.StacklFlowError as error:
            _LOG.warning(
                "could not suspend %s after its job was lost (owner '%s'):\n%s",
                engine, self._owner, error.pformat(),
            )  # fmt: skip

    def _is_lost(self) -> bool:
        try:
            if self._board.find_owner(self._job) != self._owner:
                return True
            if self._get_snapshot is None or not self._fencing_token:
                return False
            return bool(self._get_snapshot(self._job).version != self._fencing_token)
        except _JOB_IS_GONE:
            return True

    def _check(self, state: str, details: base.Details) -> None:
        if self._is_lost():
            _LOG.warning("job '%s' is no longer claimed by '%s'", self._job, self._owner)
            self._on_job_loss(self._engine, state, details)
        else:
            _LOG.debug("job '%s' is still claimed by '%s'", self._job, self._owner)

    def _flow_receiver(self, state: str, details: base.Details) -> None:
        self._check(state, details)

    def _task_receiver(self, state: str, details: base.Details) -> None:
        self._check(state, details)
