"""A plan: what a flow comes to when it is about to run.

A frozen graph over whole numbers. Atoms come first, numbered in the order in which they would run
one by one; after them a begin and an end for each flow, so that a flow of n after a flow of m needs n + m
links and not n * m. networkx serves for export only: the engine walks tuples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import networkx as nx

from stackl_flow import exceptions as exc
from stackl_flow.atom import Atom
from stackl_flow.patterns import base
from stackl_flow.patterns.deciders import Depth
from stackl_flow.retry import Retry

TASK: Final = "task"
RETRY: Final = "retry"
FLOW: Final = "flow"
FLOW_END: Final = "flow_end"


class EdgeDecider(NamedTuple):
    """A decider on the way to an atom: whose outcome it judges, and how far its "no" reaches."""

    source: int
    decide: Any
    depth: Depth


class Scope(NamedTuple):
    """One flow in the plan: its nodes, its parent flow and the atoms in it (a range)."""

    name: str
    parent: int
    ordering: str
    begin: int
    end: int
    retry: int
    first: int
    last: int


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A compiled flow.

    Args:
        name: the flow's name.
        atoms: the atoms; an atom's number is its place here.
        names: their names, by number.
        index: their numbers, by name.
        kinds: the kind of each node.
        succs: for each node, those right after it.
        preds: for each node, those right before it.
        retry_of: for each atom, the retry that is asked when it fails, or -1.
        scope_of: for each atom, its flow's place in ``scopes``, or -1 for a lone task.
        scopes: the flows.
        deciders: for atoms that have any, their deciders.
    """

    name: str
    atoms: tuple[Atom, ...]
    names: tuple[str, ...]
    index: dict[str, int]
    kinds: tuple[str, ...]
    succs: tuple[tuple[int, ...], ...]
    preds: tuple[tuple[int, ...], ...]
    retry_of: tuple[int, ...]
    scope_of: tuple[int, ...]
    scopes: tuple[Scope, ...]
    deciders: dict[int, tuple[EdgeDecider, ...]]

    def __len__(self) -> int:
        """Count the atoms."""
        return len(self.atoms)

    def after(self, start: int) -> Iterator[int]:
        """Go over all atoms that come after a node, each once.

        Args:
            start: the node.

        Returns:
            Their numbers, nearest first.
        """
        count = len(self.atoms)
        seen = {start}
        queue = [start]
        for node in queue:
            for following in self.succs[node]:
                if following not in seen:
                    seen.add(following)
                    queue.append(following)
                    if following < count:
                        yield following

    def graph(self) -> nx.DiGraph[str]:
        """Return the plan as a graph for drawing and export.

        Returns:
            Nodes are atom names, and ``name[``, ``name]`` with a number for where flows begin and end;
            attributes ``kind``, ``label``, ``parent`` (the begin node of the flow it lies in, or None) and
            ``partner`` (for where a flow begins the node where it ends, and the other way round, else None).
        """
        ids, labels, parents = list(self.names), list(self.names), list(self.scope_of)
        partners: dict[int, int] = {}
        for number, scope in enumerate(self.scopes):
            ids += [_unlike(f"{scope.name}{side}{number}", self.index) for side in "[]"]
            labels += [scope.name, scope.name]
            parents += [scope.parent, scope.parent]
            partners |= {scope.begin: scope.end, scope.end: scope.begin}
        graph: nx.DiGraph[str] = nx.DiGraph(name=self.name)
        for node, kind in enumerate(self.kinds):
            parent = ids[self.scopes[parents[node]].begin] if parents[node] >= 0 else None
            partner = ids[partners[node]] if node in partners else None
            graph.add_node(ids[node], kind=kind, label=labels[node], parent=parent, partner=partner)
        for node, following in enumerate(self.succs):
            graph.add_edges_from((ids[node], ids[after]) for after in following)
        for node, deciders in self.deciders.items():
            for decider in deciders:
                if graph.has_edge(ids[decider.source], ids[node]):
                    graph.edges[ids[decider.source], ids[node]]["decider"] = decider.depth.value
        return graph


def _unlike(text: str, taken: dict[str, int]) -> str:
    """Change a flow node's id until no atom has it for a name."""
    while text in taken:
        text += "_"
    return text


