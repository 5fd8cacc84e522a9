"""Commits in the words of ZooKeeper: which operations one ``multi`` is made of.

What is stored of an item begins with the mark of the commit that wrote it, by which a commit whose answer was
lost is known again, and the name of its lease.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from kazoo.protocol.serialization import CheckVersion, Create, Delete, SetData
from kazoo.protocol.states import ZnodeStat
from kazoo.security import OPEN_ACL_UNSAFE

from stackl_flow.kv.backends.zookeeper.paths import Paths
from stackl_flow.kv.items import ABSENT, PRESENT, Check, Item, Put

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
