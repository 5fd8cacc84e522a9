"""Generates random flows, the same ones for the same seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from tests.support.random_flows.spec import (
    ALWAYS,
    Answer,
    Case,
    DepthName,
    FlowKind,
    FlowSpec,
    LinkSpec,
    RetryKind,
    RetrySpec,
    TaskSpec,
)

_FLOW_KINDS: tuple[FlowKind, ...] = ("linear", "unordered", "graph")
_RETRY_KINDS: tuple[RetryKind, ...] = (
    "Times",
    "Times",
    "Times",
    "ForEach",
    "ParameterizedForEach",
    "AlwaysRevert",
    "AlwaysRevertAll",
)
_ANSWERS: tuple[Answer, ...] = ("none", "none", "yes", "no", "no", "second")
_DEPTHS: tuple[DepthName, ...] = ("ALL", "FLOW", "NEIGHBORS", "ATOM")
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Chances:
    """Probabilities.

    Attributes:
        subflow: a child is a flow and not a task.
        retry: a flow has a retry.
        require: a task requires one more value.
        fail: a task fails.
        revert_fail: a task's revert fails.
        link: two children of a graph are linked by hand.
        priority: a task has a priority of its own.
        inject: a task has an input of its own.
        odd: something invalid: a value without a provider, two providers, a cycle.
        suspend: a case has a task that suspends the engine.
        again: a case runs twice.
        option: a case has defer_reverts; also that it has never_resolve.
    """

    subflow: float = 0.35
    retry: float = 0.35
    require: float = 0.35
    fail: float = 0.2
    revert_fail: float = 0.03
    link: float = 0.3
    priority: float = 0.15
    inject: float = 0.1
    odd: float = 0.01
    suspend: float = 0.1
    again: float = 0.15
    option: float = 0.1


@dataclass(slots=True)
class _Draw:
    """The state of a generation: random numbers, tasks left, visible values."""

    dice: random.Random
    chances: Chances
    left: int
    visible: list[str] = field(default_factory=list)
    made: int = 0

    def hit(self, chance: float) -> bool:
        return self.dice.random() < chance

    def number(self) -> int:
        self.made += 1
        return self.made


def random_case(dice: random.Random, *, atoms: int = 12, chances: Chances | None = None) -> Case:
    """Draw a flow and a way to run it.

    Returns:
        The case.
    """
    chances = chances or Chances()
    draw = _Draw(dice, chances, left=dice.randint(2, atoms), visible=["given"])
    if draw.hit(0.2):
        draw.chances = calm(chances)
    flow = _flow(draw, depth=0)
    if draw.hit(chances.suspend):
        flow = _with_suspension(draw, flow)
    options = tuple((name, True) for name in ("defer_reverts", "never_resolve") if draw.hit(chances.option))
    store = (("given", "given#0"), ("values", ("p1", "p2")))
    return Case(flow, store, options, runs=2 if draw.hit(chances.again) else 1)


def seeded_case(seed: int, *, atoms: int = 12, chances: Chances | None = None) -> Case:
    """Generate the case of a seed.

    Returns:
        The same case for the same arguments, on every machine.
    """
    return random_case(random.Random(seed), atoms=atoms, chances=chances)


def calm(chances: Chances) -> Chances:
    """Return the same probabilities, but no task fails.

    Returns:
        The probabilities.
    """
    return replace(chances, fail=0.0)


def _flow(draw: _Draw, depth: int) -> FlowSpec:
    name = f"f{draw.number()}"
    kind = draw.dice.choice(_FLOW_KINDS)
    retry = _retry(draw) if draw.hit(draw.chances.retry) else None
    before = list(draw.visible)
    children: list[TaskSpec | FlowSpec] = []
    seen_later: list[str] = []
    for _ in range(draw.dice.randint(1, 5)):
        if draw.left <= 0 and children:
            break
        children.append(_child(draw, depth))
        if kind == "unordered":
            seen_later += draw.visible[len(before) :]
            draw.visible = list(before)
    draw.visible += seen_later
    links = _links(draw, children) if kind == "graph" else ()
    return FlowSpec(name, kind, tuple(children), retry, links)


def _child(draw: _Draw, depth: int) -> TaskSpec | FlowSpec:
    if depth < _DEEPEST and draw.left > 1 and draw.hit(draw.chances.subflow):
        return _flow(draw, depth + 1)
    draw.left -= 1
    return _task(draw)


def _task(draw: _Draw) -> TaskSpec:
    chances = draw.chances
    name = f"t{draw.number()}"
    requires: set[str] = set()
    while draw.hit(chances.require):
        requires.add(draw.dice.choice(draw.visible))
    if draw.hit(chances.odd):
        requires.add(f"v_t{draw.dice.randint(1, draw.made + 2)}")
    inject = (
        ((draw.dice.choice(sorted(requires)), f"own#{name}"),)
        if requires and draw.hit(chances.inject)
        else ()
    )
    provides = f"v_{name}" if draw.hit(0.8) else None
    if provides and draw.hit(chances.odd):
        provides = draw.dice.choice(draw.visible)
    if provides:
        draw.visible.append(provides)
    return TaskSpec(
        name,
        provides,
        tuple(sorted(requires)),
        priority=draw.dice.randint(-3, 5) if draw.hit(chances.priority) else 0,
        fails=draw.dice.choice((1, 1, 2, ALWAYS, ALWAYS)) if draw.hit(chances.fail) else 0,
        revert_fails=draw.dice.choice((1, ALWAYS)) if draw.hit(chances.revert_fail) else 0,
        inject=inject,
    )


def _retry(draw: _Draw) -> RetrySpec:
    name = f"r{draw.number()}"
    provides = f"v_{name}" if draw.hit(0.5) else None
    if provides:
        draw.visible.append(provides)
    return RetrySpec(
        name,
        draw.dice.choice(_RETRY_KINDS),
        attempts=draw.dice.choice((1, 2, 2, 3)),
        revert_all=draw.hit(0.15),
        provides=provides,
    )


def _links(draw: _Draw, children: list[TaskSpec | FlowSpec]) -> tuple[LinkSpec, ...]:
    links = []
    for first, source in enumerate(children):
        for second, target in enumerate(children):
            if first != second and draw.hit(draw.chances.link if first < second else draw.chances.odd):
                links.append(
                    LinkSpec(source.name, target.name, draw.dice.choice(_ANSWERS), draw.dice.choice(_DEPTHS))
                )
    return tuple(links)


def _with_suspension(draw: _Draw, flow: FlowSpec) -> FlowSpec:
    """Return the flow with one of its tasks made to suspend the engine."""
    chosen = draw.dice.choice([task.name for task in flow.tasks()])
    return replace_task(flow, chosen, suspends=True)


def replace_task(flow: FlowSpec, name: str, **changes: object) -> FlowSpec:
    """Return the flow with one task changed.

    Returns:
        A new flow; the old one is left as it was.
    """
    children: list[TaskSpec | FlowSpec] = []
    for child in flow.children:
        if isinstance(child, FlowSpec):
            children.append(replace_task(child, name, **changes))
        elif child.name == name:
            children.append(replace(child, **changes))  # type: ignore[arg-type]
        else:
            children.append(child)
    return replace(flow, children=tuple(children))
