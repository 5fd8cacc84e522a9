"""A place of items in a Redis server: one Lua script does all, in one step of the server each time.

What is durable there is the server's business: set ``appendonly yes`` and ``appendfsync always`` for one that
outlives a power cut. All keys share the hash tag of the namespace, so that a cluster keeps them on one of its
servers. Leases go by the server's clock. A commit whose answer was lost is sent again with the same token, by
which the script knows it: it lands once. Waiters read the stream of changes with XREAD BLOCK, which misses
nothing.
"""

from __future__ import annotations

import uuid
from builtins import list as List  # noqa: N812  inside the class, ``list`` is the verb
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import urls
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.kv.backends.redis import connection
from stackl_flow.kv.backoff import Backoff
from stackl_flow.kv.items import Check, Item, Lease, Put, conflict_error, lease_lost_error
from stackl_flow.kv.ordered import prefix_end
from stackl_flow.kv.store import KV

#: What this code writes; the script notes it with the first commit.
FORMAT: Final = 1

_FIRST_PAUSE: Final = 0.02
#: How long to wait for a server that never answered yet, in seconds: it may be the wrong address.
_FIRST_PATIENCE: Final = 1.0
#: How long a waiter sleeps at most: a lease shorter than those it knew of may have been granted meanwhile.
_LOOK_AGAIN: Final = 1.0
_PARTS: Final = ("format", "revision", "values", "meta", "order", "log", "leases", "on")
_SCRIPT: Final = "script.lua"