class _Compiler:
    """Walks a flow once and lays its nodes out; used up by one ``compile_flow``."""

    def __init__(self) -> None:
        self.atoms: list[Atom] = []
        self.kinds: list[str] = []
        self.retry_of: list[int] = []
        self.scope_of: list[int] = []
        self.scopes: list[Scope] = []
        self.edges: list[tuple[int, int]] = []
        self.decided: list[tuple[int, int, Any, Depth]] = []
        self.seen: set[int] = set()

    def _once(self, item: base.Item) -> None:
        if id(item) in self.seen:
            raise exc.Duplicate(
                f"{type(item).__name__} '{item.name}' stands in the flow more than once:"
                f" make an instance for each place"
            )
        self.seen.add(id(item))

    def lay_atom(self, atom: Atom, kind: str, scope: int, retry: int) -> tuple[int, int]:
        """Lay one atom; returns where one enters and where one leaves."""
        self._once(atom)
        number = len(self.atoms)
        self.atoms.append(atom)
        self.kinds.append(kind)
        self.retry_of.append(retry)
        self.scope_of.append(scope)
        return number, number

    def lay(self, item: base.Item, scope: int, retry: int) -> tuple[int, int]:
        """Lay an atom or a flow; returns where one enters and where one leaves."""
        base.check_item(item)
        if isinstance(item, Atom):
            return self.lay_atom(item, TASK, scope, retry)
        self._once(item)
        number = len(self.scopes)
        # Flow nodes are numbered below zero until the number of atoms is known.
        begin, end = -2 * number - 1, -2 * number - 2
        first = len(self.atoms)
        self.scopes.append(Scope(item.name, scope, item.ordering, begin, end, -1, first, first))
        entry = begin
        if item.retry is not None:
            if not isinstance(item.retry, Retry):
                raise exc.NotAnAtom(
                    f"retry= of flow '{item.name}' takes a retry such as Times(3), not {item.retry!r}"
                )
            entry, _ = self.lay_atom(item.retry, RETRY, number, retry)
            self.edges.append((begin, entry))
            retry = entry
        self._lay_items(item, number, retry, entry, end)
        self.scopes[number] = self.scopes[number]._replace(retry=max(entry, -1), last=len(self.atoms))
        return begin, end

    def _lay_items(self, flow: base.Flow, scope: int, retry: int, entry: int, end: int) -> None:
        ways = {item: self.lay(item, scope, retry) for item in flow}
        led_to: set[int] = set()
        led_from: set[int] = set()
        for u, v, meta in flow.iter_links():
            edge = (ways[u][1], ways[v][0])
            self.edges.append(edge)
            led_from.add(edge[0])
            led_to.add(edge[1])
            if base.LINK_DECIDER in meta:
                depth = Depth.translate(meta.get(base.LINK_DECIDER_DEPTH) or Depth.ALL)
                self.decided.append((*edge, meta[base.LINK_DECIDER], depth))
        self.edges += [(entry, inner) for inner, _ in ways.values() if inner not in led_to]
        self.edges += [(outer, end) for _, outer in ways.values() if outer not in led_from]
        if not ways:
            self.edges.append((entry, end))


def _fan(pairs: list[tuple[int, int]], count: int) -> tuple[tuple[int, ...], ...]:
    """Turn pairs into one tuple of partners for each node."""
    fan: list[Any] = [()] * count
    for left, right in pairs:
        partners = fan[left]
        if not partners:
            fan[left] = (right,)  # Most nodes have one partner: this tuple is all they cost.
        elif isinstance(partners, tuple):
            fan[left] = [*partners, right]
        else:
            partners.append(right)
    return tuple(map(tuple, fan))


def _spread(
    deciders: list[tuple[int, int, Any, Depth]], succs: tuple[tuple[int, ...], ...], kinds: list[str]
) -> dict[int, tuple[EdgeDecider, ...]]:
    """Hand each decider down to the atoms that it holds the door of."""
    held: dict[int, tuple[EdgeDecider, ...]] = {}
    for source, target, decide, depth in deciders:
        doors = [target]
        for node in doors:
            if kinds[node] == FLOW:
                doors.extend(succs[node])
            elif kinds[node] != FLOW_END:
                held[node] = (*held.get(node, ()), EdgeDecider(source, decide, depth))
    return held


def _check_names(atoms: list[Atom]) -> tuple[tuple[str, ...], dict[str, int]]:
    names = tuple(str(atom.name) for atom in atoms)
    index = {name: number for number, name in enumerate(names)}
    if len(index) != len(names):
        twice = sorted({name for number, name in enumerate(names) if index[name] != number})
        raise exc.Duplicate(
            f"Atoms with duplicate names found: {twice}: an atom is found again by its name,"
            f" so give each one of its own (name=...)"
        )
    return names, index


def compile_flow(item: base.Item) -> Plan:
    """Compile a flow, or a lone task, into a plan.

    Args:
        item: the flow or task.

    Returns:
        The plan.

    Raises:
        NotAnAtom: something in it is neither a task nor a flow.
        Duplicate: an atom stands in it twice, or two have one name.
    """
    compiler = _Compiler()
    compiler.lay(item, -1, -1)
    count = len(compiler.atoms)
    names, index = _check_names(compiler.atoms)
    total = count + 2 * len(compiler.scopes)
    # One object for each number, shared by all tuples that name it.
    numbers = list(range(total))

    def final(node: int) -> int:
        return numbers[node if node >= 0 else count - node - 1]

    edges = [(final(u), final(v)) for u, v in compiler.edges]
    succs = _fan(edges, total)
    kinds = compiler.kinds + [FLOW, FLOW_END] * len(compiler.scopes)
    scopes = tuple(
        scope._replace(begin=final(scope.begin), end=final(scope.end)) for scope in compiler.scopes
    )
    decided = [(final(u), final(v), decide, depth) for u, v, decide, depth in compiler.decided]
    return Plan(
        str(item.name), tuple(compiler.atoms), names, index, tuple(kinds), succs,
        _fan([(v, u) for u, v in edges], total), tuple(compiler.retry_of),
        tuple(compiler.scope_of), scopes, _spread(decided, succs, kinds),
    )  # fmt: skip
