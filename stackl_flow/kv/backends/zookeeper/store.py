"""A key-value store on a ZooKeeper ensemble, by its transactions, ephemeral nodes and watches.

**Cost**, in round trips: a get is one; a commit two, one to read its nodes and one ``multi``; more when it
creates a folder or another commit came in between. A list opens the folders on the way to what it reads: of a
board with a hundred thousand waiting jobs it finds the first with seven small answers (see ``encoding``);
reading all of them takes all folders. A segment that does not begin with a time is not split, so a folder
with many thousands of those costs all their names when it is listed, and nothing otherwise.

**Versions** are the ids of ZooKeeper's transactions. Every commit writes the node ``pulse``, whose result has
the id, and one node below it for each root of keys that it writes (see ``ordered.root_of``), such as a board.
Waiters watch that of their root: they wake with every commit to it, whatever its other segments are. They
also watch the folder of leases, because no pulse is written when a session expires.

**A ``multi`` whose answer is lost** is recognized by its token in the nodes that it wrote; it is sent again
only if nothing has changed since.
"""

from __future__ import annotations

import uuid
from builtins import list as List  # noqa: N812  inside the class, ``list`` is the method
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from kazoo import exceptions as kazoo
from kazoo.protocol.serialization import Delete, Exists, GetChildren, GetData, Sync, Transaction
from kazoo.protocol.states import ZnodeStat

from stackl_flow import exceptions as exc
from stackl_flow import urls
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.kv.backends.zookeeper import connection
from stackl_flow.kv.backends.zookeeper.connection import SendRequests, SessionPool
from stackl_flow.kv.backends.zookeeper.encoding import (
    TOKEN_SIZE,
    Commit,
    Entry,
    Paths,
    Snapshot,
    decode_item,
    encode_commit,
    encoded_size,
)
from stackl_flow.kv.backends.zookeeper.leases import Leases
from stackl_flow.kv.backends.zookeeper.session import NoAnswerError, Session
from stackl_flow.kv.backends.zookeeper.watch import Watch
from stackl_flow.kv.items import (
    MAX_KEY,
    Check,
    Item,
    Lease,
    Limits,
    Put,
    conflict_error,
    is_satisfied,
    lease_lost_error,
    value_too_large,
)
from stackl_flow.kv.ordered import prefix_end, root_of
from stackl_flow.kv.store import KV

#: Bytes that a server accepts in one message, unless its ``jute.maxbuffer`` is set.
_MAX_BUFFER: Final = 1_048_575
#: Bytes of a message that are left to its header.
_HEADER: Final = 575
#: Bytes of an operation, or of its guard, beside the key and the root: also those in the data of the node.
_OPERATION: Final = 160
#: A message of so many bytes that the server never answers, while it answers others, is too large for it.
_SUSPICIOUS_SIZE: Final = 32_768
_MAX_UNANSWERED: Final = 5
_MAX_COMMIT_ATTEMPTS: Final = 500
#: Bounds of what is remembered: folders that exist, and lists with the way to their first item.
_MAX_KNOWN_FOLDERS: Final = 10_000
_MAX_HINTS: Final = 100
#: Items read, and folders opened, in one round trip.
_ITEM_BATCH: Final = 256
_FOLDER_BATCH: Final = 16


