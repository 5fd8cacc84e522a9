"""The flows of crash tests: small, with a line in the effect log for each call of an atom.

Tasks depend on their arguments only and not on the memory of their process, which is lost in a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stackl_flow import retry, task
from stackl_flow.patterns import deciders, graph_flow, linear_flow, unordered_flow
from stackl_flow.testing.crash import EffectLog


class StepFailed(Exception):
    """The planned failure of a step."""


class Step(task.Task):
    """Writes a line when it is executed and one when it is reverted.

    It fails if `fails` is set, or while its argument `attempt` is below `until`.
    """

    def __init__(
        self,
        effects: EffectLog,
        name: str,
        *,
        fails: bool = False,
        until: int = 0,
        revert_fails: bool = False,
        requires=(),
    ):
        super().__init__(name=name, provides=f"v_{name}", requires=requires)
        self.effects, self.fails, self.until, self.revert_fails = effects, fails, until, revert_fails

    def execute(self, **seen: Any) -> str:
        self.effects.append(f"{self.name} execute {sorted(seen.items())}")
        if self.fails or seen.get("attempt", self.until) < self.until:
            raise StepFailed(self.name)
        return f"{self.name}!"

    def revert(self, result: Any, flow_failures: dict[str, Any], **seen: Any) -> None:
        shown = result if isinstance(result, str) else type(result).__name__
        self.effects.append(f"{self.name} revert {shown} {sorted(flow_failures)} {sorted(seen.items())}")
        if self.revert_fails:
            raise StepFailed(f"revert of {self.name}")


class LoggedTimes(retry.Times):
    """Times with a line for each call."""

    def __init__(self, effects: EffectLog, name: str, attempts: int, *, revert_all: bool = False):
        super().__init__(attempts, name=name, provides="attempt", revert_all=revert_all)
        self.effects = effects

    def execute(self, history: Any, *args: Any, **kwargs: Any) -> int:
        self.effects.append(f"{self.name} execute {len(history)}")
        return super().execute(history, *args, **kwargs)

    def revert(self, history: Any, *args: Any, **kwargs: Any) -> None:
        self.effects.append(f"{self.name} revert {len(history)}")


@dataclass(frozen=True)
class Scenario:
    """A flow to kill: its factory, its engine, and its final state without a crash."""

    name: str
    make: Callable[[EffectLog], Any]
    ends: str = "SUCCESS"
    engine: str = "serial"
    store: tuple[tuple[str, Any], ...] = ()


def linear(effects: EffectLog):
    return linear_flow.Flow("linear").add(
        Step(effects, "a"), Step(effects, "b", requires=["v_a"]), Step(effects, "c", requires=["v_a", "v_b"])
    )


def reverted(effects: EffectLog):
    return linear_flow.Flow("reverted").add(
        Step(effects, "a"),
        Step(effects, "b", requires=["v_a"]),
        Step(effects, "c", requires=["v_b"], fails=True),
    )


def parked(effects: EffectLog):
    return linear_flow.Flow("parked").add(
        Step(effects, "a"), Step(effects, "b", revert_fails=True), Step(effects, "c", fails=True)
    )


def retried(effects: EffectLog):
    inner = linear_flow.Flow("inner", retry=LoggedTimes(effects, "again", 3)).add(
        Step(effects, "b", requires=["attempt"]),
        Step(effects, "c", requires=["attempt", "v_b"], until=3),
        Step(effects, "d"),
    )
    return linear_flow.Flow("retried").add(Step(effects, "a"), inner, Step(effects, "e", requires=["v_d"]))


def exhausted(effects: EffectLog):
    inner = linear_flow.Flow("inner", retry=LoggedTimes(effects, "again", 2, revert_all=True)).add(
        Step(effects, "b"), Step(effects, "c", fails=True)
    )
    return linear_flow.Flow("exhausted").add(Step(effects, "a"), inner)


def nested(effects: EffectLog):
    inner = linear_flow.Flow("inner", retry=LoggedTimes(effects, "inner again", 2)).add(
        Step(effects, "c"), Step(effects, "d", requires=["attempt"], until=2)
    )
    middle = graph_flow.Flow("middle").add(Step(effects, "b"), inner)
    return linear_flow.Flow("nested", retry=retry.AlwaysRevert("root retry")).add(
        Step(effects, "a"), middle, Step(effects, "e", fails=True)
    )


def unordered(effects: EffectLog):
    return unordered_flow.Flow("unordered").add(*(Step(effects, name) for name in "abcd"))


def unordered_reverted(effects: EffectLog):
    siblings = unordered_flow.Flow("siblings").add(*(Step(effects, name) for name in "abc"))
    return linear_flow.Flow("unordered_reverted").add(siblings, Step(effects, "z", fails=True))


def fan(effects: EffectLog):
    flow = graph_flow.Flow("fan").add(Step(effects, "a"))
    flow.add(*(Step(effects, name, requires=["v_a"]) for name in "bcd"))
    return flow.add(Step(effects, "e", requires=["v_b", "v_c", "v_d"]))


def fan_reverted(effects: EffectLog):
    flow = graph_flow.Flow("fan_reverted").add(Step(effects, "a"))
    flow.add(*(Step(effects, name, requires=["v_a"]) for name in "bcd"))
    return flow.add(Step(effects, "e", requires=["v_b", "v_c", "v_d"], fails=True))


def fan_retried(effects: EffectLog):
    flow = graph_flow.Flow("fan_retried", retry=LoggedTimes(effects, "again", 2)).add(Step(effects, "a"))
    flow.add(*(Step(effects, name, requires=["v_a"]) for name in "bc"))
    return flow.add(Step(effects, "e", requires=["attempt", "v_b", "v_c"], until=2))


def decided(effects: EffectLog):
    steps = {name: Step(effects, name) for name in "abcd"}
    flow = graph_flow.Flow("decided").add(*steps.values())
    flow.link(steps["a"], steps["b"], decider=lambda history: False, decider_depth=deciders.Depth.ATOM)
    return flow.link(steps["b"], steps["c"]).link(steps["c"], steps["d"])


SCENARIOS = (
    Scenario("linear", linear),
    Scenario("reverted", reverted, "REVERTED"),
    Scenario("parked", parked, "REVERT_FAILURE"),
    Scenario("retried", retried),
    Scenario("exhausted", exhausted, "REVERTED"),
    Scenario("nested", nested, "REVERTED"),
    Scenario("unordered", unordered),
    Scenario("unordered_reverted", unordered_reverted, "REVERTED"),
    Scenario("decided", decided),
    Scenario("fan", fan),
    Scenario("parallel", fan, engine="parallel"),
    Scenario("parallel_reverted", fan_reverted, "REVERTED", engine="parallel"),
    Scenario("parallel_retried", fan_retried, engine="parallel"),
    Scenario("parallel_unordered", unordered, engine="parallel"),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
