"""How keys become nodes, so that reading in order need not read everything.

ZooKeeper tells the children of a node all at once and in no order, so no node may have many. A segment of a
key is a folder, its last one an item; what tells them apart is the first letter of the node's name. A segment
that begins with a time in microseconds (16 digits or more), of which there may be a hundred thousand, is cut
after 6, 8, 10 and 12 of them: into folders of a day, of a quarter of an hour, of ten seconds and of a tenth
of a second, so that none but the last, and the one of all days, can hold more than a hundred.

``board/waiting/any/2/01763712345678901-x`` lies in
``items/dboard/dwaiting/dany/d2/c017637/c12/c34/c56/i78901-x``.

A folder of a time is not used again, so whoever finds it empty takes it away, with the folders below it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

_TIME: Final = re.compile(r"\d{16}")
_CUTS: Final = (0, 6, 8, 10, 12)
_GUARDS: Final = 256
_ITEM: Final = "i"
_FOLDER: Final = "d"
_CHUNK: Final = "c"


class Entry(NamedTuple):
    """A node below which, or in which, there are items.

    ``text`` is what the keys of its items begin with; the whole key, if it is an item itself. It is
    ``fleeting`` when it is to be taken away once it is empty.
    """

    text: str
    path: str
    is_item: bool = False
    fleeting: bool = False

    def child(self, name: str) -> Entry:
        """Read the name of a node below it."""
        kind, rest, path = name[0], name[1:], f"{self.path}/{name}"
        if kind == _FOLDER:
            rest += "/"
        return Entry(self.text + rest, path, kind == _ITEM, self.fleeting or kind == _CHUNK)


class Paths:
    """Names nodes.

    Args:
        root: the node below which all is kept.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.items = f"{root}/items"
        self.guards = f"{root}/guards"
        self.leases = f"{root}/leases"
        self.pulse = f"{root}/pulse"

    def base(self) -> Iterator[str]:
        """Name the nodes that have to be there, upper ones first."""
        path = ""
        for part in self.root.strip("/").split("/"):
            path = f"{path}/{part}"
            yield path
        yield from (self.items, self.guards, self.leases, self.pulse)

    def item(self, key: str) -> str:
        """Name the node of an item."""
        return f"{self.items}/{_node(key)}"

    def above(self, prefix: str) -> Entry:
        """Find the deepest folder that has all items with a prefix below it."""
        folders = prefix.split("/")[:-1]
        text = "".join(f"{folder}/" for folder in folders)
        return Entry(text, "/".join([self.items, *_folders(folders)]))

    def parents(self, path: str) -> Iterator[str]:
        """Name the folders above an item, upper ones first."""
        at = len(self.items)
        while (at := path.find("/", at + 1)) > 0:
            yield path[:at]

    def lease(self, name: str) -> str:
        """Name the node of a lease."""
        return f"{self.leases}/{name}"

    def guard(self, key: str) -> str:
        """Name the guard of a key."""
        return f"{self.guards}/{zlib.crc32(key.encode()) % _GUARDS}"


@lru_cache(maxsize=4096)  # a commit names each of its items some four times
def _node(key: str) -> str:
    *folders, last = key.split("/")
    return "/".join([*_folders(folders), *_cut(last, _ITEM)])


def _folders(segments: list[str]) -> Iterator[str]:
    for segment in segments:
        yield from _cut(segment, _FOLDER)


def _cut(segment: str, kind: str) -> Iterator[str]:
    done = 0
    if _TIME.match(segment):
        for start, end in pairwise(_CUTS):
            yield _CHUNK + segment[start:end]
            done = end
    yield kind + segment[done:]
