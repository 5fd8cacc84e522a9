"""How keys become nodes, and commits become ``multi`` operations.

**Nodes.** ZooKeeper returns the children of a node all at once and in no order, so no node may have many. A
segment of a key is a folder, the last one an item; the first letter of a node's name tells which. A segment
that begins with a time in microseconds (16 digits or more), of which there may be a hundred thousand, is
split after 6, 8, 10 and 12 digits: into folders of a day, a quarter of an hour, ten seconds and a tenth of a
second. So none of them but the last, and the one of all days, can have more than a hundred children.

``board/waiting/any/2/01763712345678901-x`` is stored at
``items/dboard/dwaiting/dany/d2/c017637/c12/c34/c56/i78901-x``.

A folder of a time is not used again, so a list that finds it empty deletes it, with the folders below it.

**Values.** The data of an item's node begins with the token of the commit that wrote it, by which a commit
whose answer was lost is recognized, and the id of its lease.

**Checks.** A node can be checked by a counter that restarts when the node is created again. So every creation
of a node rewrites the guard node of its key, and every check that relies on the counter, or on there being no
node, checks the guard.
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
from kazoo.security import ACL, OPEN_ACL_UNSAFE

from stackl_flow.kv.items import ABSENT, PRESENT, Check, Item, Put
from stackl_flow.kv.ordered import root_of

_TIME: Final = re.compile(r"\d{16}")
_TIME_SPLITS: Final = (0, 6, 8, 10, 12)
_GUARDS: Final = 256
_ITEM: Final = "i"
_FOLDER: Final = "d"
_TIME_FOLDER: Final = "c"

TOKEN_SIZE: Final = 12
_EPHEMERAL: Final = 1
_ANY_VERSION: Final = -1
#: Bytes that a ``multi`` adds to each operation.
_OPERATION_HEADER_SIZE: Final = 9


class Entry(NamedTuple):
    """A node of an item, or a folder of such nodes.

    Attributes:
        key: the key of the item; for a folder, what the keys of its items begin with.
        path: the path of the node.
        is_item: whether it is an item.
        is_removable: whether it is to be deleted once it is empty.
    """

    key: str
    path: str
    is_item: bool = False
    is_removable: bool = False

    def child(self, name: str) -> Entry:
        """Return the entry of a child node."""
        kind, rest, path = name[0], name[1:], f"{self.path}/{name}"
        if kind == _FOLDER:
            rest += "/"
        return Entry(self.key + rest, path, kind == _ITEM, self.is_removable or kind == _TIME_FOLDER)


class Paths:
    """The paths of all nodes of a store.

    Args:
        root: the node below which everything is stored.
        acl: the ACL of all nodes.
    """

    def __init__(self, root: str, acl: Iterable[ACL] = OPEN_ACL_UNSAFE) -> None:
        self.root = root
        self._acl = list(acl)
        self.items = f"{root}/items"
        self.guards = f"{root}/guards"
        self.leases = f"{root}/leases"
        self.pulse = f"{root}/pulse"

    def base(self) -> Iterator[str]:
        """Iterate over the nodes that must exist, parents first."""
        path = ""
        for segment in self.root.strip("/").split("/"):
            path = f"{path}/{segment}"
            yield path
        yield from (self.items, self.guards, self.leases, self.pulse)

    def create_operation(self, path: str, data: bytes = b"", *, is_ephemeral: bool = False) -> Create:
        """Return the operation that creates a node."""
        return Create(path, data, self._acl, _EPHEMERAL if is_ephemeral else 0)

    def item(self, key: str) -> str:
        """Return the node of an item."""
        return f"{self.items}/{_relative_path(key)}"

    def deepest_folder(self, prefix: str) -> Entry:
        """Return the deepest folder that contains all items with a prefix."""
        segments = prefix.split("/")[:-1]
        key = "".join(f"{segment}/" for segment in segments)
        return Entry(key, "/".join([self.items, *_folder_names(segments)]))

    def folders(self, path: str) -> Iterator[str]:
        """Iterate over the folders of an item's path, parents first."""
        at = len(self.items)
        while (at := path.find("/", at + 1)) > 0:
            yield path[:at]

    def pulse_of(self, root: str) -> str:
        """Return the node that changes with every commit of a root of keys, or without one with each."""
        return f"{self.pulse}/{root}" if root else self.pulse

    def lease(self, lease_id: str) -> str:
        """Return the node of a lease."""
        return f"{self.leases}/{lease_id}"

    def guard(self, key: str) -> str:
        """Return the guard node of a key; several keys share one."""
        return f"{self.guards}/{zlib.crc32(key.encode()) % _GUARDS}"


@lru_cache(maxsize=4096)  # a commit needs the path of each item about four times
def _relative_path(key: str) -> str:
    *segments, last = key.split("/")
    return "/".join([*_folder_names(segments), *_split_segment(last, _ITEM)])


