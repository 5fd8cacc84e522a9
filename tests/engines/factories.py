"""Flow factories, for tests that import them by name."""

from __future__ import annotations

from stackl_flow import LinearFlow
from tests.engines.tasks import Step

LOG: list[str] = []
NO_FUNCTION = 5


def letters(names, word=""):
    """Create a step for each letter that appends to ``LOG``."""
    flow = LinearFlow("letters")
    for name in names:
        step = Step(name, LOG)
        step.execute = lambda name=name: LOG.append(name + word)
        flow.add(step)
    return flow


class Shop:
    """Holds a factory that is a static method."""

    @staticmethod
    def flow(name):
        """Create a flow with one step."""
        return LinearFlow("shop").add(Step(name, LOG))


def make_inner():
    """Return a function that cannot be imported."""

    def inner():
        return LinearFlow("inner")

    return inner
