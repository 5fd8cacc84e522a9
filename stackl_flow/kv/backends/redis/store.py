"""A key-value store on Redis: each operation is one call of a Lua script, which the server runs atomically.

Durability is the server's: it survives a power failure with ``appendonly yes`` and ``appendfsync always``.
All keys share the hash tag of the namespace, so that a cluster keeps them on one server. Leases expire by the
server's clock. A commit whose answer is lost is sent again with the same token, by which the script
recognizes it, so it is applied once. Waiters read the stream of changes with XREAD BLOCK, which misses
nothing (see ``watch``).
"""

from __future__ import annotations

import math
import uuid
from builtins import list as List  # noqa: N812  inside the class, ``list`` is the method
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import redaction, urls
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.kv.backends.redis import connection
from stackl_flow.kv.backends.redis.watch import Server, Status, Watch
from stackl_flow.kv.backoff import Backoff
from stackl_flow.kv.items import Check, Item, Lease, Limits, Put, conflict_error, lease_lost_error
from stackl_flow.kv.ordered import prefix_end
from stackl_flow.kv.store import KV
from stackl_flow.kv.watches import Watches

_LOG = redaction.get_logger(__name__)

#: The format that this version writes; the script records it with the first commit.
FORMAT: Final = 1

_INITIAL_DELAY: Final = 0.02
#: Seconds to wait for a server that has never answered: its address may be wrong.
_FIRST_CONNECT_TIMEOUT: Final = 1.0
#: The keys on the server, in the order of the script's KEYS.
_KEYS: Final = ("format", "revision", "values", "meta", "order", "log", "leases", "on")
_SCRIPT: Final = "script.lua"
#: Bytes of one argument of a command, and the server's setting for it; bytes of a command, which the server
#: buffers up to 1 GB; bytes that an operation adds.
_MAX_VALUE: Final = 512 << 20
_MAX_VALUE_SETTING: Final = "proto-max-bulk-len"
_MAX_COMMIT: Final = 900 << 20
_OPERATION: Final = 128