def _folder_names(segments: list[str]) -> Iterator[str]:
    for segment in segments:
        yield from _split_segment(segment, _FOLDER)


def _split_segment(segment: str, kind: str) -> Iterator[str]:
    done = 0
    if _TIME.match(segment):
        for start, end in pairwise(_TIME_SPLITS):
            yield _TIME_FOLDER + segment[start:end]
            done = end
    yield kind + segment[done:]


class Commit(NamedTuple):
    """A commit to be encoded.

    Attributes:
        checks: its checks.
        puts: its puts.
        deletes: the keys to delete.
        token: identifies it in the data of its nodes.
        session_id: the session of its lease, 0 without a lease.
    """

    checks: Sequence[Check]
    puts: Sequence[Put]
    deletes: Sequence[str]
    token: str
    session_id: int = 0

    def affected_keys(self) -> list[str]:
        """Return the keys that it checks or writes, each once."""
        keys = [check.key for check in self.checks] + [put.key for put in self.puts]
        return list(dict.fromkeys([*keys, *self.deletes]))

    def roots(self) -> set[str]:
        """Return the roots of what it writes."""
        roots = {root_of(put.key) for put in self.puts}
        return (roots | {root_of(key) for key in self.deletes}) - {""}

    def guarded_keys(self) -> list[str]:
        """Return the keys whose guard may have to be checked."""
        return [check.key for check in self.checks if check.version != PRESENT] + list(self.deletes)


class Snapshot(NamedTuple):
    """The nodes before a commit: by key those of items, by path those of guards; None for a missing one."""

    items: Mapping[str, ZnodeStat | None]
    guards: Mapping[str, ZnodeStat | None]

    def version(self, key: str) -> int:
        """Return the version of an item, or ``ABSENT``."""
        stat = self.items[key]
        return ABSENT if stat is None else int(stat.mzxid)


def encode_commit(commit: Commit, snapshot: Snapshot, paths: Paths) -> list[Any]:
    """Return the operations of a commit. They fail if anything has changed since the snapshot.

    Args:
        commit: the commit; its checks hold in the snapshot.
        snapshot: the nodes before it.
        paths: the paths of nodes.

    Returns:
        The operations. The last one is a write, whose result has the version of the commit.
    """
    operations: list[Any] = []
    checked_guards: set[str] = set()
    written_guards: set[str] = set()
    for check in commit.checks:
        stat = snapshot.items[check.key]
        if stat is not None:
            version = _ANY_VERSION if check.version == PRESENT else stat.version
            operations.append(CheckVersion(paths.item(check.key), version))
        if check.version != PRESENT:
            checked_guards.add(paths.guard(check.key))
    for key in commit.deletes:
        stat = snapshot.items[key]
        if stat is None:
            checked_guards.add(paths.guard(key))
        else:
            operations.append(Delete(paths.item(key), stat.version))
    for put in commit.puts:
        operations += _encode_put(commit, put, snapshot, paths, written_guards)
    for path in sorted(checked_guards | written_guards):
        version = _counter(snapshot.guards[path]) if path in checked_guards else _ANY_VERSION
        is_written = path in written_guards
        operations.append(SetData(path, b"", version) if is_written else CheckVersion(path, version))
    operations += [SetData(paths.pulse_of(root), b"", _ANY_VERSION) for root in sorted(commit.roots())]
    return [*operations, SetData(paths.pulse, commit.token.encode(), _ANY_VERSION)]


def _encode_put(
    commit: Commit, put: Put, snapshot: Snapshot, paths: Paths, written_guards: set[str]
) -> Iterable[Any]:
    stat, path = snapshot.items[put.key], paths.item(put.key)
    data = f"{commit.token}{put.lease or ''}\n{put.value}".encode()
    session_id = 0 if put.lease is None else commit.session_id
    if stat is not None:
        if stat.ephemeralOwner == session_id:
            yield SetData(path, data, stat.version)
            return
        yield Delete(path, stat.version)
    written_guards.add(paths.guard(put.key))
    yield paths.create_operation(path, data, is_ephemeral=put.lease is not None)


def _counter(stat: ZnodeStat | None) -> int:
    return _ANY_VERSION if stat is None else int(stat.version)


def encoded_size(operations: Iterable[Any]) -> int:
    """Return the size of a ``multi`` in bytes."""
    return sum(len(operation.serialize()) + _OPERATION_HEADER_SIZE for operation in operations)


def decode_item(key: str, node: tuple[bytes, ZnodeStat]) -> Item:
    """Return the item of a node, given its data and its stat."""
    data, stat = node
    lease, _, value = data[TOKEN_SIZE:].decode().partition("\n")
    return Item(key, value, int(stat.mzxid), lease or None)
