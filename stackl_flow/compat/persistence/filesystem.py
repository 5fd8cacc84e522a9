"""The in-memory file system that TaskFlow's memory backend exposes as ``memory``."""

from __future__ import annotations

import copy
import posixpath
from collections.abc import Callable, Iterable
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow.compat.types import tree


class FakeInode(tree.Node):
    """A path with an optional value and children.

    Args:
        item: the last part of the path.
        path: the path.
        value: the value.
    """

    def __init__(self, item: str, path: str, value: Any = None) -> None:
        super().__init__(item, path=path, value=value)


class FakeFilesystem:
    """Values under POSIX paths. Any path may have a value and children. Not thread-safe.

    Args:
        deep_copy: copy values deeply when they are read and written; otherwise only their outermost layer.
    """

    root_path: Final = "/"

    def __init__(self, deep_copy: bool = True) -> None:
        self._copy: Callable[[Any], Any] = copy.deepcopy if deep_copy else copy.copy
        self._root = FakeInode(self.root_path, self.root_path)
        self._nodes: dict[str, Any] = {self.root_path: self._root}

    @classmethod
    def normpath(cls, path: str) -> str:
        """Normalize an absolute path.

        Raises:
            ValueError: the path is empty or relative.
        """
        if not path.startswith(cls.root_path):
            raise ValueError(f"paths must begin with '{cls.root_path}', not {path!r}")
        return posixpath.normpath(path)

    @staticmethod
    def split(path: str) -> tuple[str, str]:
        """Split a path into its parent and its last part."""
        return posixpath.split(path)

    @staticmethod
    def join(*pieces: str) -> str:
        """Join the parts of a path."""
        return "/".join(pieces)

    def ensure_path(self, path: str) -> None:
        """Create a path and its parents unless they exist."""
        current = self.root_path
        for piece in self.normpath(path).split("/"):
            if piece:
                parent, current = current, posixpath.join(current, piece)
                if current not in self._nodes:
                    self._add(parent, piece)

    def _add(self, parent: str, name: str, value: Any = None) -> Any:
        node = FakeInode(name, posixpath.join(parent, name), value)
        self._node(parent).add(node)
        self._nodes[node.metadata["path"]] = node
        return node

    def _node(self, path: str) -> Any:
        try:
            return self._nodes[path]
        except KeyError:
            raise exc.NotFound(f"Path '{path}' not found") from None

    def _ensure_node(self, path: str) -> Any:
        node = self._nodes.get(path)
        return self._add(*posixpath.split(path)) if node is None else node

    def get(self, path: str, default: Any = None) -> Any:
        """Return the value of a path, following links, or ``default`` if it does not exist."""
        try:
            return self[path]
        except exc.NotFound:
            return default

    def ls(self, path: str, absolute: bool = False) -> list[str]:
        """List the children of a path in order of creation, by name or as absolute paths."""
        return self._paths(path, iter(self._node(self.normpath(path))), absolute)

    def ls_r(self, path: str, absolute: bool = False) -> list[str]:
        """List the descendants of a path breadth-first, as relative or absolute paths."""
        return self._paths(path, self._node(self.normpath(path)).bfs_iter(), absolute)

    def _paths(self, path: str, nodes: Iterable[Any], absolute: bool) -> list[str]:
        paths = [str(node.metadata["path"]) for node in nodes]
        return paths if absolute else [posixpath.relpath(each, self.normpath(path)) for each in paths]

    def clear(self) -> None:
        """Delete everything except the root."""
        for node in list(self._root.reverse_iter()):
            node.disassociate()
        self._nodes = {self.root_path: self._root}

    def delete(self, path: str, recursive: bool = False) -> None:
        """Delete a path.

        Args:
            path: the path; of the root, only the descendants are deleted.
            recursive: delete its descendants, too.

        Raises:
            NotFound: the path does not exist.
            ValueError: ``recursive`` is false, and the path has descendants or is the root.
        """
        path = self.normpath(path)
        node = self._node(path)
        descendants = [str(child.metadata["path"]) for child in node.bfs_iter()]
        if not recursive and (descendants or node is self._root):
            raise ValueError(f"'{path}' has {len(descendants)} descendants: pass recursive=True")
        if node is self._root:
            self.clear()
            return
        for each in (path, *descendants):
            del self._nodes[each]
        node.disassociate()

    def symlink(self, src_path: str, dest_path: str) -> None:
        """Create a link at ``dest_path`` to ``src_path``."""
        self._ensure_node(self.normpath(dest_path)).metadata["target"] = self.normpath(src_path)

    def pformat(self) -> str:
        """Draw all paths as a tree."""
        text: str = self._root.pformat(stringify_node=self._stringify)
        return text

    @staticmethod
    def _stringify(node: Any) -> str:
        target = node.metadata.get("target")
        return f"{node.item} (link to {target})" if target else str(node.item)

    def __getitem__(self, path: str) -> Any:
        target = self.normpath(path)
        seen: list[str] = []
        while "target" in (node := self._node(target)).metadata:
            seen.append(target)
            target = node.metadata["target"]
            if target in seen:
                raise ValueError(f"the links {' -> '.join([*seen, target])} form a cycle")
        return self._copy(node.metadata["value"])

    def __setitem__(self, path: str, value: Any) -> None:
        self._ensure_node(self.normpath(path)).metadata["value"] = self._copy(value)

    def __delitem__(self, path: str) -> None:
        self.delete(path, recursive=True)
