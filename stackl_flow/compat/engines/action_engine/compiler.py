"""TaskFlow's `taskflow.engines.action_engine.compiler`: the plan of an engine as a graph and a tree.

An engine runs its own plan; ``execution_graph`` and ``hierarchy`` are built on access.
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
    """The end node of a flow.

    Args:
        flow: the flow.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow

    @property
    def flow(self) -> Flow:
        """The flow."""
        return self._flow

    @property
    def name(self) -> str:
        """The name of the flow with a suffix."""
        return f"{self._flow.name}[$]"

    def __str__(self) -> str:
        return f'"{str(self._flow).strip(chr(34))}[$]"'


class Compilation(plans.Plan):
    """A plan with the attributes of TaskFlow's compilations.

    Args:
        plan: the plan.
        item: the flow or task that was compiled.
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
        """Atoms, flows and ends of flows, in execution order."""
        item: Item = vars(self)["_item"]
        graph = OrderedDiGraph(name=str(item.name))
        _add_to_graph(graph, item, None)
        graph.freeze()
        return graph

    @cached_property
    def hierarchy(self) -> Node:
        """The tree of flows and their items."""
        root = _build_tree(vars(self)["_item"])
        root.freeze()
        return root


def _add_node(graph: OrderedDiGraph, node: Any, kind: str, retry: Retry | None) -> None:
    graph.add_node(node, kind=kind)
    if retry is not None:
        graph.nodes[node]["retry"] = retry
    if kind in FLOWS:
        graph.nodes[node]["noop"] = True


def _add_to_graph(graph: OrderedDiGraph, item: Item, retry: Retry | None) -> tuple[Any, Any]:
    """Add an atom or flow to the graph; return its first and last node."""
    if isinstance(item, Atom):
        _add_node(graph, item, TASK, retry)
        return item, item
    _add_node(graph, item, FLOW, retry)
    first: Any = item
    to_first = {LINK_INVARIANT: True}
    if item.retry is not None:
        _add_node(graph, item.retry, RETRY, retry)
        graph.add_edge(item, item.retry, to_first)
        first, to_first = item.retry, {LINK_INVARIANT: True, LINK_RETRY: True}
    ends = {inner: _add_to_graph(graph, inner, item.retry or retry) for inner in item}
    end = Terminator(item)
    _add_node(graph, end, FLOW_END, retry)
    targets, sources = set(), set()
    for u, v, meta in item.iter_links():
        graph.add_edge(ends[u][1], ends[v][0], meta)
        sources.add(u)
        targets.add(v)
    for inner, (first_node, last_node) in ends.items():
        if inner not in targets:
            graph.add_edge(first, first_node, to_first)
        if inner not in sources:
            graph.add_edge(last_node, end, {LINK_INVARIANT: True})
    if not ends:
        graph.add_edge(first, end, {LINK_INVARIANT: True})
    return item, end


def _build_tree(item: Item) -> Node:
    """Return the tree of an atom or flow."""
    if isinstance(item, Atom):
        return Node(item, kind=TASK)
    node = Node(item, kind=FLOW)
    if item.retry is not None:
        node.add(Node(item.retry, kind=RETRY))
    for inner in item:
        node.add(_build_tree(inner))
    return node


class PatternCompiler:
    """Compiles a flow or task.

    Args:
        root: the flow or task.
        freeze: no effect: the result is immutable.
    """

    def __init__(self, root: Any, freeze: bool = True) -> None:
        del freeze
        self._root = root
        self._compilation: Compilation | None = None

    def compile(self) -> Compilation:
        """Compile the flow, once.

        Raises:
            TypeError: ``root`` is neither a flow nor a task.
            ValueError: an atom or name occurs more than once.
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
