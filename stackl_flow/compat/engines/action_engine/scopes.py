"""TaskFlow's `taskflow.engines.action_engine.scopes`: the atoms that are visible to an atom."""

from __future__ import annotations

from collections.abc import Iterator

from stackl_flow.atom import Atom
from stackl_flow.compat.engines.action_engine.compiler import ATOMS, Compilation
from stackl_flow.compat.types.tree import Node


class ScopeWalker:
    """Iterates over the atoms visible to an atom, by flow, from its own flow outwards.

    Args:
        compilation: the compiled flow.
        atom: the atom.
        names_only: yield names instead of atoms.

    Raises:
        ValueError: the atom is not in the flow.
    """

    def __init__(self, compilation: Compilation, atom: Atom, names_only: bool = False) -> None:
        node = compilation.hierarchy.find(atom)
        if node is None:
            raise ValueError(f"Unable to find atom '{atom}' in compilation hierarchy")
        self._node = node
        self._graph = compilation.execution_graph
        self._names_only = names_only

    def __iter__(self) -> Iterator[list[Atom] | list[str]]:
        """Yield the visible atoms of each flow, nearest first."""
        predecessors = self._graph.bfs_predecessors_iter(self._node.item)
        remaining = {node for node in predecessors if self._graph.nodes[node]["kind"] in ATOMS}
        last = self._node
        for parent in self._node.path_iter(include_self=False):
            if not remaining:
                return
            siblings = list(parent)[: parent.index(last.item)]
            visible = [atom for atom in _atoms_reversed(siblings) if atom in remaining]
            remaining.difference_update(visible)
            yield [str(atom.name) for atom in visible] if self._names_only else visible
            last = parent


def _atoms_reversed(nodes: list[Node]) -> Iterator[Atom]:
    """Iterate over the atoms in nodes and their descendants, last first."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if isinstance(node.item, Atom):
            yield node.item
        stack.extend(node)
