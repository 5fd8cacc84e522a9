"""Compiles a flow into a plan: a frozen graph of numbered nodes.

Atoms come first, numbered in the order in which they would run one by one; after them a begin and an end node
for each flow, so that a flow of n atoms after a flow of m takes n + m edges and not n * m. The engine walks
tuples; networkx serves for export only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stackl_flow import exceptions as exc
from stackl_flow.atom import Atom
from stackl_flow.patterns import base
from stackl_flow.patterns.deciders import Depth
from stackl_flow.retry import Retry

if TYPE_CHECKING:
    import networkx as nx

TASK: Final = "task"
RETRY: Final = "retry"
FLOW: Final = "flow"
FLOW_END: Final = "flow_end"


class EdgeDecider(NamedTuple):
    """A decider before an atom: the node whose result it judges, and how far its rejection extends."""

    source: int
    decide: Any
    depth: Depth


class Scope(NamedTuple):
    """A flow in the plan: its begin and end node, its parent and retry, and the range of atoms in it.

    ``parent`` and ``retry`` are -1 if there is none; ``last`` is exclusive.
    """

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

    Attributes:
        name: the flow's name.
        atoms: the atoms; an atom's number is its index here.
        names: their names, by number.
        index: their numbers, by name.
        kinds: the kind of each node: TASK, RETRY, FLOW or FLOW_END.
        successors: for each node, those directly after it.
        predecessors: for each node, those directly before it.
        retry_of: for each atom, the retry that handles its failure, or -1.
        scope_of: for each atom, the index of its flow in ``scopes``, or -1 for a lone task.
        scopes: the flows.
        deciders: deciders by atom, for atoms that have any.
    """

    name: str
    atoms: tuple[Atom, ...]
    names: tuple[str, ...]
    index: dict[str, int]
    kinds: tuple[str, ...]
    successors: tuple[tuple[int, ...], ...]
    predecessors: tuple[tuple[int, ...], ...]
    retry_of: tuple[int, ...]
    scope_of: tuple[int, ...]
    scopes: tuple[Scope, ...]
    deciders: dict[int, tuple[EdgeDecider, ...]]

    def __len__(self) -> int:
        """Count the atoms."""
        return len(self.atoms)

    def dependents_of(self, start: int) -> Iterator[int]:
        """Iterate over all atoms after a node, nearest first, each once."""
        count = len(self.atoms)
        seen = {start}
        queue = [start]
        for node in queue:
            for following in self.successors[node]:
                if following not in seen:
                    seen.add(following)
                    queue.append(following)
                    if following < count:
                        yield following

    def graph(self) -> nx.DiGraph[str]:
        """Export the plan as a graph, for drawing.

        Nodes are named after the atoms; where a flow begins and ends they are ``name[`` and ``name]`` with a
        number. Node attributes are ``kind``, ``label``, ``parent`` (the begin node of the enclosing flow, or
        None) and ``partner`` (for a begin node its end node and the reverse, else None).
        """
        ids, labels, parents = list(self.names), list(self.names), list(self.scope_of)
        partners: dict[int, int] = {}
        for number, scope in enumerate(self.scopes):
            ids += [_unique_id(f"{scope.name}{side}{number}", self.index) for side in "[]"]
            labels += [scope.name, scope.name]
            parents += [scope.parent, scope.parent]
            partners |= {scope.begin: scope.end, scope.end: scope.begin}
        import networkx as nx  # noqa: PLC0415  it loads slowly, and only the export needs it

        graph: nx.DiGraph[str] = nx.DiGraph(name=self.name)
        for node, kind in enumerate(self.kinds):
            parent = ids[self.scopes[parents[node]].begin] if parents[node] >= 0 else None
            partner = ids[partners[node]] if node in partners else None
            graph.add_node(ids[node], kind=kind, label=labels[node], parent=parent, partner=partner)
        for node, following in enumerate(self.successors):
            graph.add_edges_from((ids[node], ids[after]) for after in following)
        for node, deciders in self.deciders.items():
            for decider in deciders:
                if graph.has_edge(ids[decider.source], ids[node]):
                    graph.edges[ids[decider.source], ids[node]]["decider"] = decider.depth.value
        return graph


def _unique_id(wanted: str, taken: dict[str, int]) -> str:
    while wanted in taken:
        wanted += "_"
    return wanted


