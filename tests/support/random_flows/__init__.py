"""Random flows as plain data: to compare engines, executors and backends with each other.

A new executor or backend is trusted when random flows end on it as they end on the reference. `random_case`
draws a `Case`, `run_case` builds and runs it, and two `Outcome`s tell how they differ.
"""

from tests.support.random_flows.build import OURS, Builder, Library, load
from tests.support.random_flows.generate import Chances, random_case, seeded_case
from tests.support.random_flows.record import Call, FlowBoom, Outcome, Recorder
from tests.support.random_flows.run import describe, run_case
from tests.support.random_flows.spec import ALWAYS, Case, FlowSpec, LinkSpec, RetrySpec, TaskSpec

__all__ = [
    "ALWAYS",
    "OURS",
    "Builder",
    "Call",
    "Case",
    "Chances",
    "FlowBoom",
    "FlowSpec",
    "Library",
    "LinkSpec",
    "Outcome",
    "Recorder",
    "RetrySpec",
    "TaskSpec",
    "describe",
    "load",
    "random_case",
    "run_case",
    "seeded_case",
]
