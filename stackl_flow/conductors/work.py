"""One job at work: its engine, run through its stages, and stopped when somebody asks for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from stackl_flow import exceptions as exc
from stackl_flow import secrecy
from stackl_flow import states as st
from stackl_flow.conductors import verdicts
from stackl_flow.conductors.verdicts import Verdict
from stackl_flow.engines.base import Engine
from stackl_flow.jobboards.job import Job
from stackl_flow.jobboards.posting import LOST
from stackl_flow.persistence.base import Backend

_LOG = secrecy.logger(__name__)

Listeners = Iterable[AbstractContextManager[Any]]
Tell = Callable[[str, dict[str, Any]], None]


class Work:
    """Runs the flow of one claimed job.

    Args:
        job: the job.
        tell: hears of the stages, by event and details.
        persistence: where its flow is stored.
    """

    def __init__(self, job: Job, tell: Tell, persistence: Backend | None = None) -> None:
        self.job = job
        self._tell = tell
        self._persistence = persistence
        self._engine: Engine | None = None
        self._stopped = False

    def stop(self) -> None:
        """Have the flow suspended at its next atom; any thread may call this, at any time."""
        self._stopped = True
        engine = self._engine
        if engine is not None and engine.compilation is not None:
            engine.suspend()

    def do(
        self, make_engine: Callable[[Job], Engine], listeners: Callable[[Job, Engine], Listeners]
    ) -> Verdict:
        """Run the flow until it rests.

        Args:
            make_engine: gets the engine for the job.
            listeners: gets what is to listen to it.

        Returns:
            What is to become of the job.
        """
        try:
            engine = self._engine = make_engine(self.job)
            listening = list(listeners(self.job, engine))
        except Exception as error:  # noqa: BLE001  whatever it is, the job goes to the bin with it
            if not isinstance(error, exc.TaskFlowException):  # whose message says it all
                _LOG.warning("making the flow of %r raised", self.job, exc_info=True)
            return verdicts.of_no_flow(error)
        with ExitStack() as stack:
            for listener in listening:
                stack.enter_context(listener)
            return self._run(engine)

    def _run(self, engine: Engine) -> Verdict:
        # A stop that was asked for before the flow runs counts from its first moment on.
        engine.notifier.register(st.RUNNING, self._check_stop)
        try:
            for stage, name in (
                (engine.compile, "compilation"),
                (engine.prepare, "preparation"),
                (engine.validate, "validation"),
                (engine.run, "running"),
            ):
                if stage == engine.validate and self._is_done(engine):
                    return verdicts.of_undone(engine.storage.get_failures().values())
                self._tell(f"{name}_start", {"job": self.job, "engine": engine})
                stage()
                self._tell(f"{name}_end", {"job": self.job, "engine": engine})
        except exc.OwnershipLost as error:
            return verdicts.of_error(error, st.RUNNING)
        except Exception as error:  # noqa: BLE001  the verdict tells of it
            return verdicts.of_error(error, engine.storage.get_flow_state())
        finally:
            engine.notifier.deregister(st.RUNNING, self._check_stop)
        state = engine.storage.get_flow_state()
        return verdicts.of_rest(state, {} if state == st.SUSPENDED else _told(engine))

    def _is_done(self, engine: Engine) -> bool:
        """Say whether the flow was undone under this very job, by one who died before the board heard of it.

        Otherwise an undone flow is set back: who posts it again wants it run again.

        Raises:
            OwnershipLost: the claim is not there any more, and whoever has the job decides about its flow.
        """
        if engine.storage.get_flow_state() != st.REVERTED:
            return False
        try:
            self.job.board.extend(self.job, self.job.claims[-1].who)
        except (exc.JobFailure, exc.NotFound) as error:
            raise exc.OwnershipLost(f"its flow is left as it is: {error}", cause=error) from error
        undone = self._undone_at(engine)
        under = [claim for claim in self.job.claims[:-1] if claim.at <= undone]
        if under and under[-1].ended == LOST:  # else it was given back, to be tried again
            return True
        engine.reset()
        return False

    def _undone_at(self, engine: Engine) -> float:
        if self._persistence is None:
            return math.inf
        with self._persistence.get_connection() as connection:
            moves = connection.get_history(engine.storage.flow_uuid)
        ends = (move.at for move in moves if move.atom is None and move.new == st.REVERTED)
        return max(ends, default=-math.inf)

    def _check_stop(self, _state: str, details: dict[str, Any]) -> None:
        if self._stopped:
            details["engine"].suspend()


def _told(engine: Engine) -> dict[str, Any]:
    """Return what a flow provided, as whoever looks at the board may see it."""
    found = engine.storage.fetch_all()
    names = secrecy.names_in(engine.storage.flow_meta)
    told: dict[str, Any] = secrecy.hide(secrecy.mask(found, names)) if names else found
    return told
