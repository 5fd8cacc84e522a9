"""A conductor in a process of its own: ``python -m tests.support.chaos.worker_process SETTINGS``."""

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
from stackl_flow.jobboards.job import Job
from stackl_flow.persistence import backends as stores
from stackl_flow.persistence.models import new_uuid
from tests.support.chaos.effects import note
from tests.support.chaos.settings import BOARD, NO_BEGINNING, Settings


class Sworn(Conductor):
    """A conductor whose tasks know which engine runs them.

    Args:
        workers: how many tasks of one flow it runs at once.
        kwargs: as for ``Conductor``.
    """

    def __init__(self, workers: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._workers = workers

    def _engine_from_job(self, job: Job) -> Engine:
        owner = f"{self.name}:{os.getpid()}:{new_uuid()[:8]}"
        # As the engines of other conductors, but for the name of its owner.
        options: dict[str, Any] = {"reset_reverted": False, "owner": owner}
        if self._workers > 1:
            options |= {"engine": "parallel", "max_workers": self._workers}
        engine = engines.load_from_detail(self._flow_detail_from_job(job), None, self._persistence, **options)
        engine.storage.inject({"owner": owner}, transient=True)
        return engine


def conduct(told: Settings) -> None:
    """Be a conductor until SIGTERM.

    Args:
        told: how.
    """
    with (
        stores.backend(told.flows) as store,
        boards.backend(BOARD, {"connection": told.board, "ttl": told.ttl}, persistence=store) as board,
    ):
        conductor = Sworn(
            told.workers, name=told.name, jobboard=board, persistence=store, max_simultaneous_jobs=told.slots
        )
        for event in ("job_consumed", "job_trashed"):
            conductor.notifier.register(event, lambda event, details: _tell(told, event, details["job"]))
        signal.signal(signal.SIGTERM, lambda *_: conductor.stop())
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        conductor.run()


def _tell(told: Settings, event: str, job: Job) -> None:
    note(told.told, f"{job.uuid} {event} {told.name}:{os.getpid()}")


def main() -> None:
    """Be a conductor, as the first argument says."""
    logging.basicConfig(
        format="%(asctime)s.%(msecs)03d %(threadName)s %(levelname)s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )
    try:
        conduct(Settings(**json.loads(sys.argv[1])))
    except exc.StorageFailure:
        logging.getLogger(__name__).exception("this conductor could not begin, or not end")
        sys.exit(NO_BEGINNING)


if __name__ == "__main__":
    main()