class _Compiler:
    """Collects the nodes and edges of a flow; serves one ``compile_flow``."""

    def __init__(self) -> None:
        self.atoms: list[Atom] = []
        self.kinds: list[str] = []
        self.retry_of: list[int] = []
        self.scope_of: list[int] = []
        self.scopes: list[Scope] = []
        self.edges: list[tuple[int, int]] = []
        self.deciders: list[tuple[int, int, Any, Depth]] = []
        self._seen: set[int] = set()

    def add(self, item: base.Item, scope: int, retry: int) -> tuple[int, int]:
        """Add an atom or a flow; returns its first and last node."""
        base.check_item(item)
        if isinstance(item, Atom):
            return self._add_atom(item, TASK, scope, retry)
        self._check_unique(item)
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
            entry, _ = self._add_atom(item.retry, RETRY, number, retry)
            self.edges.append((begin, entry))
            retry = entry
        self._add_items(item, number, retry, entry, end)
        self.scopes[number] = self.scopes[number]._replace(retry=max(entry, -1), last=len(self.atoms))
        return begin, end

    def _add_atom(self, atom: Atom, kind: str, scope: int, retry: int) -> tuple[int, int]:
        self._check_unique(atom)
        number = len(self.atoms)
        self.atoms.append(atom)
        self.kinds.append(kind)
        self.retry_of.append(retry)
        self.scope_of.append(scope)
        return number, number

    def _add_items(self, flow: base.Flow, scope: int, retry: int, entry: int, end: int) -> None:
        nodes = {item: self.add(item, scope, retry) for item in flow}
        with_predecessor: set[int] = set()
        with_successor: set[int] = set()
        for u, v, meta in flow.iter_links():
            edge = (nodes[u][1], nodes[v][0])
            self.edges.append(edge)
            with_successor.add(edge[0])
            with_predecessor.add(edge[1])
            if base.LINK_DECIDER in meta:
                depth = Depth.translate(meta.get(base.LINK_DECIDER_DEPTH) or Depth.ALL)
                self.deciders.append((*edge, meta[base.LINK_DECIDER], depth))
        self.edges += [(entry, first) for first, _ in nodes.values() if first not in with_predecessor]
        self.edges += [(last, end) for _, last in nodes.values() if last not in with_successor]
        if not nodes:
            self.edges.append((entry, end))

    def _check_unique(self, item: base.Item) -> None:
        if id(item) in self._seen:
            raise exc.Duplicate(
                f"{type(item).__name__} '{item.name}' is in the flow more than once: create an instance for"
                f" each position"
            )
        self._seen.add(id(item))


def _adjacency(edges: list[tuple[int, int]], count: int) -> tuple[tuple[int, ...], ...]:
    neighbours: list[Any] = [()] * count
    for left, right in edges:
        known = neighbours[left]
        if not known:
            neighbours[left] = (right,)  # most nodes have one neighbour: this tuple is all they cost
        elif isinstance(known, tuple):
            neighbours[left] = [*known, right]
        else:
            known.append(right)
    return tuple(map(tuple, neighbours))


def _deciders_by_atom(
    deciders: list[tuple[int, int, Any, Depth]], successors: tuple[tuple[int, ...], ...], kinds: list[str]
) -> dict[int, tuple[EdgeDecider, ...]]:
    """Assign each decider before a flow to the first atoms in that flow."""
    found: dict[int, tuple[EdgeDecider, ...]] = {}
    for source, target, decide, depth in deciders:
        targets = [target]
        for node in targets:
            if kinds[node] == FLOW:
                targets.extend(successors[node])
            elif kinds[node] != FLOW_END:
                found[node] = (*found.get(node, ()), EdgeDecider(source, decide, depth))
    return found


def _index_names(atoms: list[Atom]) -> tuple[tuple[str, ...], dict[str, int]]:
    names = tuple(str(atom.name) for atom in atoms)
    index = {name: number for number, name in enumerate(names)}
    if len(index) != len(names):
        duplicates = sorted({name for number, name in enumerate(names) if index[name] != number})
        raise exc.Duplicate(
            f"Atoms with duplicate names found: {duplicates}: atoms are matched by name on resume, so give"
            f" each a name of its own (name=...)"
        )
    return names, index


def compile_flow(item: base.Item) -> Plan:
    """Compile a flow, or a lone task, into a plan.

    Raises:
        NotAnAtom: an item in the flow is neither a task nor a flow.
        Duplicate: an atom is in the flow twice, or two atoms have the same name.
    """
    compiler = _Compiler()
    compiler.add(item, -1, -1)
    count = len(compiler.atoms)
    names, index = _index_names(compiler.atoms)
    total = count + 2 * len(compiler.scopes)
    # One object for each number, shared by all tuples that contain it.
    numbers = list(range(total))

    def final(node: int) -> int:
        return numbers[node if node >= 0 else count - node - 1]

    edges = [(final(u), final(v)) for u, v in compiler.edges]
    successors = _adjacency(edges, total)
    kinds = compiler.kinds + [FLOW, FLOW_END] * len(compiler.scopes)
    scopes = tuple(
        scope._replace(begin=final(scope.begin), end=final(scope.end)) for scope in compiler.scopes
    )
    deciders = [(final(u), final(v), decide, depth) for u, v, decide, depth in compiler.deciders]
    return Plan(
        str(item.name), tuple(compiler.atoms), names, index, tuple(kinds), successors,
        _adjacency([(v, u) for u, v in edges], total), tuple(compiler.retry_of),
        tuple(compiler.scope_of), scopes, _deciders_by_atom(deciders, successors, kinds),
    )  # fmt: skip