class RedisKV(KV):
    """Keeps items in a Redis server.

    Args:
        conf: "connection" is the address: "redis://user:password@host:port/db", "rediss://" for TLS,
            "unix:///path" for a socket file; or "redis" with ``host``, ``port``, ``db``, ``username``,
            ``password``, ``unix_socket_path``, ``ssl`` and so on beside it, as in TaskFlow. Further options:
            ``namespace``, what the keys begin with; ``timeout``, seconds to wait for an answer, and for a
            server that was there to come back; ``sentinel``, the name by which the sentinels at this address
            (and ``sentinel_fallbacks``) know the server; ``cluster``.
        clock: not asked: the server's own clock tells when leases run out.

    Raises:
        InvalidFormat: the address or an option makes no sense.
    """

    def __init__(self, conf: str | Mapping[str, Any], clock: Clock = SYSTEM) -> None:
        place = urls.parse(conf)
        super().__init__(place.conf, clock=clock)
        self._address = connection.read(place)
        self._keys = [self._key(part) for part in _PARTS]
        self._script = resources.files(__package__).joinpath(_SCRIPT).read_text(encoding="utf-8")
        self._made: tuple[Any, Any] | None = None
        self._answered = False
        self._landed: deque[str] = deque()

    @property
    def name(self) -> str:
        """The address, without any password."""
        return self._address.name

    def close(self) -> None:
        """Close the connections."""
        if self._made is not None:
            self._made[0].close()

    def _connected(self) -> tuple[Any, Any]:
        """Give the client and the script in it.

        Two threads that come first together make two clients, of which one is dropped. A lock would be no
        better: in a child that is forked while it is held it stays so.
        """
        made = self._made
        if made is None:
            client = self._address.connect()
            made = self._made = (client, client.register_script(self._script))
        return made

    def _key(self, part: str) -> str:
        return f"{{{self._address.namespace}}}:{part}"

    def _call(self, operation: str, *args: Any) -> Any:
        """Let the script do something that bears being done twice."""
        return self._send(operation, args)[0]

    def _send(self, operation: str, args: Sequence[Any], keys: Sequence[str] = ()) -> tuple[Any, bool]:
        """Send something until there is an answer; say whether it was sent once only."""
        first, backoff = True, self._patience()
        while True:
            try:
                _, script = self._connected()
                if not self._answered:
                    self._check_format(script)
                    backoff = self._patience()
                answer = script(keys=[*self._keys, *keys], args=[operation, *args])
            except connection.ERRORS as error:
                if not connection.passes(error) or not backoff.sleep():
                    raise connection.translate(error, self.name, writing=operation == "commit") from error
            else:
                return answer, first
            first = False

    def _patience(self) -> Backoff:
        seconds = self._address.timeout
        return Backoff(seconds if self._answered else min(seconds, _FIRST_PATIENCE), _FIRST_PAUSE)

    def _check_format(self, script: Any) -> None:
        found = int(script(keys=self._keys, args=["format"])[0])
        if found > FORMAT:
            raise exc.IncompatibleVersion(
                f"items in '{self.name}' have format {found}, this code writes {FORMAT}: "
                f"use the version of the library that wrote them, or a newer one"
            )
        self._answered = True

    def _get(self, key: str) -> Item | None:
        return self._get_many([key])[0]

    def _get_many(self, keys: Sequence[str]) -> List[Item | None]:
        return [_item(*told) for told in _threes(self._call("get", *keys))]

    def _list(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> List[Item]:
        span = _span(prefix, after, reverse=reverse)
        return self._lists(*span, -1 if limit is None else limit, "back" if reverse else "on")[0]

    def _list_many(self, prefixes: Sequence[str]) -> List[List[Item]]:
        return self._lists(*(word for prefix in prefixes for word in (*_span(prefix), -1, "on")))

    def _lists(self, *asked: Any) -> List[List[Item]]:
        return [
            [item for told in _threes(found) if (item := _item(*told)) is not None]
            for found in self._call("list", *asked)
        ]

    def _commit(
        self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str], lease: str | None
    ) -> int:
        args: list[Any] = [lease or "", len(checks), len(puts), len(deletes)]
        for check in checks:
            args += check
        for put in puts:
            args += (put.key, put.value, put.lease or "")
        token = self._key(f"done:{uuid.uuid4().hex}")
        said, *told = self._send_once([*args, *deletes], token)
        if said == "conflict":
            raise conflict_error(Check(told[0], int(told[1])), int(told[2]))
        if said == "lost":
            raise lease_lost_error(told[0])
        return int(told[0])

    def _send_once(self, args: Sequence[Any], token: str) -> Sequence[str]:
        """Send a commit so that it lands once, however often it is sent.

        One that was answered at its first sending cannot come again, so the next commit has its token
        forgotten. The server keeps the others for some minutes: a second sending may be on its way yet.
        """
        try:
            forget = [self._landed.popleft()]
        except IndexError:
            forget = []
        answer, first = self._send("commit", args, [token, *forget])
        if answer[0] != "landed":
            self._landed.extend(forget)
        elif first and self._address.once:
            self._landed.append(token)
        found: Sequence[str] = answer
        return found

    def _grant(self, lease: Lease) -> Lease:
        self._call("grant", lease.id, _milliseconds(lease))
        return lease

    def _extend(self, lease: Lease) -> bool:
        return bool(self._call("extend", lease.id, _milliseconds(lease))[0])

    def _revoke(self, lease: Lease) -> None:
        self._call("revoke", lease.id)

    def _wait(self, prefix: str, since: int, timeout: float | None) -> int:
        deadline = None if timeout is None else SYSTEM.monotonic() + timeout
        seen = since
        while True:
            revision, runs_out = (int(told) for told in self._call("look"))
            if since == 0 or revision < since:  # lower: the server has lost what it had
                return revision
            left = _LOOK_AGAIN if deadline is None else deadline - SYSTEM.monotonic()
            lasts = _LOOK_AGAIN if runs_out < 0 else runs_out / 1000
            for number, keys in self._news(seen, max(min(left, lasts, _LOOK_AGAIN), 0.0)):
                # A gap is what the stream has forgotten: one of those may have been ours.
                if number != seen + 1 or not keys or any(key.startswith(prefix) for key in keys):
                    return max(revision, number)
                seen = number
            if left <= 0:
                return since

    def _news(self, since: int, seconds: float) -> List[tuple[int, List[str]]]:
        """Read the changes after a count, and wait for the first of them if need be."""
        block = int(min(seconds, self._address.longest / 2) * 1000) or None
        try:
            found = self._connected()[0].xread({self._key("log"): f"{since}-1"}, block=block)
        except connection.ERRORS as error:
            if connection.passes(error):
                return []  # the next look at the server tells whether it is gone
            raise connection.translate(error, self.name, writing=False) from error
        return [
            (int(entry.partition("-")[0]), fields["keys"].split())
            for _, entries in found or ()
            for entry, fields in entries
        ]


def _span(prefix: str, after: str = "", *, reverse: bool = False) -> tuple[str, str]:
    """Name a range of keys as the server does."""
    low, high = (f"[{prefix}", f"({prefix_end(prefix)}") if prefix else ("-", "+")
    if after and reverse and after < prefix_end(prefix):
        high = f"({after}"
    elif after and not reverse and after >= prefix:
        low = f"({after}"
    return low, high


def _threes(found: Sequence[Any]) -> Iterator[tuple[Any, Any, Any]]:
    return zip(found[::3], found[1::3], found[2::3], strict=True)


def _item(key: str, value: str | None, meta: str | None) -> Item | None:
    """Read an item: ``meta`` is its version and lease, with a space between."""
    if value is None or meta is None:
        return None
    version, _, lease = meta.partition(" ")
    return Item(key, value, int(version), lease or None)


def _milliseconds(lease: Lease) -> int:
    return max(int(lease.ttl * 1000), 1)
