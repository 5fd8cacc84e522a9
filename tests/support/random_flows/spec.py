"""What a random flow is, as plain frozen data.

A flow object belongs to one library and holds callables, so two runs of it cannot be compared and a failing
one cannot be printed. A spec can: the same spec is built for TaskFlow and for us, is shown as text in a
failed test, and is cut down piece by piece until only what matters is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

#: Every time; for `TaskSpec.fails` and `TaskSpec.revert_fails`.
ALWAYS = -1

RetryKind = Literal["Times", "ForEach", "ParameterizedForEach", "AlwaysRevert", "AlwaysRevertAll"]
FlowKind = Literal["linear", "unordered", "graph"]
#: What a decider says: nothing (no decider), yes, no, or yes once its source has run more than once.
Answer = Literal["none", "yes", "no", "second"]
DepthName = Literal["ALL", "FLOW", "NEIGHBORS", "ATOM"]


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task that hands on one text value and may fail.

    Attributes:
        name: its name in the flow.
        provides: the name of its value, None when it has none.
        requires: the values that it takes.
        priority: as `Atom.priority`.
        fails: how many of its first executions fail, or ALWAYS.
        revert_fails: how many of its first reverts fail, or ALWAYS.
        inject: its own inputs, as pairs.
        suspends: whether its first execution asks the engine to suspend.
    """

    name: str
    provides: str | None = None
    requires: tuple[str, ...] = ()
    priority: int = 0
    fails: int = 0
    revert_fails: int = 0
    inject: tuple[tuple[str, str], ...] = ()
    suspends: bool = False


@dataclass(frozen=True, slots=True)
class RetrySpec:
    """A retry of the library's own five.

    Attributes:
        name: its name in the flow.
        kind: which of the five.
        attempts: executions in all for Times, number of values for the two that go over values.
        revert_all: as the library's argument of that name.
        provides: the name of its value, None when it has none.
    """

    name: str
    kind: RetryKind
    attempts: int = 1
    revert_all: bool = False
    provides: str | None = None


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """A link between two children of a graph flow, with a decider or without one.

    Attributes:
        source: name of the child that comes first.
        target: name of the child that waits.
        answer: what the decider says.
        depth: how far a "no" reaches.
    """

    source: str
    target: str
    answer: Answer = "none"
    depth: DepthName = "ALL"


@dataclass(frozen=True, slots=True)
class FlowSpec:
    """A flow of any of the three patterns.

    Attributes:
        name: its name.
        kind: its pattern.
        children: tasks and flows in the order they are added.
        retry: its retry, or None.
        links: only for a graph.
    """

    name: str
    kind: FlowKind
    children: tuple[TaskSpec | FlowSpec, ...] = ()
    retry: RetrySpec | None = None
    links: tuple[LinkSpec, ...] = ()

    def flows(self) -> Iterator[FlowSpec]:
        """Yield this flow and every flow in it, outer ones first."""
        yield self
        for child in self.children:
            if isinstance(child, FlowSpec):
                yield from child.flows()

    def atoms(self) -> Iterator[TaskSpec | RetrySpec]:
        """Yield every atom, in the order of the text: a flow's retry, then its children."""
        if self.retry is not None:
            yield self.retry
        for child in self.children:
            if isinstance(child, FlowSpec):
                yield from child.atoms()
            else:
                yield child

    def tasks(self) -> Iterator[TaskSpec]:
        """Yield every task."""
        return (atom for atom in self.atoms() if isinstance(atom, TaskSpec))


@dataclass(frozen=True, slots=True)
class Case:
    """A flow and how to run it.

    Attributes:
        flow: the flow.
        store: values given to the run.
        options: engine options, such as defer_reverts.
        runs: how many times `run` is called in all, one after another.
    """

    flow: FlowSpec
    store: tuple[tuple[str, object], ...] = ()
    options: tuple[tuple[str, bool], ...] = ()
    runs: int = 1