class ZooKeeperKV(KV):
    """Keeps items in a ZooKeeper ensemble (3.5 or newer).

    Args:
        conf: "connection" is the URL: "zookeeper://user:password@host:port,host:port/path"; or "zookeeper"
            with ``hosts``, ``path``, ``username`` and ``password`` beside it. Further options: ``auth``,
            "digest" or "sasl"; ``sasl_mechanism``; ``auth_data`` and ``default_acl``, as kazoo takes them;
            ``timeout``, seconds to wait for an answer; ``randomize_hosts``; ``jute_maxbuffer``, as it is set
            on the servers; ``use_ssl``, ``verify_certs``, ``ca``, ``certfile``, ``keyfile`` and
            ``keyfile_password`` for TLS.
        clock: not used: leases expire by the server's clock.

    Raises:
        InvalidFormat: the URL or an option is invalid.
    """

    list_is_snapshot = False

    def __init__(self, conf: str | Mapping[str, Any], clock: Clock = SYSTEM) -> None:
        url = urls.parse(conf)
        super().__init__(url.conf, clock=clock)
        settings = connection.read_settings(url)
        self._name = settings.name
        self._needs_sync = settings.has_several_servers
        self._max_message = (settings.max_buffer or _MAX_BUFFER) - _HEADER
        overhead = 2 * (_OPERATION + len(settings.root))
        self.limits = Limits(
            value=self._max_message - 4 * (MAX_KEY + overhead),
            commit=self._max_message,
            overhead=overhead,
        )
        self._paths = Paths(settings.root, settings.login.acl)
        new_session = partial(Session, settings.connector(), login=settings.login)
        self._pool = SessionPool(settings.name, new_session, settings.timeout)
        self._leases = Leases(self._pool, self._send, self._paths, new_session)
        self._watch = Watch(
            settings.hosts, settings.timeout, settings.options, self._paths, self._pool.translate_error
        )
        self._known_folders: set[str] = set()
        self._hints: dict[tuple[str, bool], List[str]] = {}
        self._is_prepared = False

    @property
    def name(self) -> str:
        return self._name

    def close(self) -> None:
        self._watch.close()
        self._leases.close()
        self._pool.close()

    def _send(self, requests: Iterable[Any]) -> List[Any]:
        """Send requests; with several servers, let the one that answers catch up first.

        A sync is needed each time, because the next request may go to another server.
        """
        if not self._needs_sync:
            return self._pool.send(requests)
        return self._pool.send([Sync(self._paths.root), *requests])[1:]

    # ---------------------------------------------------------------- reads

    def _get(self, key: str) -> Item | None:
        return self._get_many([key])[0]

    def _get_many(self, keys: Sequence[str]) -> List[Item | None]:
        items: list[Item | None] = []
        for start in range(0, len(keys), _ITEM_BATCH):
            batch = keys[start : start + _ITEM_BATCH]
            nodes = self._send(GetData(self._paths.item(key), None) for key in batch)
            items += [node and decode_item(key, node) for key, node in zip(batch, nodes, strict=True)]
        return items

    def _list(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> List[Item]:
        hint = [] if limit is None else self._hints.setdefault((prefix, reverse), [])
        if len(self._hints) > _MAX_HINTS:
            self._hints.clear()
        # A copy of the hint: another thread may use the same.
        reader = _ListReader(self._send, self._paths, prefix, after, limit, reverse=reverse, hint=[*hint])
        items = reader.read()
        hint[:] = reader.path_to_first
        if reader.empty_folders:
            self._known_folders.difference_update(reader.empty_folders)
            self._pool.send(Delete(path, -1) for path in reader.empty_folders)
        return items

    # ---------------------------------------------------------------- commits

    def _commit(
        self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str], lease: str | None
    ) -> int:
        commit = Commit(checks, puts, deletes, uuid.uuid4().hex[:TOKEN_SIZE])
        unanswered = 0
        for _ in range(_MAX_COMMIT_ATTEMPTS):
            snapshot = self._read_snapshot(commit)
            for check in checks:
                if not is_satisfied(check, snapshot.version(check.key)):
                    raise conflict_error(check, snapshot.version(check.key))
            if lease is not None:
                session = self._leases.find_session(lease)
                if session is None:
                    raise lease_lost_error(lease)
                commit = commit._replace(session_id=session.session_id)
            operations = encode_commit(commit, snapshot, self._paths)
            try:
                results = self._send_multi(operations, lease)
            except NoAnswerError as error:
                version = self._find_applied(commit, snapshot, error)
                unanswered += 1
                if version is None and unanswered >= _MAX_UNANSWERED:
                    self._raise_if_too_large(encoded_size(operations), error)
            else:
                version = self._read_version(commit, results, lease)
            if version is not None:
                return version
        raise exc.StorageFailure(
            f"a commit to '{self._name}' was overtaken by other commits {_MAX_COMMIT_ATTEMPTS} times: retry "
            f"later"
        )

    def _read_snapshot(self, commit: Commit) -> Snapshot:
        """Read the nodes of a commit and create missing folders.

        Guards are read first, so that an unchanged guard vouches for its items.
        """
        self._prepare()
        keys = commit.affected_keys()
        guards = sorted({self._paths.guard(key) for key in commit.guarded_keys()})
        needed = {self._paths.guard(put.key) for put in commit.puts}.union(guards)
        needed.update(self._paths.pulse_of(root) for root in commit.roots())
        for put in commit.puts:
            needed.update(self._paths.folders(self._paths.item(put.key)))
        new = sorted(needed - self._known_folders)  # parents first
        stats = self._send(
            [
                *(self._paths.create_operation(path) for path in new),
                *(Exists(guard, None) for guard in guards),
                *(Exists(self._paths.item(key), None) for key in keys),
            ]
        )[len(new) :]
        if len(self._known_folders) > _MAX_KNOWN_FOLDERS:
            self._known_folders.clear()
        self._known_folders.update(new)
        return Snapshot(
            items=dict(zip(keys, stats[len(guards) :], strict=True)),
            guards=dict(zip(guards, stats, strict=False)),
        )

    def _send_multi(self, operations: List[Any], lease: str | None) -> List[Any] | None:
        """Send a ``multi`` once; return the results, or None if its lease has ended."""
        size = encoded_size(operations)
        if size > self._max_message:
            raise value_too_large(self.name, "a commit with its keys", size, self._max_message)
        if lease is not None:
            return self._leases.commit(lease, operations)
        results: List[Any] = self._pool.send_once([Transaction(operations)])[0]
        return results

    def _raise_if_too_large(self, size: int, error: NoAnswerError) -> None:
        """Raise ``ValueTooLarge`` for a ``multi`` upon which the server closes the connection every time.

        It answers the requests in between, so that it is the size: a server does not say so. From then on the
        store has lower limits.
        """
        if size >= _SUSPICIOUS_SIZE:
            self.limits = self.limits.below(size)
            raise exc.ValueTooLarge(
                f"'{self.name}' closes the connection upon a commit of {size} bytes and answers smaller "
                f"requests, so its jute.maxbuffer is smaller than that: nothing was written; "
                f"raise it, or name it in the URL (jute_maxbuffer=) to have large writes split; "
                f"or write less at once, or store large values elsewhere (a codec can do that)",
                cause=error,
                size=size,
            )

    def _read_version(self, commit: Commit, results: List[Any] | None, lease: str | None) -> int | None:
        """Return the version from the results of a ``multi``; None if a node had changed before."""
        if results is None:
            raise lease_lost_error(str(lease))
        if isinstance(results[-1], ZnodeStat):
            return int(results[-1].mzxid)
        denied = next((result for result in results if isinstance(result, kazoo.NoAuthError)), None)
        if denied is not None:
            raise self._pool.translate_error(denied) from denied
        if any(isinstance(result, kazoo.NoNodeError) for result in results):
            # A folder that was known to exist may have been deleted.
            for put in commit.puts:
                self._known_folders.difference_update(self._paths.folders(self._paths.item(put.key)))
        return None

    def _find_applied(self, commit: Commit, before: Snapshot, error: NoAnswerError) -> int | None:
        """Return the version of a ``multi`` whose answer was lost; None if it certainly was not applied."""
        # The pulse has the token of the last commit, whatever that wrote.
        paths = [self._paths.pulse, *(self._paths.item(put.key) for put in commit.puts)]
        nodes = self._send(GetData(path, None) for path in paths)
        for data, stat in filter(None, nodes):
            if data[:TOKEN_SIZE] == commit.token.encode():
                return int(stat.mzxid)
        now = self._read_snapshot(commit)
        if (
            all(now.version(key) == before.version(key) for key in commit.affected_keys())
            and commit.affected_keys()
        ):
            return None
        if not commit.checks and not commit.puts and not any(now.items.values()):
            return int(nodes[0][1].mzxid)  # the keys to delete do not exist, whichever commit deleted them
        raise exc.StorageFailure(
            f"the answer of '{self._name}' to a commit was lost, and its items were written by others since: "
            f"it is unknown whether the commit was applied before; read the items again",
            cause=error,
        )

    def _prepare(self) -> None:
        if not self._is_prepared:
            self._pool.send(self._paths.create_operation(path) for path in self._paths.base())
            self._is_prepared = True

    # ---------------------------------------------------------------- leases

    def _grant(self, lease: Lease) -> Lease:
        self._prepare()
        return self._leases.grant(lease)

    def _extend(self, lease: Lease) -> bool:
        return self._leases.extend(lease.id)

    def _revoke(self, lease: Lease) -> None:
        self._leases.revoke(lease.id)

    # ---------------------------------------------------------------- waiting

    def _wait(self, prefix: str, since: int, timeout: float | None) -> int:
        self._prepare()
        return self._watch.wait(root_of(prefix), since, timeout)


