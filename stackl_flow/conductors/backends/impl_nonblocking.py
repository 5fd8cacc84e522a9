"""The conductor that runs several jobs at once, on a bounded pool of threads."""

from __future__ import annotations

import os
from typing import Any

from stackl_flow.conductors.conductor import Conductor
from stackl_flow.jobboards.base import JobBoard


class NonBlockingConductor(Conductor):
    """Runs several jobs at once.

    Args:
        name: as for ``Conductor``, as are all that follow.
        jobboard: where it claims jobs.
        args: further arguments.
        max_simultaneous_jobs: how many at once; two for each processor, and at least four, if left out.
        kwargs: further keyword arguments.
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
