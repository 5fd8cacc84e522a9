"""The conductor that runs several jobs concurrently, on a bounded pool of threads."""

from __future__ import annotations

import os
from typing import Any

from stackl_flow.conductors.conductor import Conductor
from stackl_flow.jobboards.base import JobBoard


class NonBlockingConductor(Conductor):
    """Runs several jobs concurrently; takes the arguments of ``Conductor``.

    Args:
        max_simultaneous_jobs: maximum number of concurrent jobs; by default two for each processor, at least
            four.
    """

    def __init__(
        self,
        name: str,
        jobboard: JobBoard,
        *args: Any,
        max_simultaneous_jobs: int | None = None,
        **kwargs: Any,
    ) -> None:
        slots = max_simultaneous_jobs or max(4, 2 * (os.cpu_count() or 1))
        super().__init__(name, jobboard, *args, max_simultaneous_jobs=slots, **kwargs)
