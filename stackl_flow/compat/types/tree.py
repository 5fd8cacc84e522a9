"""TaskFlow's `taskflow.types.tree`: tree nodes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, ClassVar

from stackl_flow.compat.types import graph


class FrozenNode(Exception):
    """A frozen node cannot be changed."""

    def __init__(self) -> None:
        super().__init__("Frozen node(s) can't be modified")


Formatter = Callable[["Node"], str]
Matcher = Callable[["Node"], bool]


class Node:
    """A tree node with an item, a parent and children.

    Args:
        item: the item.
        kwargs: the metadata.

    Attributes:
        item: the item.
        parent: the parent node, or None.
        metadata: further data about the node.
        frozen: whether the node rejects changes.
    """

    STARTING_PREFIX: ClassVar[str] = ""
    EMPTY_SPACE_SEP: ClassVar[str] = " "
    HORIZONTAL_CONN: ClassVar[str] = "__"
    VERTICAL_CONN: ClassVar[str] = "|"
    LINE_SEP: ClassVar[str] = os.linesep

    def __init__(self, item: Any, **kwargs: Any) -> None:
        self.item = item
        self.parent: Node | None = None
        self.metadata = dict(kwargs)
        self.frozen = False
        self._children: list[Node] = []

    def _check_thawed(self) -> None:
        if self.frozen:
            raise FrozenNode

    def freeze(self) -> None:
        """Disallow changes of this node and its descendants."""
        for node in self.dfs_iter(include_self=True):
            node.frozen = True

    def add(self, child: Node) -> None:
        """Append a child.

        Raises:
            FrozenNode: this node is frozen.
        """
        self._check_thawed()
        child.parent = self
        self._children.append(child)

    def empty(self) -> bool:
        """Return whether the node has no children."""
        return not self._children

    def path_iter(self, include_self: bool = True) -> Iterator[Node]:
        """Iterate over the nodes from this one, or its parent, to the root."""
        node = self if include_self else self.parent
        while node is not None:
            yield node
            node = node.parent

    def find_first_match(
        self, matcher: Matcher, only_direct: bool = False, include_self: bool = True
    ) -> Node | None:
        """Return the first node that matches, or None.

        Args:
            matcher: the predicate.
            only_direct: search the children only, last first.
            include_self: include this node.
        """
        if only_direct:
            nodes: Iterator[Node] = chain([self] if include_self else [], self.reverse_iter())
        else:
            nodes = self.dfs_iter(include_self=include_self)
        return next(filter(matcher, nodes), None)

    def find(self, item: Any, only_direct: bool = False, include_self: bool = True) -> Node | None:
        """Return the first node with an item, or None; see `find_first_match`."""
        return self.find_first_match(lambda node: bool(node.item == item), only_direct, include_self)

    def disassociate(self) -> int:
        """Remove this node from its parent; return how many times it was a child.

        Raises:
            FrozenNode: this node is frozen.
        """
        self._check_thawed()
        parent, self.parent = self.parent, None
        if parent is None:
            return 0
        return parent._drop(self)  # noqa: SLF001  a node of the same tree

    def _drop(self, node: Node) -> int:
        count = len(self._children)
        self._children = [child for child in self._children if child is not node]
        return count - len(self._children)

    def remove(self, item: Any, only_direct: bool = False, include_self: bool = True) -> Node:
        """Remove the first node with an item from the tree, and return it; see `find_first_match`.

        Raises:
            FrozenNode: this node is frozen.
            ValueError: no node has the item.
        """
        self._check_thawed()
        node = self.find(item, only_direct, include_self)
        if node is None:
            raise ValueError(f"Item '{item}' not found to remove")
        node.disassociate()
        return node

    def __contains__(self, item: object) -> bool:
        return self.find(item) is not None

    def __getitem__(self, index: int) -> Node:
        return self._children[index]

    def __iter__(self) -> Iterator[Node]:
        return iter(tuple(self._children))

    def reverse_iter(self) -> Iterator[Node]:
        """Iterate over the children, last first."""
        return reversed(tuple(self._children))

    def pformat(
        self,
        stringify_node: Formatter | None = None,
        linesep: str = LINE_SEP,
        vertical_conn: str = VERTICAL_CONN,
        horizontal_conn: str = HORIZONTAL_CONN,
        empty_space: str = EMPTY_SPACE_SEP,
        starting_prefix: str = STARTING_PREFIX,
    ) -> str:
        """Draw the tree as text, one line per node.

        Args:
            stringify_node: formats a node; by default its item.
            linesep: the line separator.
            vertical_conn: connects a node with the next one.
            horizontal_conn: connects a node with its parent.
            empty_space: fills the gaps.
            starting_prefix: the prefix of each line.
        """
        format_node = stringify_node or (lambda node: str(node.item))
        connector = vertical_conn + horizontal_conn
        continuation = vertical_conn + empty_space * len(horizontal_conn)
        blank = empty_space * len(connector)
        lines = [starting_prefix + format_node(self)]
        # Nodes with the prefix of their line, and whether they are last; the last pushed is drawn first.
        stack = [(child, starting_prefix, last) for child, last in _last_first(self)]
        while stack:
            node, prefix, last = stack.pop()
            lines.append(prefix + connector + format_node(node))
            child_prefix = prefix + (blank if last else continuation)
            stack.extend((child, child_prefix, is_last) for child, is_last in _last_first(node))
        return linesep.join(lines)

    def child_count(self, only_direct: bool = True) -> int:
        """Return the number of children, or of all descendants."""
        return len(self._children) if only_direct else sum(1 for _ in self.dfs_iter())

    def index(self, item: Any) -> int:
        """Return the index of the first child with an item.

        Raises:
            ValueError: no child has the item.
        """
        for index, child in enumerate(self._children):
            if child.item == item:
                return index
        raise ValueError(f"{item} is not contained in any child")

    def dfs_iter(self, include_self: bool = False, right_to_left: bool = True) -> Iterator[Node]:
        """Iterate over the descendants depth-first.

        Args:
            include_self: include this node.
            right_to_left: visit the first child first; otherwise the last.
        """
        stack = [self] if include_self else list(_ordered(self, not right_to_left))
        while stack:
            node = stack.pop()
            yield node
            stack.extend(_ordered(node, not right_to_left))

    def bfs_iter(self, include_self: bool = False, right_to_left: bool = False) -> Iterator[Node]:
        """Iterate over the descendants breadth-first.

        Args:
            include_self: include this node.
            right_to_left: visit the first child first; otherwise the last.
        """
        queue = deque([self] if include_self else _ordered(self, right_to_left))
        while queue:
            node = queue.popleft()
            yield node
            queue.extend(_ordered(node, right_to_left))

    def to_digraph(self) -> graph.OrderedDiGraph:
        """Return a graph of the items, with edges from parents to children and metadata as attributes."""
        digraph = graph.OrderedDiGraph()
        for node in self.bfs_iter(include_self=True, right_to_left=True):
            digraph.add_node(node.item, **node.metadata)
            if node is not self and node.parent is not None:
                digraph.add_edge(node.parent.item, node.item)
        return digraph


def _ordered(node: Node, forward: bool) -> Iterator[Node]:
    """Iterate over the children, first or last first."""
    return iter(node) if forward else node.reverse_iter()


def _last_first(node: Node) -> Iterator[tuple[Node, bool]]:
    """Iterate over pairs of a child and whether it is the last one, last first."""
    return ((child, index == 0) for index, child in enumerate(node.reverse_iter()))
