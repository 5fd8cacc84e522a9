"""Chaos: all is disturbed by a plan, and what is left is held against what the library promises.

A round has four parts that know little of each other. `plan` draws from a seed which jobs are posted and what
is done to whom, and when: a pure value, the same for the same seed. `crew`, `links` and the servers that
are handed in do it; `round` goes by the clock and writes down what was really done. `stories` gathers what is
left of each job: what its tasks did (`effects`), what its flow's history says, and where the board has it.
`checker` holds these against what the library promises: pure again, so that it can be tested with stories
that are wrong.
"""

from tests.support.chaos.checker import check
from tests.support.chaos.plan import Means, Plan, make_plan
from tests.support.chaos.round import Report, Round, Site
from tests.support.chaos.traces import Story

__all__ = ["Means", "Plan", "Report", "Round", "Site", "Story", "check", "make_plan"]