class RedisKV(KV):
    """Keeps items on a Redis server.

    Args:
        conf: "connection" is the URL: "redis://user:password@host:port/db", "rediss://" for TLS,
            "unix:///path" for a Unix socket; or "redis" with ``host``, ``port``, ``db``, ``username``,
            ``password``, ``unix_socket_path``, ``ssl`` and so on beside it, as in TaskFlow. Further options:
            ``namespace``, the prefix of the keys; ``timeout``, seconds to wait for an answer, and for a
            server that was connected before to come back; ``sentinel``, the name of the server at the
            sentinels of this URL and ``sentinel_fallbacks``; ``cluster``.
        clock: not used: leases expire by the server's clock.

    Raises:
        InvalidFormat: the URL or an option is invalid.
    """

    def __init__(self, conf: str | Mapping[str, Any], clock: Clock = SYSTEM) -> None:
        url = urls.parse(conf)
        super().__init__(url.conf, clock=clock)
        self._settings = connection.read_settings(url)
        self._keys = [self._server_key(key) for key in _KEYS]
        self._script_text = resources.files(__package__).joinpath(_SCRIPT).read_text(encoding="utf-8")
        self._client_and_script: tuple[Any, Any] | None = None
        self._has_answered = False
        self._finished_tokens: deque[str] = deque()
        self._watches: Watches[Watch] = Watches()
        self._server = Server(
            self._status,
            self._acquire,
            self._release,
            self._stream,
            connection.ERRORS,
            self._check_error,
            self._settings.socket_timeout,
        )
        self._set_limits(_MAX_VALUE)

    def _set_limits(self, value: int) -> None:
        self.limits = Limits(value=value, commit=_MAX_COMMIT, overhead=_OPERATION)

    @property
    def name(self) -> str:
        return self._settings.name

    def close(self) -> None:
        self._watches.close()
        if self._client_and_script is not None:
            self._client_and_script[0].close()

    def _connected(self) -> tuple[Any, Any]:
        """Return the client and its script.

        Two threads that come first together create two clients, one of which is dropped. A lock would be no
        better: it would stay locked in a child that is forked meanwhile.
        """
        connected = self._client_and_script
        if connected is None:
            client = self._settings.connect()
            connected = self._client_and_script = (client, client.register_script(self._script_text))
        return connected

    def _server_key(self, name: str) -> str:
        return f"{{{self._settings.namespace}}}:{name}"

    def _call(self, operation: str, *args: Any) -> Any:
        """Run an idempotent operation of the script."""
        return self._send(operation, args)[0]

    def _send(self, operation: str, args: Sequence[Any], keys: Sequence[str] = ()) -> tuple[Any, bool]:
        """Send an operation until it is answered; return the answer, and whether it was sent only once."""
        is_first, backoff = True, self._backoff()
        while True:
            try:
                _, script = self._connected()
                if not self._has_answered:
                    self._check_format(script)
                    backoff = self._backoff()
                answer = script(keys=[*self._keys, *keys], args=[operation, *args])
            except connection.ERRORS as error:
                if not connection.is_transient(error) or not backoff.sleep():
                    is_commit = operation == "commit"
                    if is_commit and connection.may_be_size(error, args) and self._answers():
                        raise connection.too_large_error(error, self.name, args) from error
                    raise connection.translate_error(error, self.name, is_commit=is_commit) from error
            else:
                return answer, is_first
            is_first = False

    def _answers(self) -> bool:
        """Return whether the server answers a small command."""
        try:
            return bool(self._connected()[0].ping())
        except connection.ERRORS:
            return False

    def _backoff(self) -> Backoff:
        timeout = self._settings.timeout
        return Backoff(
            timeout if self._has_answered else min(timeout, _FIRST_CONNECT_TIMEOUT), _INITIAL_DELAY
        )

    def _check_format(self, script: Any) -> None:
        stored = int(script(keys=self._keys, args=["format"])[0])
        if stored > FORMAT:
            raise exc.IncompatibleVersion(
                f"the items in '{self.name}' have format {stored}, this version of the library writes "
                f"{FORMAT}: use the version that wrote them, or a newer one"
            )
        self._read_limits()
        self._has_answered = True

    def _read_limits(self) -> None:
        """Ask the server for the largest argument of a command, where the user may read its settings."""
        try:
            settings = self._connected()[0].config_get(_MAX_VALUE_SETTING)
            self._set_limits(min(int(settings[_MAX_VALUE_SETTING]), _MAX_VALUE))
        except (*connection.ERRORS, KeyError, ValueError, TypeError):
            _LOG.debug("the settings of '%s' cannot be read: the default limits are used", self.name)

    def _get(self, key: str) -> Item | None:
        return self._get_many([key])[0]

    def _get_many(self, keys: Sequence[str]) -> List[Item | None]:
        return [_decode_item(*fields) for fields in _triples(self._call("get", *keys))]

    def _list(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> List[Item]:
        low, high = _lex_range(prefix, after, reverse=reverse)
        return self._lists(low, high, -1 if limit is None else limit, "desc" if reverse else "asc")[0]

    def _list_many(self, prefixes: Sequence[str]) -> List[List[Item]]:
        return self._lists(*(arg for prefix in prefixes for arg in (*_lex_range(prefix), -1, "asc")))

    def _lists(self, *args: Any) -> List[List[Item]]:
        return [
            [item for fields in _triples(answer) if (item := _decode_item(*fields)) is not None]
            for answer in self._call("list", *args)
        ]

    def _commit(
        self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str], lease: str | None
    ) -> int:
        args: list[Any] = [lease or "", len(checks), len(puts), len(deletes)]
        for check in checks:
            args += check
        for put in puts:
            args += (put.key, put.value, put.lease or "")
        token = self._server_key(f"done:{uuid.uuid4().hex}")
        outcome, *details = self._send_once([*args, *deletes], token)
        if outcome == "conflict":
            raise conflict_error(Check(details[0], int(details[1])), int(details[2]))
        if outcome == "lost":
            raise lease_lost_error(details[0])
        return int(details[0])

    def _send_once(self, args: Sequence[Any], token: str) -> Sequence[str]:
        """Send a commit so that it is applied once, however often it is sent.

        A commit that was answered at its first attempt cannot arrive again, so the next commit deletes its
        token. The server keeps the others for some minutes: another copy may be on its way.
        """
        try:
            expendable = [self._finished_tokens.popleft()]
        except IndexError:
            expendable = []
        answer: Sequence[str]
        answer, was_sent_once = self._send("commit", args, [token, *expendable])
        if answer[0] != "applied":
            self._finished_tokens.extend(expendable)
        elif was_sent_once and self._settings.sends_once:
            self._finished_tokens.append(token)
        return answer

    def _grant(self, lease: Lease) -> Lease:
        self._call("grant", lease.id, _milliseconds(lease))
        return lease

    def _extend(self, lease: Lease) -> bool:
        return bool(self._call("extend", lease.id, _milliseconds(lease))[0])

    def _revoke(self, lease: Lease) -> None:
        self._call("revoke", lease.id)

    def _wait(self, prefix: str, since: int, timeout: float | None) -> int:
        if since == 0:
            return self._status("").revision
        watch = self._watches.take(prefix, since) or Watch(prefix, since, self._server)
        try:
            return watch.wait(timeout)
        finally:
            self._watches.give_back(watch)

    def _status(self, root: str) -> Status:
        revision, until_expiry, logged, last = (int(number) for number in self._call("status", root))
        return Status(revision, math.inf if until_expiry < 0 else until_expiry / 1000, logged, last)

    def _check_error(self, error: Exception) -> None:
        """Raise a StorageFailure unless another attempt may succeed."""
        if not connection.is_transient(error):
            raise connection.translate_error(error, self.name, is_commit=False) from error

    def _stream(self, root: str) -> str:
        return self._server_key(f"log:{root}" if root else "log")

    def _acquire(self, key: str) -> Any:
        """Return a connection to the server that has a key."""
        pool = connection.pool_of(self._connected()[0], key)
        return connection.connection_of(pool)

    def _release(self, used: Any) -> None:
        pool = connection.pool_of(self._connected()[0], self._server_key("log"))
        pool.release(used)


def _lex_range(prefix: str, after: str = "", *, reverse: bool = False) -> tuple[str, str]:
    """Return the bounds of a key range, as ZRANGEBYLEX takes them."""
    low, high = (f"[{prefix}", f"({prefix_end(prefix)}") if prefix else ("-", "+")
    if after and reverse and after < prefix_end(prefix):
        high = f"({after}"
    elif after and not reverse and after >= prefix:
        low = f"({after}"
    return low, high


def _triples(fields: Sequence[Any]) -> Iterator[tuple[Any, Any, Any]]:
    return zip(fields[::3], fields[1::3], fields[2::3], strict=True)


def _decode_item(key: str, value: str | None, meta: str | None) -> Item | None:
    """Decode an item; ``meta`` is its version and lease, separated by a space."""
    if value is None or meta is None:
        return None
    version, _, lease = meta.partition(" ")
    return Item(key, value, int(version), lease or None)


def _milliseconds(lease: Lease) -> int:
    return max(int(lease.ttl * 1000), 1)
