"""A place of items in a ZooKeeper ensemble, by its transactions, ephemeral nodes and watches.

What it costs, in trips to a server: a get is one; a commit two, one to see what is there and one ``multi``;
more when it makes a folder or another writer came in between. A list opens the folders that lie on the way to
what it reads: of a board with a hundred thousand waiting jobs the first is found by seven small answers (see
``paths``), reading all of them takes all. A segment that begins with no time is not cut: whoever puts many
thousands of those into one folder pays for all their names when it is listed, and for none when they are not.

Versions are the ids of ZooKeeper's transactions. Every commit writes the node ``pulse``, whose answer tells
the id, and which all who wait watch: they wake with every commit, whatever it is about. They watch the folder
of leases, too, because nobody writes the pulse when a session is over.

A ``multi`` whose answer was lost is looked for by the mark it leaves in its items; it is sent again only if
nothing has changed since.

Reads items in the order of their keys, opening no more folders than it has to.
"""

from __future__ import annotations

import uuid
from builtins import list as List  # noqa: N812  inside the class, ``list`` is the verb
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from kazoo import exceptions as kazoo
from kazoo.protocol.serialization import Delete, Exists, GetChildren, GetData, Sync, Transaction
from kazoo.protocol.states import ZnodeStat

from stackl_flow import exceptions as exc
from stackl_flow import urls
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.kv.backends.zookeeper import connection
from stackl_flow.kv.backends.zookeeper.connection import Ask, Link
from stackl_flow.kv.backends.zookeeper.encoding import (
    MARK,
    Commit,
    Entry,
    Paths,
    Seen,
    create,
    operations,
    read_item,
    size_of,
)
from stackl_flow.kv.backends.zookeeper.leases import Leases
from stackl_flow.kv.backends.zookeeper.session import Lost
from stackl_flow.kv.backends.zookeeper.watch import Watch
from stackl_flow.kv.items import (
    Check,
    Item,
    Lease,
    Limits,
    Put,
    conflict_error,
    is_satisfied,
    lease_lost_error,
    limit_error,
)
from stackl_flow.kv.ordered import prefix_end
from stackl_flow.kv.store import KV

#: How many folders are opened, and items read, in one go.
_FOLDERS: Final = 16
_ITEMS: Final = 256
_UNASKED: Final = object()


class Walk:
    """One reading.

    Args:
        ask: asks the ensemble.
        paths: names nodes.
        prefix: only items whose keys begin so.
        after: only items behind this key; in reverse, before it.
        limit: at most so many.
        reverse: the last key first.
        trail: the folders that led to what the last reading of the same found first. They are asked for
            together with the first one, because it is likely that they lead there again.

    Attributes:
        emptied: folders that are empty and not used again.
    """

    def __init__(
        self,
        ask: Ask,
        paths: Paths,
        prefix: str,
        after: str,
        limit: int | None,
        *,
        reverse: bool,
        trail: list[str],
    ) -> None:
        self._ask = ask
        self._prefix = prefix
        self._after = after
        self._limit = limit
        self._reverse = reverse
        self.emptied: list[str] = []
        self._paths = paths
        self._guessed = dict.fromkeys(trail, _UNASKED)
        # What comes next stands last.
        self._entries = [paths.prefix_end(prefix)]
        self._found: list[Item] = []

    def read(self) -> list[Item]:
        """Read the items.

        Returns:
            The items; each as it was at a moment of its own.
        """
        while self._entries and self._missing > 0:
            if self._limit is None and (folders := [each for each in self._entries if not each.is_item]):
                self._entries = [each for each in self._entries if each.is_item]
                self._open(folders)
            elif self._entries[-1].is_item:
                self._fetch(self._take(_ITEMS, is_item=True))
            else:
                # Where the first of them is known already, it may be all that is wanted.
                is_known = self._entries[-1].path in self._guessed
                self._open(self._take(1 if is_known else _FOLDERS, is_item=False))
        return self._found

    @property
    def trail(self) -> list[str]:
        """The folders that led to the first item that was found."""
        if not self._found:
            return []
        start = self._paths.prefix_end(self._prefix).path
        item = self._paths.item(self._found[0].key)
        return [path for path in self._paths.parents(item) if path.startswith(start)]

    @property
    def _missing(self) -> int:
        return _ITEMS if self._limit is None else self._limit - len(self._found)

    def _take(self, most: int, *, is_item: bool) -> list[Entry]:
        taken: list[Entry] = []
        while (
            self._entries and len(taken) < min(most, self._missing) and self._entries[-1].is_item == is_item
        ):
            taken.append(self._entries.pop())
        return taken

    def _open(self, folders: list[Entry]) -> None:
        for folder, names in zip(folders, self._names([folder.path for folder in folders]), strict=True):
            if names == [] and folder.fleeting:
                self.emptied.append(folder.path)
            for name in names or ():
                entry = folder.child(name)
                if self._is_wanted(entry):
                    self._entries.append(entry)
        self._entries.sort(key=self._place, reverse=not self._reverse)

    def _names(self, paths: list[str]) -> list[Any]:
        """Tell what is in folders; None for one that is not there."""
        guesses = self._guessed
        if not all(guesses.get(path, _UNASKED) is not _UNASKED for path in paths):
            asked = list(
                dict.fromkeys([*paths, *(path for path, told in guesses.items() if told is _UNASKED)])
            )
            guesses.update(zip(asked, self._ask(GetChildren(path, None) for path in asked), strict=True))
        return [guesses.pop(path) for path in paths]

    def _place(self, entry: Entry) -> str:
        """Where an entry stands: a folder at the first of its keys that comes."""
        return prefix_end(entry.text) if self._reverse and not entry.is_item else entry.text

    def _is_wanted(self, entry: Entry) -> bool:
        text, after = entry.text, self._after
        if not text.startswith(self._prefix) and (entry.is_item or not self._prefix.startswith(text)):
            return False
        if not after:
            return True
        if self._reverse:
            return text < after
        return (text if entry.is_item else prefix_end(text)) > after

    def _fetch(self, entries: list[Entry]) -> None:
        told = self._ask(GetData(entry.path, None) for entry in entries)
        self._found += [
            read_item(entry.text, each) for entry, each in zip(entries, told, strict=True) if each is not None
        ]


