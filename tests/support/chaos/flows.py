"""The flows that are run while all is disturbed; importable by the conductors' processes.

Each step has one effect in the middle of its time, so that a process may die before it and after it, and
passes a value on, so that a value that is lost or mixed up makes a flow fail that was not to fail.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final

from stackl_flow import retry, task
from stackl_flow import states as st
from stackl_flow.patterns import linear_flow, unordered_flow
from stackl_flow.patterns.base import Flow
from tests.support.chaos.effects import EXECUTE, REVERT, Effect, tell

ATTEMPTS: Final = 3
#: What retries are called.
RETRY: Final = "again"


class Boom(Exception):
    """What a step raises that is to fail."""


class Step(task.Task):
    """A task with an effect when it is executed, and another when it is undone.

    Args:
        name: what it and its value are called.
        after: whose value it needs; empty for nobody's.
        pace: seconds that it takes.
        good_from: the first attempt that does not fail; None for none.
    """

    def __init__(self, name: str, after: str = "", pace: float = 0.0, good_from: int | None = 1) -> None:
        super().__init__(name, provides=name, requires=[after] if after else [])
        self._after = after
        self._pace = pace
        self._good_from = good_from

    def execute(self, ledger: str, job: int, owner: str, attempt: int = 1, **given: Any) -> str:
        """Have the effect, and pass a value on."""
        if self._after and given[self._after] != value(self._after, job):
            raise ValueError(f"{self.name} of job {job} was given {given[self._after]!r}")
        self._take_time(ledger, Effect(job, self.name, EXECUTE, attempt, owner, os.getpid()))
        if self._good_from is None or attempt < self._good_from:
            raise Boom(f"{self.name} of job {job} fails, as it was told to")
        return value(self.name, job)

    def revert(self, ledger: str, job: int, owner: str, attempt: int = 1, **_: Any) -> None:
        """Have the other effect."""
        self._take_time(ledger, Effect(job, self.name, REVERT, attempt, owner, os.getpid()))

    def _take_time(self, ledger: str, effect: Effect) -> None:
        time.sleep(self._pace / 2)
        tell(ledger, effect)
        time.sleep(self._pace / 2)


def value(name: str, job: int) -> str:
    """Tell what a step's value has to be.

    Args:
        name: the step.
        job: number of the job.

    Returns:
        The value.
    """
    return f"{name}-of-{job}"


def steady(steps: int, pace: float) -> Flow:
    """Make a chain that succeeds."""
    return linear_flow.Flow("steady").add(*_chain(steps, pace))


def doomed(steps: int, pace: float) -> Flow:
    """Make a chain that fails at its end, and is undone."""
    return linear_flow.Flow("doomed").add(
        *_chain(steps, pace), Step("fails", _name(steps - 1), pace, good_from=None)
    )


def stubborn(steps: int, pace: float) -> Flow:
    """Make a chain that succeeds at its last attempt."""
    again = retry.Times(ATTEMPTS, RETRY, provides="attempt")
    last = Step("last", _name(steps - 1), pace, good_from=ATTEMPTS)
    return linear_flow.Flow("stubborn", retry=again).add(*_chain(steps, pace), last)


def hopeless(steps: int, pace: float) -> Flow:
    """Make a chain with an end that is tried in vain, so that everything is undone."""
    again = retry.Times(ATTEMPTS - 1, RETRY, provides="attempt", revert_all=True)
    end = linear_flow.Flow("end", retry=again).add(
        Step("tried", _name(steps - 1), pace), Step("fails", "tried", pace, good_from=None)
    )
    return linear_flow.Flow("hopeless").add(*_chain(steps, pace), end)


def wide(steps: int, pace: float) -> Flow:
    """Make a flow whose middle has no order."""
    middle = unordered_flow.Flow("middle").add(
        *(Step(f"m{number}", _name(0), pace) for number in range(steps))
    )
    return linear_flow.Flow("wide").add(*_chain(1, pace), middle, Step("last", "m0", pace))


#: How a flow of each kind is made, and the state in which it ends.
KINDS: Final[dict[str, tuple[Callable[[int, float], Flow], str]]] = {
    "steady": (steady, st.SUCCESS),
    "doomed": (doomed, st.REVERTED),
    "stubborn": (stubborn, st.SUCCESS),
    "hopeless": (hopeless, st.REVERTED),
    "wide": (wide, st.SUCCESS),
}


def make(kind: str, steps: int, pace: float) -> Flow:
    """Make a flow.

    Args:
        kind: one of ``KINDS``.
        steps: how many ordinary steps it has.
        pace: seconds that each takes.

    Returns:
        The flow.
    """
    return KINDS[kind][0](steps, pace)


def _name(number: int) -> str:
    return f"s{number}"


def _chain(steps: int, pace: float) -> list[Step]:
    return [Step(_name(each), _name(each - 1) if each else "", pace) for each in range(steps)]
