"""The graph flow: items are linked by the names they require and provide, or by explicit links.

The graph is kept in networkx. The cost of adding an item depends on the number of its own links, not on the
size of the flow: a new edge can only close a cycle through itself, so only that is searched for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

import networkx as nx

from stackl_flow import exceptions as exc
from stackl_flow.patterns import base
from stackl_flow.patterns.deciders import Depth, check_decider
from stackl_flow.retry import Retry

Decider = Callable[..., bool]


class Flow(base.Flow):
    """A flow in which an item runs when all items that it depends on have finished.

    Args:
        name: the name; need not be unique.
        retry: the retry policy, which decides what happens when an atom of the flow fails.
    """

    def __init__(self, name: str, retry: Retry | None = None) -> None:
        super().__init__(name, retry)
        self._graph: nx.DiGraph[base.Item] = nx.DiGraph(name=name)
        self._position: dict[base.Item, int] = {}
        self._providers: dict[str, list[base.Item]] = {}
        self._unresolved: dict[str, list[base.Item]] = {}

    def link(
        self,
        u: base.Item,
        v: base.Item,
        decider: Decider | None = None,
        decider_depth: Depth | str | None = None,
    ) -> Self:
        """Let one item wait for another, optionally with a decider; return this flow.

        Args:
            u: the item that runs first.
            v: the item that waits.
            decider: called before ``v`` would start, with ``history``: a dict of the names of the atoms
                linked to ``v`` with a decider to their results. If it returns False, ``v`` is skipped: its
                state becomes IGNORE.
            decider_depth: what is skipped besides ``v``; by default all its successors.

        Raises:
            ValueError: an item is not in the flow, ``decider`` is not callable, or ``decider_depth`` is
                unknown or has no decider.
            NotABody: ``decider`` is async, a generator, or built-in without a signature.
            DependencyFailure: the link would close a cycle; the flow does not change.
        """
        for item, end in ((u, "from"), (v, "to")):
            if item not in self._graph:
                raise ValueError(f"Node '{item}' not found to link {end}: add it to '{self.name}' first")
        if decider is not None and not callable(decider):
            raise ValueError("Decider boolean callback must be callable")
        if decider is not None:
            check_decider(decider, f"decider between '{u.name}' and '{v.name}'")
        if decider is None and decider_depth is not None:
            raise ValueError("Decider depth requires a decider to be provided along with it")
        self._check_cycle(u, v)
        attributes: dict[str, Any] = {base.LINK_MANUAL: True}
        if decider is not None:
            attributes[base.LINK_DECIDER] = decider
            attributes[base.LINK_DECIDER_DEPTH] = (
                Depth.ALL if decider_depth is None else Depth.translate(decider_depth)
            )
        self._graph.add_edge(u, v, **attributes)
        return self

    def add(self, *nodes: base.Item, resolve_requires: bool = True, resolve_existing: bool = True) -> Self:
        """Add items, link them by the names they require and provide, and return this flow.

        If an error is raised, the flow does not change.

        Args:
            nodes: atoms and flows; items that the flow contains already are ignored.
            resolve_requires: link each from the item that provides what it requires.
            resolve_existing: link each to earlier items whose requirements have no provider yet.

        Raises:
            AmbiguousDependency: several items provide a required name.
            DependencyFailure: the links would close a cycle; the message names its items.
            NotAnAtom: an item is neither an atom nor a flow.
        """
        self._check_items(nodes)
        new = [node for node in dict.fromkeys(nodes) if node not in self._graph]
        try:
            for node in new:
                self._add_one(node, resolve_requires, resolve_existing)
            if (
                not resolve_requires
            ):  # not linked among themselves, but items added later may provide for them
                for node in new:
                    self._note_unresolved(node, sorted(node.requires - self._retry_names()[1]))
        except exc.DependencyFailure:
            self._remove(new)
            raise
        return self

    def _add_one(self, node: base.Item, resolve_requires: bool, resolve_existing: bool) -> None:
        self._graph.add_node(node)
        self._position[node] = len(self._position)
        for name in sorted(node.requires - self._retry_names()[1]):
            providers = self._providers.get(name, [])
            if resolve_requires and len(providers) > 1:
                raise exc.AmbiguousDependency(
                    f"multiple providers {sorted(str(provider.name) for provider in providers)} of '{name}',"
                    f" which '{node.name}' requires: rename the output of one of them, or add"
                    f" '{node.name}' with resolve_requires=False and link it explicitly"
                )
            if resolve_requires and providers:
                self._connect(providers[0], node, name)
            elif resolve_requires:
                self._note_unresolved(node, [name])
        for name in sorted(node.provides):
            self._providers.setdefault(name, []).append(node)
            if resolve_existing:
                self._resolve(node, name)

    def _note_unresolved(self, node: base.Item, names: list[str]) -> None:
        for name in names:
            self._unresolved.setdefault(name, []).append(node)

    def _resolve(self, node: base.Item, name: str) -> None:
        """Link an item to those that require a name that it provides and have no provider yet."""
        unresolved = self._unresolved.get(name, [])
        for target in list(unresolved):
            if target is node or self._has_provider(self._graph, target, name):
                continue
            self._connect(node, target, name)
            unresolved.remove(target)

    @staticmethod
    def _has_provider(graph: nx.DiGraph[base.Item], node: base.Item, name: str) -> bool:
        if any(name in before.provides for before in graph.predecessors(node)):
            return True
        return any(name in before.provides for before in nx.ancestors(graph, node))

    def _connect(self, u: base.Item, v: base.Item, reason: str) -> None:
        self._check_cycle(u, v)
        attributes = self._graph.get_edge_data(u, v) or {}
        reasons = {*attributes.get(base.LINK_REASONS, ()), reason}
        self._graph.add_edge(u, v, **{base.LINK_REASONS: reasons})

    def _check_cycle(self, u: base.Item, v: base.Item) -> None:
        if self._graph.out_degree(v) == 0 and u is not v:
            return
        try:
            path = nx.shortest_path(self._graph, v, u)
        except nx.NetworkXNoPath:
            return
        names = " -> ".join(f"'{item.name}'" for item in [u, *path])
        raise exc.DependencyFailure(
            f"No path through flow '{self.name}' would satisfy all links: linking '{u.name}' to '{v.name}'"
            f" would close the cycle {names}; remove one of these links or requirements"
        )

    def _remove(self, nodes: list[base.Item]) -> None:
        """Undo a failed addition; this is rare, so the indexes are simply rebuilt."""
        self._graph.remove_nodes_from(nodes)
        self._position = {item: index for index, item in enumerate(self._graph)}
        self._providers, self._unresolved = {}, {}
        for item in self._graph:
            for name in item.provides:
                self._providers.setdefault(name, []).append(item)
            for name in item.requires - self._retry_names()[1]:
                if not self._has_provider(self._graph, item, name):
                    self._unresolved.setdefault(name, []).append(item)

    def _get_subgraph(self) -> nx.DiGraph[base.Item]:
        """Return the part of the graph that will run."""
        return self._graph

    def __len__(self) -> int:
        """Return the number of items that will run."""
        return len(self._get_subgraph())

    def __iter__(self) -> Iterator[base.Item]:
        """Iterate over the items in an order in which they could run, ties in order of addition."""
        order = nx.lexicographical_topological_sort(self._get_subgraph(), key=self._position.__getitem__)
        return iter(order)

    def iter_links(self) -> Iterator[tuple[base.Item, base.Item, base.Meta]]:
        """Iterate over the links: source, target and attributes."""
        yield from self._get_subgraph().edges(data=True)

    @property
    def requires(self) -> frozenset[str]:
        """The names that neither the retry nor a predecessor of the item provides."""
        required, provided = self._retry_names()
        graph = self._get_subgraph()
        for item in graph:
            for name in item.requires - provided:
                if name not in self._providers or not self._has_provider(graph, item, name):
                    required.add(name)
        return frozenset(required)


class TargetedFlow(Flow):
    """A graph flow that can be restricted to one item and its dependencies.

    Args:
        name: the name; need not be unique.
        retry: the retry policy, which decides what happens when an atom of the flow fails.
    """

    def __init__(self, name: str, retry: Retry | None = None) -> None:
        super().__init__(name, retry)
        self._target: base.Item | None = None

    def set_target(self, target_node: base.Item) -> None:
        """Run only this item and what it depends on.

        Raises:
            ValueError: the item is not in the flow.
        """
        if target_node not in self._graph:
            raise ValueError(f"Node '{target_node}' not found: add it to '{self.name}' first")
        self._target = target_node

    def reset_target(self) -> None:
        """Run all items again."""
        self._target = None

    def _get_subgraph(self) -> nx.DiGraph[base.Item]:
        if self._target is None:
            return self._graph
        nodes = {self._target, *nx.ancestors(self._graph, self._target)}
        # A subgraph is a view and keeps the order of the nodes.
        return self._graph.subgraph(nodes)
