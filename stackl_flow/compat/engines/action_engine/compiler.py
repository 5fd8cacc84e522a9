"""TaskFlow's `taskflow.engines.action_engine.compiler`: a plan, shown as a graph and a tree of objects.

An engine runs its plan of numbers. Who asks for ``execution_graph`` or ``hierarchy``, to draw or to look
around, gets them made at that moment.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any, ClassVar, Final

from stackl_flow import exceptions as exc
from stackl_flow.atom import Atom
from stackl_flow.compat.types.graph import OrderedDiGraph
from stackl_flow.compat.types.tree import Node
from stackl_flow.engines import plan as plans
from stackl_flow.engines.plan import FLOW, FLOW_END, RETRY, TASK
from stackl_flow.patterns.base import LINK_INVARIANT, LINK_RETRY, Flow, Item
from stackl_flow.retry import Retry

__all__ = [
    "ATOMS", "FLOW", "FLOWS", "FLOW_END", "RETRY", "TASK", "Compilation", "PatternCompiler", "Terminator",
]  # fmt: skip

ATOMS: Final = (TASK, RETRY)
FLOWS: Final = (FLOW, FLOW_END)


class Terminator:
    """The node where a flow ends.

    Args:
        flow: the flow.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow

    @property
    def flow(self) -> Flow:
        """The flow that ends here."""
        return self._flow

    @property
    def name(self) -> str:
        """The flow's name, and a mark."""
        return f"{self._flow.name}[$]"

    def __str__(self) -> str:
        """Show the flow, and a mark."""
        return f'"{str(self._flow).strip(chr(34))}[$]"'


class Compilation(plans.Plan):
    """A plan that can be looked at as TaskFlow's users do.

    Args:
        plan: the plan.
        item: what it is the plan of.
    """

    TASK: ClassVar[str] = TASK
    RETRY: ClassVar[str] = RETRY
    FLOW: ClassVar[str] = FLOW
    FLOW_END: ClassVar[str] = FLOW_END

    def __init__(self, plan: plans.Plan, item: Item) -> None:
        super().__init__(*(getattr(plan, field.name) for field in dataclasses.fields(plan)))
        vars(self)["_item"] = item  # a plan is frozen

    @cached_property
    def execution_graph(self) -> OrderedDiGraph:
        """Atoms, flows and their ends, in the order in which they run."""
        item: Item = vars(self)["_item"]
        graph = OrderedDiGraph(name=str(item.name))
        _lay(graph, item, None)
        graph.freeze()
        return graph

    @cached_property
    def hierarchy(self) -> Node:
        """Flows, and what is in them."""
        top = _branch(vars(self)["_item"])
        top.freeze()
        return top


def _add(graph: OrderedDiGraph, node: Any, kind: str, retry: Retry | None) -> None:
    graph.add_node(node, kind=kind)
    if retry is not None:
        graph.nodes[node]["retry"] = retry
    if kind in FLOWS:
        graph.nodes[node]["noop"] = True


def _lay(graph: OrderedDiGraph, item: Item, retry: Retry | None) -> tuple[Any, Any]:
    """Lay an atom or a flow; returns where one enters and where one leaves."""
    if isinstance(item, Atom):
        _add(graph, item, TASK, retry)
        return item, item
    _add(graph, item, FLOW, retry)
    first: Any = item
    to_first = {LINK_INVARIANT: True}
    if item.retry is not None:
        _add(graph, item.retry, RETRY, retry)
        graph.add_edge(item, item.retry, to_first)
        first, to_first = item.retry, {LINK_INVARIANT: True, LINK_RETRY: True}
    ways = {inner: _lay(graph, inner, item.retry or retry) for inner in item}
    end = Terminator(item)
    _add(graph, end, FLOW_END, retry)
    led_to, led_from = set(), set()
    for u, v, meta in item.iter_links():
        graph.add_edge(ways[u][1], ways[v][0], meta)
        led_from.add(u)
        led_to.add(v)
    for inner, (entry, leave) in ways.items():
        if inner not in led_to:
            graph.add_edge(first, entry, to_first)
        if inner not in led_from:
            graph.add_edge(leave, end, {LINK_INVARIANT: True})
    if not ways:
        graph.add_edge(first, end, {LINK_INVARIANT: True})
    return item, end


def _branch(item: Item) -> Node:
    """Make the tree of an atom or a flow."""
    if isinstance(item, Atom):
        return Node(item, kind=TASK)
    node = Node(item, kind=FLOW)
    if item.retry is not None:
        node.add(Node(item.retry, kind=RETRY))
    for inner in item:
        node.add(_branch(inner))
    return node


class PatternCompiler:
    """Compiles a flow or a task.

    Args:
        root: the flow or the task.
        freeze: has no meaning here: what comes out cannot be changed.
    """

    def __init__(self, root: Any, freeze: bool = True) -> None:
        del freeze
        self._root = root
        self._compilation: Compilation | None = None

    def compile(self) -> Compilation:
        """Compile it, once.

        Returns:
            What it comes to.

        Raises:
            TypeError: that is neither a flow nor a task.
            ValueError: something stands in it more than once.
        """
        root = self._root
        if isinstance(root, Retry) or not isinstance(root, (Atom, Flow)):
            raise TypeError(f"Unknown object '{root}' ({type(root)}) requested to compile")
        if self._compilation is None:
            try:
                self._compilation = Compilation(plans.compile_flow(root), root)
            except exc.Duplicate as error:
                raise ValueError(str(error)) from error
        return self._compilation
