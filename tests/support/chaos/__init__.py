"""Chaos tests: faults are injected by a plan, and the remains are checked against the library's guarantees.

`plan` derives from a seed which jobs are posted, which faults occur and when: a pure value, the same for the
same seed. `faults` injects them into `workers` (conductors in processes), `proxies` (connections) and
servers; `round` carries the plan out and logs what happened. `traces` collects what remains of each job:
effects of its tasks (`effects`), its flow's history and its state on the board. `checker` compares traces
with the guarantees; it is pure, so that it can be tested with wrong traces.
"""

from tests.support.chaos.checker import check
from tests.support.chaos.plan import Plan, Scale, make_plan
from tests.support.chaos.round import Report, Round, Target
from tests.support.chaos.traces import JobTrace

__all__ = ["JobTrace", "Plan", "Report", "Round", "Scale", "Target", "check", "make_plan"]
