"""A conductor in its own process: ``python -m tests.support.chaos.worker_process SETTINGS``."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from typing import Any

from stackl_flow import engines
from stackl_flow import exceptions as exc
from stackl_flow.conductors.conductor import Conductor
from stackl_flow.engines.base import Engine
from stackl_flow.jobboards import backends as boards
from stackl_flow.jobboards.base import Job
from stackl_flow.persistence import backends as stores
from stackl_flow.persistence.models import new_uuid
from tests.support.chaos.effects import append_line
from tests.support.chaos.settings import BOARD, STARTUP_FAILED, WorkerSettings


class OwnerTracingConductor(Conductor):
    """A conductor that gives tasks the name of the engine that runs them.

    Args:
        workers: how many tasks of a flow run at once.
        kwargs: arguments of ``Conductor``.
    """

    def __init__(self, workers: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._workers = workers

    def _engine_from_job(self, job: Job) -> Engine:
        owner = f"{self.name}:{os.getpid()}:{new_uuid()[:8]}"
        # As Conductor does, with a known owner.
        options: dict[str, Any] = {"reset_reverted": False, "owner": owner}
        if self._workers > 1:
            options |= {"engine": "parallel", "max_workers": self._workers}
        engine = engines.load_from_detail(self._flow_detail_from_job(job), None, self._persistence, **options)
        engine.storage.inject({"owner": owner}, transient=True)
        return engine


def run_conductor(settings: WorkerSettings) -> None:
    """Run a conductor until SIGTERM."""
    with (
        stores.backend(settings.flows) as store,
        boards.backend(
            BOARD, {"connection": settings.board, "ttl": settings.ttl}, persistence=store
        ) as board,
    ):
        conductor = OwnerTracingConductor(
            settings.workers,
            name=settings.name,
            jobboard=board,
            persistence=store,
            max_simultaneous_jobs=settings.slots,
        )
        for event in ("job_consumed", "job_trashed"):
            conductor.notifier.register(
                event, lambda event, details: _report(settings, event, details["job"])
            )
        signal.signal(signal.SIGTERM, lambda *_: conductor.stop())
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        conductor.run()


def _report(settings: WorkerSettings, event: str, job: Job) -> None:
    append_line(settings.reports, f"{job.uuid} {event} {settings.name}:{os.getpid()}")


def main() -> None:
    """Run a conductor with the settings in the first argument."""
    logging.basicConfig(
        format="%(asctime)s.%(msecs)03d %(threadName)s %(levelname)s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )
    try:
        run_conductor(WorkerSettings(**json.loads(sys.argv[1])))
    except exc.StorageFailure:
        logging.getLogger(__name__).exception("the conductor could not start or stop")
        sys.exit(STARTUP_FAILED)


if __name__ == "__main__":
    main()
