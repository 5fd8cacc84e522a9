"""Posts the jobs of a round, also while stores are unavailable."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stackl_flow import exceptions as exc
from stackl_flow.jobboards.base import Job, JobBoard
from stackl_flow.persistence.base import Backend
from stackl_flow.submission import post_flow
from tests.support.chaos.flows import make
from tests.support.chaos.plan import NO_FLOW, JobSpec
from tests.support.chaos.traces import book_name

#: Seconds between attempts while the board is unavailable.
_RETRY_DELAY: Final = 0.2


class Poster:
    """Posts jobs at their times, each with a key, so that a post can be repeated after an unknown outcome.

    Attributes:
        posted: the uuid of each posted job.
    """

    def __init__(self, specs: Sequence[JobSpec], board: JobBoard, store: Backend, effect_log: Path) -> None:
        self.posted: dict[JobSpec, str] = {}
        self._jobs: dict[JobSpec, Job] = {}
        self._specs = sorted(specs, key=lambda spec: spec.at)
        self._board = board
        self._store = store
        self._effect_log = effect_log
        self._stopped = threading.Event()

    def run(self) -> None:
        """Post all jobs, each at its time from now."""
        start = time.monotonic()
        for spec in self._specs:
            self._stopped.wait(max(0.0, start + spec.at - time.monotonic()))
            while spec not in self.posted and not self._stopped.is_set():
                try:
                    self._jobs[spec] = self._post(spec)
                    self.posted[spec] = self._jobs[spec].uuid
                except (exc.StorageFailure, exc.JobFailure):
                    self._stopped.wait(_RETRY_DELAY)

    def stop(self) -> None:
        """Stop posting."""
        self._stopped.set()

    def _post(self, spec: JobSpec) -> Job:
        name = book_name(spec)
        if spec.kind == NO_FLOW:
            return self._board.post(name, priority=spec.priority, key=name)
        return post_flow(
            self._board,
            self._store,
            make,
            name=name,
            store={"effect_log": str(self._effect_log), "job": spec.number},
            factory_args=(spec.kind, spec.steps, spec.pace),
            priority=spec.priority,
            key=name,
        )

    def wait_finished(self, until: float) -> list[JobSpec]:
        """Wait until all jobs have finished, or a time of the monotonic clock; return the unfinished ones."""
        return [spec for spec in self._specs if not self._has_finished(self._jobs[spec], until)]

    def _has_finished(self, job: Job, until: float) -> bool:
        while True:
            try:
                return job.wait(max(0.0, until - time.monotonic()))
            except exc.StorageFailure:
                if time.monotonic() > until:
                    return False
                self._stopped.wait(_RETRY_DELAY)