#: What a server takes in one message (``jute.maxbuffer``), less the head of the message.
_MOST: Final = 1_048_000
_REMEMBERED: Final = 10_000
_LOOKS: Final = 500
#: Of so many readings the way is remembered.
_TRAILS: Final = 100
#: How many items are asked for in one go.
_AT_ONCE: Final = 256


class ZooKeeperKV(KV):
    """Keeps items in a ZooKeeper ensemble (3.5 or newer).

    Args:
        conf: "connection" is the address: "zookeeper://host:port,host:port/path"; or "zookeeper" with
            ``hosts`` and ``path`` beside it. Further options: ``timeout``, seconds to wait for an answer;
            ``randomize_hosts``; ``use_ssl``, ``verify_certs``, ``ca``, ``certfile``, ``keyfile`` and
            ``keyfile_password`` for TLS.
        clock: not asked: the server's own clock tells when leases run out.

    Raises:
        InvalidFormat: the address or an option makes no sense.
    """

    limits = Limits(value=1_000_000, commit=1_000_000)
    list_is_snapshot = False

    def __init__(self, conf: str | Mapping[str, Any], clock: Clock = SYSTEM) -> None:
        place = urls.parse(conf)
        super().__init__(place.conf, clock=clock)
        told = connection.read(place)
        self._name = told.name
        self._sync = told.several
        self._paths = Paths(told.root)
        dial = told.dialer()
        self._link = Link(told.name, dial, told.timeout)
        self._leases = Leases(self._link, self._ask, self._paths, dial)
        self._watch = Watch(told.hosts, told.timeout, told.options, self._paths, self._link.translated)
        self._known: set[str] = set()
        self._trails: dict[tuple[str, bool], List[str]] = {}
        self._is_prepared = False

    @property
    def name(self) -> str:
        """The address."""
        return self._name

    def close(self) -> None:
        """Close the connections; leases run on."""
        self._watch.close()
        self._leases.close()
        self._link.close()

    # ---------------------------------------------------------------- reading

    def _ask(self, requests: Iterable[Any]) -> List[Any]:
        """Ask; where there are several servers, have ours hear first of all that the others know.

        Each time: the next question may go to another server.
        """
        if not self._sync:
            return self._link.ask(requests)
        return self._link.ask([Sync(self._paths.root), *requests])[1:]

    def _get(self, key: str) -> Item | None:
        return self._get_many([key])[0]

    def _get_many(self, keys: Sequence[str]) -> List[Item | None]:
        found: list[Item | None] = []
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            answers = self._ask(GetData(self._paths.item(key), None) for key in some)
            found += [told and read_item(key, told) for key, told in zip(some, answers, strict=True)]
        return found

    def _list(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> List[Item]:
        trail = [] if limit is None else self._trails.setdefault((prefix, reverse), [])
        if len(self._trails) > _TRAILS:
            self._trails.clear()
        # A copy: another thread may read the same.
        walk = Walk(self._ask, self._paths, prefix, after, limit, reverse=reverse, trail=[*trail])
        found = walk.read()
        trail[:] = walk.trail
        if walk.emptied:
            self._known.difference_update(walk.emptied)
            self._link.ask(Delete(path, -1) for path in walk.emptied)
        return found

    # ---------------------------------------------------------------- writing

    def _commit(
        self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str], lease: str | None
    ) -> int:
        commit = Commit(checks, puts, deletes, uuid.uuid4().hex[:MARK])
        for _ in range(_LOOKS):
            seen = self._look(commit)
            for check in checks:
                if not is_satisfied(check, seen.version(check.key)):
                    raise conflict_error(check, seen.version(check.key))
            if lease is not None:
                session = self._leases.find(lease)
                if session is None:
                    raise lease_lost_error(lease)
                commit = commit._replace(session=session.number)
            try:
                told = self._send(operations(commit, seen, self._paths), lease)
            except Lost as error:
                landed = self._landed(commit, seen, error)
            else:
                landed = self._version(commit, told, lease)
            if landed is not None:
                return landed
        raise exc.StorageFailure(
            f"others kept writing beside us in '{self._name}', {_LOOKS} times over: try again later"
        )

    def _look(self, commit: Commit) -> Seen:
        """See what is there; guards first, so that a guard that has not changed vouches for its items."""
        self._prepare()
        keys, guards = commit.about(), sorted({self._paths.guard(key) for key in commit.guarded()})
        needed = {self._paths.guard(put.key) for put in commit.puts}.union(guards)
        for put in commit.puts:
            needed.update(self._paths.parents(self._paths.item(put.key)))
        new = sorted(needed - self._known)  # a folder comes before what is in it
        told = self._ask(
            [
                *(create(path) for path in new),
                *(Exists(guard, None) for guard in guards),
                *(Exists(self._paths.item(key), None) for key in keys),
            ]
        )[len(new) :]
        self._remember(new)
        return Seen(
            dict(zip(keys, told[len(guards) :], strict=True)),
            dict(zip(guards, told, strict=False)),
        )

    def _send(self, asked: List[Any], lease: str | None) -> List[Any] | None:
        """Send a ``multi`` once; None if its lease has ended."""
        size = size_of(asked)
        if size > _MOST:
            raise limit_error(self.name, f"{size} bytes, with their keys,", _MOST)
        if lease is not None:
            return self._leases.commit(lease, asked)

        told: List[Any] = self._link.ask_once([Transaction(asked)])[0]
        return told

    def _version(self, commit: Commit, told: List[Any] | None, lease: str | None) -> int | None:
        """Read what came of a ``multi``: the version, or None if something had changed before."""
        if told is None:
            raise lease_lost_error(str(lease))
        if isinstance(told[-1], ZnodeStat):
            return int(told[-1].mzxid)
        if any(isinstance(each, kazoo.NoNodeError) for each in told):
            # A folder may have been taken away, which we thought was there.
            for put in commit.puts:
                self._known.difference_update(self._paths.parents(self._paths.item(put.key)))
        return None

    def _landed(self, commit: Commit, before: Seen, lost: Lost) -> int | None:
        """Find out whether a ``multi`` whose answer was lost has landed; None if it certainly did not."""
        # The pulse bears the mark of the last commit, whatever that wrote.
        places = [self._paths.pulse, *(self._paths.item(put.key) for put in commit.puts)]
        told = self._ask(GetData(place, None) for place in places)
        for data, stat in filter(None, told):
            if data[:MARK] == commit.mark.encode():
                return int(stat.mzxid)
        now = self._look(commit)
        if all(now.version(key) == before.version(key) for key in commit.about()) and commit.about():
            return None
        if not commit.checks and not commit.puts and not any(now.items.values()):
            return int(told[0][1].mzxid)  # what was to be deleted is not there, whoever did it
        raise exc.StorageFailure(
            f"'{self._name}' lost the answer to a commit, and what it was about has been written since: "
            f"it may have landed before; read what is there now",
            cause=lost,
        )

    def _prepare(self) -> None:
        if not self._is_prepared:
            self._link.ask(create(path) for path in self._paths.base())
            self._is_prepared = True

    def _remember(self, folders: Iterable[str]) -> None:
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        self._known.update(folders)

    # ---------------------------------------------------------------- leases

    def _grant(self, lease: Lease) -> Lease:
        self._prepare()
        return self._leases.grant(lease)

    def _extend(self, lease: Lease) -> bool:
        return self._leases.extend(lease.id)

    def _revoke(self, lease: Lease) -> None:
        self._leases.revoke(lease.id)

    # ---------------------------------------------------------------- waiting

    def _wait(self, prefix: str, since: int, timeout: float | None) -> int:  # noqa: ARG002  see the head
        self._prepare()
        return self._watch.wait(since, timeout)
