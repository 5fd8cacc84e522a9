"""Random flows as plain data, to compare engines, executors, backends and libraries.

`random_case` generates a `Case`, `run_case` builds and runs it, and `Outcome.differences` compares two runs.
"""

from tests.support.random_flows.build import OURS, Builder, Library, load
from tests.support.random_flows.generate import Chances, random_case, seeded_case
from tests.support.random_flows.record import Call, Outcome, PlannedError, Recorder
from tests.support.random_flows.run import describe, run_case
from tests.support.random_flows.spec import ALWAYS, Case, FlowSpec, LinkSpec, RetrySpec, TaskSpec

__all__ = [
    "ALWAYS",
    "OURS",
    "Builder",
    "Call",
    "Case",
    "Chances",
    "FlowSpec",
    "Library",
    "LinkSpec",
    "Outcome",
    "PlannedError",
    "Recorder",
    "RetrySpec",
    "TaskSpec",
    "describe",
    "load",
    "random_case",
    "run_case",
    "seeded_case",
]