#: In place of the children of a folder that was not requested yet.
_NOT_REQUESTED: Final = object()


class _ListReader:
    """One list operation: reads items in key order and opens no more folders than it has to.

    Args:
        send: sends requests.
        paths: the paths of nodes.
        prefix: see ``KV.list``, as for the next arguments.
        after: the exclusive bound.
        limit: the maximum number of items.
        reverse: descending order.
        hint: the folders on the way to the first item of the last list with the same arguments. They are
            requested together with the first one, because they probably lead there again.

    Attributes:
        empty_folders: folders that are empty and not used again.
    """

    def __init__(
        self,
        send: SendRequests,
        paths: Paths,
        prefix: str,
        after: str,
        limit: int | None,
        *,
        reverse: bool,
        hint: list[str],
    ) -> None:
        self._send = send
        self._prefix = prefix
        self._after = after
        self._limit = limit
        self._reverse = reverse
        self.empty_folders: list[str] = []
        self._paths = paths
        self._prefetched = dict.fromkeys(hint, _NOT_REQUESTED)
        # A stack: the entry to read next is the last one.
        self._entries = [paths.deepest_folder(prefix)]
        self._items: list[Item] = []

    def read(self) -> list[Item]:
        """Return the items; each may be read at a different time."""
        while self._entries and self._missing > 0:
            if self._limit is None and (folders := [each for each in self._entries if not each.is_item]):
                self._entries = [each for each in self._entries if each.is_item]
                self._open(folders)
            elif self._entries[-1].is_item:
                self._fetch(self._pop(_ITEM_BATCH, is_item=True))
            else:
                # If the children of the first folder are prefetched, they may be all that is needed.
                is_prefetched = self._entries[-1].path in self._prefetched
                self._open(self._pop(1 if is_prefetched else _FOLDER_BATCH, is_item=False))
        return self._items

    @property
    def path_to_first(self) -> list[str]:
        """The folders on the way to the first item: the hint for the next list."""
        if not self._items:
            return []
        start = self._paths.deepest_folder(self._prefix).path
        item = self._paths.item(self._items[0].key)
        return [path for path in self._paths.folders(item) if path.startswith(start)]

    @property
    def _missing(self) -> int:
        return _ITEM_BATCH if self._limit is None else self._limit - len(self._items)

    def _pop(self, count: int, *, is_item: bool) -> list[Entry]:
        """Remove the next entries of one kind from the stack."""
        popped: list[Entry] = []
        while (
            self._entries and len(popped) < min(count, self._missing) and self._entries[-1].is_item == is_item
        ):
            popped.append(self._entries.pop())
        return popped

    def _open(self, folders: list[Entry]) -> None:
        """Put the entries of folders on the stack, in order."""
        for folder, names in zip(folders, self._children([folder.path for folder in folders]), strict=True):
            if names == [] and folder.is_removable:
                self.empty_folders.append(folder.path)
            for name in names or ():
                entry = folder.child(name)
                if self._is_wanted(entry):
                    self._entries.append(entry)
        self._entries.sort(key=self._sort_key, reverse=not self._reverse)

    def _children(self, paths: list[str]) -> list[Any]:
        """Return the names in folders; None for a missing folder."""
        prefetched = self._prefetched
        if not all(prefetched.get(path, _NOT_REQUESTED) is not _NOT_REQUESTED for path in paths):
            hinted = (path for path, names in prefetched.items() if names is _NOT_REQUESTED)
            requested = list(dict.fromkeys([*paths, *hinted]))
            answers = self._send(GetChildren(path, None) for path in requested)
            prefetched.update(zip(requested, answers, strict=True))
        return [prefetched.pop(path) for path in paths]

    def _sort_key(self, entry: Entry) -> str:
        """Return the key of an item, and for a folder a bound of the first of its keys in this order."""
        return prefix_end(entry.key) if self._reverse and not entry.is_item else entry.key

    def _is_wanted(self, entry: Entry) -> bool:
        key, after = entry.key, self._after
        if not key.startswith(self._prefix) and (entry.is_item or not self._prefix.startswith(key)):
            return False
        if not after:
            return True
        if self._reverse:
            return key < after
        return (key if entry.is_item else prefix_end(key)) > after

    def _fetch(self, entries: list[Entry]) -> None:
        nodes = self._send(GetData(entry.path, None) for entry in entries)
        self._items += [
            decode_item(entry.key, node)
            for entry, node in zip(entries, nodes, strict=True)
            if node is not None
        ]
