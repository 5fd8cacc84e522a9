"""The specification of a flow, as plain frozen data.

Unlike a flow object, a spec belongs to no library, can be printed when a test fails, and can be shrunk step
by step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

#: For `TaskSpec.fails` and `TaskSpec.revert_fails`.
ALWAYS = -1

RetryKind = Literal["Times", "ForEach", "ParameterizedForEach", "AlwaysRevert", "AlwaysRevertAll"]
FlowKind = Literal["linear", "unordered", "graph"]
#: The decider of a link: none, yes, no, or yes if its source has run more than once.
Answer = Literal["none", "yes", "no", "second"]
DepthName = Literal["ALL", "FLOW", "NEIGHBORS", "ATOM"]


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task that returns a text and may fail.

    Attributes:
        name: its name in the flow.
        provides: the name of its value; None for none.
        requires: the names of its inputs.
        priority: as `Atom.priority`.
        fails: how many of its first executions fail; or ALWAYS.
        revert_fails: how many of its first reverts fail, or ALWAYS.
        inject: its injected values, as pairs.
        suspends: whether its first execution suspends the engine.
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
    """One of the five retries of the library.

    Attributes:
        name: its name in the flow.
        kind: its class.
        attempts: attempts of Times; number of values of ForEach and ParameterizedForEach.
        revert_all: the argument of that name.
        provides: the name of its value; None for none.
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
        answer: the answer of its decider.
        depth: the decider depth.
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
        """Yield every atom: a flow's retry, then its children."""
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
        store: the initial values.
        options: engine options, such as defer_reverts.
        runs: how many times `run` is called.
    """

    flow: FlowSpec
    store: tuple[tuple[str, object], ...] = ()
    options: tuple[tuple[str, bool], ...] = ()
    runs: int = 1
