"""The conductor that runs one job at a time, in the thread that calls ``run``."""

from __future__ import annotations

from typing import Any

from stackl_flow.conductors.conductor import Conductor
from stackl_flow.jobboards.base import JobBoard


class BlockingConductor(Conductor):
    """Runs one job at a time; takes the arguments of ``Conductor``."""

    def __init__(self, name: str, jobboard: JobBoard, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, jobboard, *args, **{**kwargs, "max_simultaneous_jobs": 1})
