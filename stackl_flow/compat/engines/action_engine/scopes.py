"""TaskFlow's `taskflow.engines.action_engine.scopes`: which atoms another may get values from."""

from __future__ import annotations

from collections.abc import Iterator

from stackl_flow.atom import Atom
from stackl_flow.compat.engines.action_engine.compiler import ATOMS, Compilation
from stackl_flow.compat.types.tree import Node


class ScopeWalker:
    """Goes over what an atom can see, its own flow first, then the flow around that, and so on.

    Args:
        compilation: the compiled flow.
        atom: the atom that looks.
        names_only: give names instead of atoms.

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
        """Go over the flows outwards: in each, the atoms that can be seen, nearest first."""
        before = self._graph.bfs_predecessors_iter(self._node.item)
        unseen = {node for node in before if self._graph.nodes[node]["kind"] in ATOMS}
        last = self._node
        for around in self._node.path_iter(include_self=False):
            if not unseen:
                return
            siblings = list(around)[: around.index(last.item)]
            seen = [atom for atom in _backwards(siblings) if atom in unseen]
            unseen.difference_update(seen)
            yield [str(atom.name) for atom in seen] if self._names_only else seen
            last = around


def _backwards(nodes: list[Node]) -> Iterator[Atom]:
    """Go over the atoms in and below some nodes, last first."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node.item, Atom):
            yield node.item
        waiting.extend(node)
