"""The flows of chaos tests, importable by the conductors' processes.

A step has one side effect in the middle of its duration, so that a process can be killed before and after it.
It checks the value that it receives, so that a lost or wrong value makes the flow fail.
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
from tests.support.chaos.effects import EXECUTE, REVERT, Effect, record

ATTEMPTS: Final = 3
#: Characters of each value of a flow with large values.
LARGE: Final = 60_000
#: Name of the retries.
RETRY: Final = "again"


class StepFailed(Exception):
    """The planned failure of a step."""


class Step(task.Task):
    """A task with a side effect when it is executed and another one when it is reverted.

    Args:
        name: its name, and the name of its value.
        after: the step whose value it requires; empty for none.
        pace: its duration in seconds.
        succeeds_from: the first attempt that succeeds; None if all fail.
        size: characters that are added to its value, and to the one that it requires.
    """

    def __init__(
        self, name: str, after: str = "", pace: float = 0.0, succeeds_from: int | None = 1, size: int = 0
    ) -> None:
        super().__init__(name, provides=name, requires=[after] if after else [])
        self._after = after
        self._pace = pace
        self._succeeds_from = succeeds_from
        self._size = size

    def execute(self, effect_log: str, job: int, owner: str = "", attempt: int = 1, **given: Any) -> str:
        """Record the effect and return the value."""
        if self._after and given[self._after] != value(self._after, job, self._size):
            raise ValueError(f"{self.name} of job {job} received {given[self._after]!r:.200}")
        self._run(effect_log, Effect(job, self.name, EXECUTE, attempt, owner, os.getpid()))
        if self._succeeds_from is None or attempt < self._succeeds_from:
            raise StepFailed(f"{self.name} of job {job} fails as planned")
        return value(self.name, job, self._size)

    def revert(self, effect_log: str, job: int, owner: str = "", attempt: int = 1, **_: Any) -> None:
        """Record the other effect."""
        self._run(effect_log, Effect(job, self.name, REVERT, attempt, owner, os.getpid()))

    def _run(self, effect_log: str, effect: Effect) -> None:
        time.sleep(self._pace / 2)
        record(effect_log, effect)
        time.sleep(self._pace / 2)


def value(name: str, job: int, size: int = 0) -> str:
    """Return the value of a step, with that many characters added."""
    return f"{name}-of-{job}" + "." * size


def succeeding(steps: int, pace: float) -> Flow:
    """Make a chain that succeeds."""
    return linear_flow.Flow("succeeding").add(*_chain(steps, pace))


def failing(steps: int, pace: float) -> Flow:
    """Make a chain that fails at its end and is reverted."""
    return linear_flow.Flow("failing").add(
        *_chain(steps, pace), Step("fails", _name(steps - 1), pace, succeeds_from=None)
    )


def retried(steps: int, pace: float) -> Flow:
    """Make a chain that succeeds in its last attempt."""
    again = retry.Times(ATTEMPTS, RETRY, provides="attempt")
    last = Step("last", _name(steps - 1), pace, succeeds_from=ATTEMPTS)
    return linear_flow.Flow("retried", retry=again).add(*_chain(steps, pace), last)


def exhausted(steps: int, pace: float) -> Flow:
    """Make a chain whose end fails in every attempt, so that everything is reverted."""
    again = retry.Times(ATTEMPTS - 1, RETRY, provides="attempt", revert_all=True)
    end = linear_flow.Flow("end", retry=again).add(
        Step("tried", _name(steps - 1), pace), Step("fails", "tried", pace, succeeds_from=None)
    )
    return linear_flow.Flow("exhausted").add(*_chain(steps, pace), end)


def unordered(steps: int, pace: float) -> Flow:
    """Make a flow with unordered tasks in its middle."""
    middle = unordered_flow.Flow("middle").add(
        *(Step(f"m{number}", _name(0), pace) for number in range(steps))
    )
    return linear_flow.Flow("unordered").add(*_chain(1, pace), middle, Step("last", "m0", pace))


def large(steps: int, pace: float) -> Flow:
    """Make a chain with large values that fails, is reverted, and succeeds in its last attempt."""
    again = retry.Times(ATTEMPTS, RETRY, provides="attempt")
    last = Step("last", _name(steps - 1), pace, succeeds_from=ATTEMPTS, size=LARGE)
    return linear_flow.Flow("large", retry=again).add(*_chain(steps, pace, LARGE), last)


#: Kinds of flows with large values.
LARGE_KINDS: Final = frozenset({"large"})
#: Factory and final state of each kind of flow.
KINDS: Final[dict[str, tuple[Callable[[int, float], Flow], str]]] = {
    "succeeding": (succeeding, st.SUCCESS),
    "failing": (failing, st.REVERTED),
    "retried": (retried, st.SUCCESS),
    "exhausted": (exhausted, st.REVERTED),
    "unordered": (unordered, st.SUCCESS),
    "large": (large, st.SUCCESS),
}


def make(kind: str, steps: int, pace: float) -> Flow:
    """Make a flow of a kind in ``KINDS``, with that many ordinary steps."""
    return KINDS[kind][0](steps, pace)


def _name(number: int) -> str:
    return f"s{number}"


def _chain(steps: int, pace: float, size: int = 0) -> list[Step]:
    return [Step(_name(each), _name(each - 1) if each else "", pace, size=size) for each in range(steps)]
