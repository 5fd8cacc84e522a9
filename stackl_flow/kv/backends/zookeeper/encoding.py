"""Commits in the words of ZooKeeper: which operations one ``multi`` is made of.

What is stored of an item begins with the mark of the commit that wrote it, by which a commit whose answer was
lost is known again, and the name of its lease.

How keys become nodes, so that reading in order need not read everything.

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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, NamedTuple

from kazoo.protocol.serialization import CheckVersion, Create, Delete, SetData
from kazoo.protocol.states import ZnodeStat
from kazoo.security import OPEN_ACL_UNSAFE

from stackl_flow.kv.items import ABSENT, PRESENT, Check, Item, Put

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

    def prefix_end(self, prefix: str) -> Entry:
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


MARK: Final = 12
_EPHEMERAL: Final = 1
_ANY: Final = -1
#: Bytes that a ``multi`` adds to each operation.
_HEADER: Final = 9


class Commit(NamedTuple):
    """What is to be written; ``session`` is the number of the lease's session, 0 without a lease."""

    checks: Sequence[Check]
    puts: Sequence[Put]
    deletes: Sequence[str]
    mark: str
    session: int = 0

    def about(self) -> list[str]:
        """Name the items that it is about, each once."""
        keys = [check.key for check in self.checks] + [put.key for put in self.puts]
        return list(dict.fromkeys([*keys, *self.deletes]))

    def guarded(self) -> list[str]:
        """Name the items whose guard is to be checked, or may have to be."""
        return [check.key for check in self.checks if check.version != PRESENT] + list(self.deletes)


class Seen(NamedTuple):
    """What was there, item by item and guard by guard, before a commit was sent."""

    items: Mapping[str, ZnodeStat | None]
    guards: Mapping[str, ZnodeStat | None]

    def version(self, key: str) -> int:
        """Tell an item's version, or ``ABSENT``."""
        stat = self.items[key]
        return ABSENT if stat is None else int(stat.mzxid)


def create(path: str, data: bytes = b"", *, ephemeral: bool = False) -> Create:
    """Make the operation that makes a node."""
    return Create(path, data, OPEN_ACL_UNSAFE, _EPHEMERAL if ephemeral else 0)


def operations(commit: Commit, seen: Seen, paths: Paths) -> list[Any]:
    """Make the operations of a commit; they fail if anything has changed since it was seen.

    A node can be checked by a counter that begins anew with the node. So each making of a node rewrites the
    guard of its key, and each check that rests on the counter, or on there being no node, checks the guard.

    Args:
        commit: the commit; its checks hold for what was seen.
        seen: what was seen.
        paths: names nodes.

    Returns:
        The operations; the last one is a write, whose answer tells the version.
    """
    found: list[Any] = []
    checked: set[str] = set()
    made: set[str] = set()
    for check in commit.checks:
        stat = seen.items[check.key]
        if stat is not None:
            found.append(
                CheckVersion(paths.item(check.key), _ANY if check.version == PRESENT else stat.version)
            )
        if check.version != PRESENT:
            checked.add(paths.guard(check.key))
    for key in commit.deletes:
        stat = seen.items[key]
        if stat is None:
            checked.add(paths.guard(key))
        else:
            found.append(Delete(paths.item(key), stat.version))
    for put in commit.puts:
        found += _put(commit, put, seen, paths, made)
    for path in sorted(checked | made):
        version = _version(seen.guards[path]) if path in checked else _ANY
        found.append(SetData(path, b"", version) if path in made else CheckVersion(path, version))
    return [*found, SetData(paths.pulse, commit.mark.encode(), _ANY)]


def _put(commit: Commit, put: Put, seen: Seen, paths: Paths, made: set[str]) -> Iterable[Any]:
    stat, path = seen.items[put.key], paths.item(put.key)
    data = f"{commit.mark}{put.lease or ''}\n{put.value}".encode()
    session = 0 if put.lease is None else commit.session
    if stat is not None:
        if stat.ephemeralOwner == session:
            yield SetData(path, data, stat.version)
            return
        yield Delete(path, stat.version)
    made.add(paths.guard(put.key))
    yield create(path, data, ephemeral=put.lease is not None)


def _version(stat: ZnodeStat | None) -> int:
    return _ANY if stat is None else int(stat.version)


def size_of(asked: Iterable[Any]) -> int:
    """Tell how many bytes operations take."""
    return sum(len(operation.serialize()) + _HEADER for operation in asked)


def read_item(key: str, told: tuple[bytes, ZnodeStat]) -> Item:
    """Read an item.

    Args:
        key: its key.
        told: what the node holds, and its state.

    Returns:
        The item.
    """
    lease, _, value = told[0][MARK:].decode().partition("\n")
    return Item(key, value, int(told[1].mzxid), lease or None)
