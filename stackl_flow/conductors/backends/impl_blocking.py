"""The conductor that runs one job after the other, in the thread that calls ``run``."""

from __future__ import annotations

from typing import Any

from stackl_flow.conductors.conductor import Conductor
from stackl_flow.jobboards.base import JobBoard


class BlockingConductor(Conductor):
    """Runs one job at a time.

    Args:
        name: as for ``Conductor``, as are all that follow.
        jobboard: where it claims jobs.
        args: further arguments.
        kwargs: further keyword arguments.
    """

    def __init__(self, name: str, jobboard: JobBoard, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, jobboard, *args, **{**kwargs, "max_simultaneous_jobs": 1})
