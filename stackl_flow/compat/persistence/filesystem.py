"""A file system in memory: what TaskFlow keeps its memory backend in, and its users look into."""

from __future__ import annotations

import copy
import posixpath
from collections.abc import Callable, Iterable
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow.compat.types import tree


class FakeInode(tree.Node):
    """A file or a folder, or both.

    Args:
        item: its name.
        path: where it is.
        value: what it holds.
    """

    def __init__(self, item: str, path: str, value: Any = None) -> None:
        super().__init__(item, path=path, value=value)


class FakeFilesystem:
    """Values under POSIX paths; any path may hold a value and have others below it.

    Not to be changed by several threads at once.

    Args:
        deep_copy: copy values deeply when they come and go; otherwise only their outermost layer.
    """

    root_path: Final = "/"

    def __init__(self, deep_copy: bool = True) -> None:
        self._copy: Callable[[Any], Any] = copy.deepcopy if deep_copy else copy.copy
        self._root = FakeInode(self.root_path, self.root_path)
        self._nodes: dict[str, Any] = {self.root_path: self._root}

    @classmethod
    def normpath(cls, path: str) -> str:
        """Write a path in its shortest form.

        Args:
            path: an absolute path.

        Returns:
            The same path without "..", "." and doubled slashes.

        Raises:
            ValueError: the path is empty or not absolute.
        """
        if not path.startswith(cls.root_path):
            raise ValueError(f"a path has to begin with '{cls.root_path}', and {path!r} does not")
        return posixpath.normpath(path)

    @staticmethod
    def split(path: str) -> tuple[str, str]:
        """Take a path apart.

        Args:
            path: the path.

        Returns:
            Its folder and its last part.
        """
        return posixpath.split(path)

    @staticmethod
    def join(*pieces: str) -> str:
        """Put the parts of a path together.

        Args:
            pieces: the parts.

        Returns:
            The path.
        """
        return "/".join(pieces)

    def ensure_path(self, path: str) -> None:
        """Make a path, and all that are above it, unless they are there.

        Args:
            path: the path.
        """
        made = self.root_path
        for piece in self.normpath(path).split("/"):
            if piece:
                above, made = made, posixpath.join(made, piece)
                if made not in self._nodes:
                    self._add(above, piece)

    def _add(self, above: str, name: str, value: Any = None) -> Any:
        node = FakeInode(name, posixpath.join(above, name), value)
        self._at(above).add(node)
        self._nodes[node.metadata["path"]] = node
        return node

    def _at(self, path: str) -> Any:
        try:
            return self._nodes[path]
        except KeyError:
            raise exc.NotFound(f"Path '{path}' not found") from None

    def _at_or_new(self, path: str) -> Any:
        node = self._nodes.get(path)
        return self._add(*posixpath.split(path)) if node is None else node

    def get(self, path: str, default: Any = None) -> Any:
        """Read a value.

        Args:
            path: where it is; links are followed.
            default: what to give when there is no such path.

        Returns:
            The value.
        """
        try:
            return self[path]
        except exc.NotFound:
            return default

    def ls(self, path: str, absolute: bool = False) -> list[str]:
        """List what is in a folder.

        Args:
            path: the folder.
            absolute: give whole paths instead of names.

        Returns:
            The names, in the order they were made.
        """
        return self._shown(path, iter(self._at(self.normpath(path))), absolute)

    def ls_r(self, path: str, absolute: bool = False) -> list[str]:
        """List what is in a folder and below it, level by level.

        Args:
            path: the folder.
            absolute: give whole paths instead of those below the folder.

        Returns:
            The names.
        """
        return self._shown(path, self._at(self.normpath(path)).bfs_iter(), absolute)

    def _shown(self, path: str, nodes: Iterable[Any], absolute: bool) -> list[str]:
        paths = [str(node.metadata["path"]) for node in nodes]
        return paths if absolute else [posixpath.relpath(found, self.normpath(path)) for found in paths]

    def clear(self) -> None:
        """Remove everything but the root."""
        for node in list(self._root.reverse_iter()):
            node.disassociate()
        self._nodes = {self.root_path: self._root}

    def delete(self, path: str, recursive: bool = False) -> None:
        """Remove a path.

        Args:
            path: the path; the root itself stays, without what is below it.
            recursive: remove what is below it as well.

        Raises:
            NotFound: there is no such path.
            ValueError: something is below it, or it is the root, and ``recursive`` is not given.
        """
        path = self.normpath(path)
        node = self._at(path)
        below = [str(child.metadata["path"]) for child in node.bfs_iter()]
        if not recursive and (below or node is self._root):
            raise ValueError(f"'{path}' cannot be removed alone: it has {len(below)} paths below it")
        if node is self._root:
            self.clear()
            return
        for gone in (path, *below):
            del self._nodes[gone]
        node.disassociate()

    def symlink(self, src_path: str, dest_path: str) -> None:
        """Make a path lead to another.

        Args:
            src_path: where it leads.
            dest_path: the path that leads there.
        """
        self._at_or_new(self.normpath(dest_path)).metadata["target"] = self.normpath(src_path)

    def pformat(self) -> str:
        """Draw everything as a tree.

        Returns:
            The drawing.
        """
        text: str = self._root.pformat(stringify_node=self._stringify)
        return text

    @staticmethod
    def _stringify(node: Any) -> str:
        target = node.metadata.get("target")
        return f"{node.item} (link to {target})" if target else str(node.item)

    def __getitem__(self, path: str) -> Any:
        place = self.normpath(path)
        seen: list[str] = []
        while "target" in (node := self._at(place)).metadata:
            seen.append(place)
            place = node.metadata["target"]
            if place in seen:
                raise ValueError(f"the links {' -> '.join([*seen, place])} lead in a circle")
        return self._copy(node.metadata["value"])

    def __setitem__(self, path: str, value: Any) -> None:
        self._at_or_new(self.normpath(path)).metadata["value"] = self._copy(value)

    def __delitem__(self, path: str) -> None:
        self.delete(path, recursive=True)
