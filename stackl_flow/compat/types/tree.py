"""TaskFlow's `taskflow.types.tree`: nodes with children."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, ClassVar

from stackl_flow.compat.types import graph


class FrozenNode(Exception):
    """A node that was frozen cannot be changed."""

    def __init__(self) -> None:
        super().__init__("Frozen node(s) can't be modified")


Words = Callable[["Node"], str]
Matcher = Callable[["Node"], bool]


class Node:
    """An item with a parent and children, which are nodes as well.

    Args:
        item: what it holds.
        kwargs: what else is known of it.

    Attributes:
        item: what it holds.
        parent: the node above, or None.
        metadata: what else is known of it.
        frozen: whether it refuses changes.
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
        """Refuse changes here and below, from now on."""
        for node in self.dfs_iter(include_self=True):
            node.frozen = True

    def add(self, child: Node) -> None:
        """Add a child after the others.

        Args:
            child: the child.

        Raises:
            FrozenNode: this node is frozen.
        """
        self._check_thawed()
        child.parent = self
        self._children.append(child)

    def empty(self) -> bool:
        """Say whether it has no children."""
        return not self._children

    def path_iter(self, include_self: bool = True) -> Iterator[Node]:
        """Go up to the root.

        Args:
            include_self: whether to begin with this node.

        Yields:
            Node after node.
        """
        node = self if include_self else self.parent
        while node is not None:
            yield node
            node = node.parent

    def find_first_match(
        self, matcher: Matcher, only_direct: bool = False, include_self: bool = True
    ) -> Node | None:
        """Find a node.

        Args:
            matcher: says of a node whether it is the one.
            only_direct: look at the children only, last first, and not at what is below them.
            include_self: whether to look at this node as well.

        Returns:
            The first that matches, or None.
        """
        if only_direct:
            nodes: Iterator[Node] = chain([self] if include_self else [], self.reverse_iter())
        else:
            nodes = self.dfs_iter(include_self=include_self)
        return next(filter(matcher, nodes), None)

    def find(self, item: Any, only_direct: bool = False, include_self: bool = True) -> Node | None:
        """Find the node that holds an item.

        Args:
            item: the item.
            only_direct: as for ``find_first_match``.
            include_self: as for ``find_first_match``.

        Returns:
            The first node that holds it, or None.
        """
        return self.find_first_match(lambda node: bool(node.item == item), only_direct, include_self)

    def disassociate(self) -> int:
        """Take this node from its parent.

        Returns:
            How many times it was among the children.

        Raises:
            FrozenNode: this node is frozen.
        """
        self._check_thawed()
        above, self.parent = self.parent, None
        if above is None:
            return 0
        return above._drop(self)  # noqa: SLF001  a node of the same tree

    def _drop(self, node: Node) -> int:
        before = len(self._children)
        self._children = [child for child in self._children if child is not node]
        return before - len(self._children)

    def remove(self, item: Any, only_direct: bool = False, include_self: bool = True) -> Node:
        """Find the node that holds an item, and take it out of the tree.

        Args:
            item: the item.
            only_direct: as for ``find_first_match``.
            include_self: as for ``find_first_match``.

        Returns:
            The node.

        Raises:
            FrozenNode: this node is frozen.
            ValueError: no node holds it.
        """
        self._check_thawed()
        node = self.find(item, only_direct, include_self)
        if node is None:
            raise ValueError(f"Item '{item}' not found to remove")
        node.disassociate()
        return node

    def __contains__(self, item: object) -> bool:
        """Say whether an item is held here or below."""
        return self.find(item) is not None

    def __getitem__(self, index: int) -> Node:
        """Return a child by its place."""
        return self._children[index]

    def __iter__(self) -> Iterator[Node]:
        """Go over the children."""
        return iter(tuple(self._children))

    def reverse_iter(self) -> Iterator[Node]:
        """Go over the children, last first."""
        return reversed(tuple(self._children))

    def pformat(
        self,
        stringify_node: Words | None = None,
        linesep: str = LINE_SEP,
        vertical_conn: str = VERTICAL_CONN,
        horizontal_conn: str = HORIZONTAL_CONN,
        empty_space: str = EMPTY_SPACE_SEP,
        starting_prefix: str = STARTING_PREFIX,
    ) -> str:
        """Draw the tree with letters.

        Args:
            stringify_node: writes a node; its item if left out.
            linesep: what ends a line.
            vertical_conn: joins a node to the one below.
            horizontal_conn: joins a node to its parent.
            empty_space: what fills the space between.
            starting_prefix: what each line begins with.

        Returns:
            One line for each node.
        """
        words = stringify_node or (lambda node: str(node.item))
        joint = vertical_conn + horizontal_conn
        beside = vertical_conn + empty_space * len(horizontal_conn)
        blank = empty_space * len(joint)
        lines = [starting_prefix + words(self)]
        # Each with what stands before the lines of its children; the last pushed is drawn first.
        waiting = [(child, starting_prefix, last) for child, last in _last_first(self)]
        while waiting:
            node, before, last = waiting.pop()
            lines.append(before + joint + words(node))
            below = before + (blank if last else beside)
            waiting.extend((child, below, is_last) for child, is_last in _last_first(node))
        return linesep.join(lines)

    def child_count(self, only_direct: bool = True) -> int:
        """Count the children.

        Args:
            only_direct: leave out what is below them.

        Returns:
            How many there are, this node aside.
        """
        return len(self._children) if only_direct else sum(1 for _ in self.dfs_iter())

    def index(self, item: Any) -> int:
        """Find the place of the child that holds an item.

        Args:
            item: the item.

        Returns:
            The place of the first such child.

        Raises:
            ValueError: no child holds it.
        """
        for place, child in enumerate(self._children):
            if child.item == item:
                return place
        raise ValueError(f"{item} is not contained in any child")

    def dfs_iter(self, include_self: bool = False, right_to_left: bool = True) -> Iterator[Node]:
        """Go down to the last node of a branch before the next branch.

        Args:
            include_self: whether to begin with this node.
            right_to_left: first child first; otherwise the last.

        Yields:
            Node after node.
        """
        waiting = [self] if include_self else list(_ordered(self, not right_to_left))
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(_ordered(node, not right_to_left))

    def bfs_iter(self, include_self: bool = False, right_to_left: bool = False) -> Iterator[Node]:
        """Go over the nearest nodes before those further away.

        Args:
            include_self: whether to begin with this node.
            right_to_left: first child first; otherwise the last.

        Yields:
            Node after node.
        """
        waiting = deque([self] if include_self else _ordered(self, right_to_left))
        while waiting:
            node = waiting.popleft()
            yield node
            waiting.extend(_ordered(node, right_to_left))

    def to_digraph(self) -> graph.OrderedDiGraph:
        """Make a graph of the items, from parent to child.

        Returns:
            The graph; what else is known of a node is kept with it.
        """
        made = graph.OrderedDiGraph()
        for node in self.bfs_iter(include_self=True, right_to_left=True):
            made.add_node(node.item, **node.metadata)
            if node is not self and node.parent is not None:
                made.add_edge(node.parent.item, node.item)
        return made


def _ordered(node: Node, forward: bool) -> Iterator[Node]:
    """Go over the children, first or last first."""
    return iter(node) if forward else node.reverse_iter()


def _last_first(node: Node) -> Iterator[tuple[Node, bool]]:
    """Go over the children, last first, and say of each whether it is the last."""
    return ((child, place == 0) for place, child in enumerate(node.reverse_iter()))
