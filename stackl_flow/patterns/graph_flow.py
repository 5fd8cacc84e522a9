"""The graph flow: items linked by what they need and provide, or by hand.

networkx keeps the graph. Adding an item costs what its own links cost, not the size of the flow: an
edge can only close a cycle through itself, so only that is looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

import networkx as nx

from stackl_flow import exceptions as exc
from stackl_flow.patterns import base
from stackl_flow.patterns.deciders import Depth
from stackl_flow.retry import Retry

Decider = Callable[..., bool]


class Flow(base.Flow):
    """A flow in which an item runs when all the items that it depends on have run.

    Args:
        name: what it is called.
        retry: decides what happens when an atom in it fails.
    """

    def __init__(self, name: str, retry: Retry | None = None) -> None:
        super().__init__(name, retry)
        self._graph: nx.DiGraph[base.Item] = nx.DiGraph(name=name)
        self._place: dict[base.Item, int] = {}
        self._givers: dict[str, list[base.Item]] = {}
        self._wanting: dict[str, list[base.Item]] = {}

    def link(
        self,
        u: base.Item,
        v: base.Item,
        decider: Decider | None = None,
        decider_depth: Depth | str | None = None,
    ) -> Self:
        """Have one item wait for another, and perhaps for a decision.

        Args:
            u: the item that runs first.
            v: the item that waits.
            decider: called with ``history``, the results of the atoms linked to ``v`` with a
                decider, by name; False has ``v`` ignored.
            decider_depth: how much besides ``v`` is then ignored; all that follows if left out.

        Returns:
            This flow.

        Raises:
            ValueError: an item is not in the flow, or the decider is not what it should be.
            DependencyFailure: the link would close a cycle; the flow stays as it was.
        """
        for item, way in ((u, "from"), (v, "to")):
            if item not in self._graph:
                raise ValueError(f"Node '{item}' not found to link {way}: add it to '{self.name}' first")
        if decider is not None and not callable(decider):
            raise ValueError("Decider boolean callback must be callable")
        if decider is None and decider_depth is not None:
            raise ValueError("Decider depth requires a decider to be provided along with it")
        self._refuse_cycle(u, v)
        attributes: dict[str, Any] = {base.LINK_MANUAL: True}
        if decider is not None:
            attributes[base.LINK_DECIDER] = decider
            attributes[base.LINK_DECIDER_DEPTH] = (
                Depth.ALL if decider_depth is None else Depth.translate(decider_depth)
            )
        self._graph.add_edge(u, v, **attributes)
        return self

    def add(self, *nodes: base.Item, resolve_requires: bool = True, resolve_existing: bool = True) -> Self:
        """Add items and link them by what they need and provide.

        Args:
            nodes: atoms and flows; one that is there already is not added again.
            resolve_requires: link each from the item that provides what it needs.
            resolve_existing: link each to items already there that lack what it provides.

        Returns:
            This flow.

        Raises:
            AmbiguousDependency: several items provide a needed name.
            DependencyFailure: the links would close a cycle, whose items are named.
            NotAnAtom: an item is neither an atom nor a flow.
        """
        self._check_items(nodes)
        fresh = [node for node in dict.fromkeys(nodes) if node not in self._graph]
        try:
            for node in fresh:
                self._add_one(node, resolve_requires, resolve_existing)
            if not resolve_requires:  # these are not linked among themselves, but later ones may give them
                for node in fresh:
                    self._want(node, sorted(node.requires - self._retry_names()[1]))
        except exc.DependencyFailure:
            self._forget(fresh)
            raise
        return self

    def _add_one(self, node: base.Item, resolve_requires: bool, resolve_existing: bool) -> None:
        self._graph.add_node(node)
        self._place[node] = len(self._place)
        for name in sorted(node.requires - self._retry_names()[1]):
            givers = self._givers.get(name, [])
            if resolve_requires and len(givers) > 1:
                raise exc.AmbiguousDependency(
                    f"Resolution error detected when adding '{node.name}', multiple providers"
                    f" {sorted(str(giver.name) for giver in givers)} found for required symbol"
                    f" '{name}': rename what one of them provides, or add with"
                    f" resolve_requires=False and link by hand"
                )
            if resolve_requires and givers:
                self._connect(givers[0], node, name)
            elif resolve_requires:
                self._want(node, [name])
        for name in sorted(node.provides):
            self._givers.setdefault(name, []).append(node)
            if resolve_existing:
                self._give(node, name)

    def _want(self, node: base.Item, names: list[str]) -> None:
        for name in names:
            self._wanting.setdefault(name, []).append(node)

    def _give(self, node: base.Item, name: str) -> None:
        """Link an item to those that lack what it provides."""
        waiting = self._wanting.get(name, [])
        for needy in list(waiting):
            if needy is node or self._given_by_ancestor(self._graph, needy, name):
                continue
            self._connect(node, needy, name)
            waiting.remove(needy)

    @staticmethod
    def _given_by_ancestor(graph: nx.DiGraph[base.Item], node: base.Item, name: str) -> bool:
        if any(name in before.provides for before in graph.predecessors(node)):
            return True
        return any(name in before.provides for before in nx.ancestors(graph, node))

    def _connect(self, u: base.Item, v: base.Item, reason: str) -> None:
        self._refuse_cycle(u, v)
        known = self._graph.get_edge_data(u, v) or {}
        reasons = {*known.get(base.LINK_REASONS, ()), reason}
        self._graph.add_edge(u, v, **{base.LINK_REASONS: reasons})

    def _refuse_cycle(self, u: base.Item, v: base.Item) -> None:
        if self._graph.out_degree(v) == 0 and u is not v:
            return
        try:
            path = nx.shortest_path(self._graph, v, u)
        except nx.NetworkXNoPath:
            return
        names = " -> ".join(f"'{item.name}'" for item in [u, *path])
        raise exc.DependencyFailure(
            f"No path through the node(s) in the graph '{self.name}' produces an ordering that will"
            f" allow for logical edge traversal: linking '{u.name}' to '{v.name}' would close the"
            f" cycle {names}; take one of these links or requirements away"
        )

    def _forget(self, nodes: list[base.Item]) -> None:
        """Take a failed addition back; rare, so the indexes are simply made anew."""
        self._graph.remove_nodes_from(nodes)
        self._place = {item: place for place, item in enumerate(self._graph)}
        self._givers, self._wanting = {}, {}
        for item in self._graph:
            for name in item.provides:
                self._givers.setdefault(name, []).append(item)
            for name in item.requires - self._retry_names()[1]:
                if not self._given_by_ancestor(self._graph, item, name):
                    self._wanting.setdefault(name, []).append(item)

    def _get_subgraph(self) -> nx.DiGraph[base.Item]:
        """Return the part of the graph that is to run."""
        return self._graph

    def __len__(self) -> int:
        """Count the items that are to run."""
        return len(self._get_subgraph())

    def __iter__(self) -> Iterator[base.Item]:
        """Go over the items in an order in which they could run; oldest first where free."""
        order = nx.lexicographical_topological_sort(self._get_subgraph(), key=self._place.__getitem__)
        return iter(order)

    def iter_links(self) -> Iterator[tuple[base.Item, base.Item, base.Meta]]:
        """Go over the links: from, to, and what is known of the link."""
        yield from self._get_subgraph().edges(data=True)

    @property
    def requires(self) -> frozenset[str]:
        """The names needed from outside: those that no item before the needy one provides."""
        needed, known = self._retry_names()
        graph = self._get_subgraph()
        for item in graph:
            for name in item.requires - known:
                if name not in self._givers or not self._given_by_ancestor(graph, item, name):
                    needed.add(name)
        return frozenset(needed)


class TargetedFlow(Flow):
    """A graph flow that can be told to run only as far as one item needs.

    Args:
        name: what it is called.
        retry: decides what happens when an atom in it fails.
    """

    def __init__(self, name: str, retry: Retry | None = None) -> None:
        super().__init__(name, retry)
        self._target: base.Item | None = None

    def set_target(self, target_node: base.Item) -> None:
        """Run only this item and what it depends on.

        Args:
            target_node: an item of the flow.

        Raises:
            ValueError: it is not in the flow.
        """
        if target_node not in self._graph:
            raise ValueError(f"Node '{target_node}' not found: add it to '{self.name}' first")
        self._target = target_node

    def reset_target(self) -> None:
        """Run everything again."""
        self._target = None

    def _get_subgraph(self) -> nx.DiGraph[base.Item]:
        if self._target is None:
            return self._graph
        kept = {self._target, *nx.ancestors(self._graph, self._target)}
        # A subgraph keeps the order of the graph that it is a view of.
        return self._graph.subgraph(kept)
