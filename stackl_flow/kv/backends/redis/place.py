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
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stackl_flow import exceptions as exc
from stackl_flow import settings
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.kv.base import KV
from stackl_flow.kv.items import Check, Item, Lease, Put, changed, lease_lost
from stackl_flow.kv.shelf import above

_TRIES: Final = 4
_FIRST_PAUSE: Final = 0.05
#: How long a waiter sleeps at most: a lease shorter than those it knew of may have been granted meanwhile.
_LOOK_AGAIN: Final = 1.0
_PARTS: Final = ("revision", "values", "meta", "order", "log", "leases", "on", "done")
_SCRIPT: Final = "script.lua"


class RedisKV(KV):
    """Keeps items in a Redis server.

    Args:
        conf: "connection" is the address: "redis://user:password@host:port/db", "rediss://" for TLS; or
            "redis" with ``host``, ``port``, ``db``, ``username`` and ``password`` beside it. Further options:
            ``namespace``, what the keys begin with; ``timeout``, seconds to wait for an answer.
        clock: not asked: the server's own clock tells when leases run out.

    Raises:
        InvalidFormat: the address or an option makes no sense.
    """

    def __init__(self, conf: str | Mapping[str, Any], clock: Clock = SYSTEM) -> None:
        place = settings.parse(conf)
        super().__init__(place.conf, clock=clock)
        given = place.take(
            host=str, port=int, db=int, username=str, password=str, namespace=str, timeout=float
        ).given
        self._namespace = given.get("namespace", "stackl_flow")
        self._timeout = given.get("timeout", 10.0)
        options: dict[str, Any] = {
            "socket_timeout": self._timeout,
            "socket_connect_timeout": self._timeout,
            "retry": Retry(NoBackoff(), 0),  # what is sent again is decided here
            "decode_responses": True,
        }
        if place.location:
            self._name = place.url
            self._client = _from_url(f"{place.scheme}://{place.location}", options)
        else:
            parts = ("host", "port", "db", "username", "password")
            options |= {part: given[part] for part in parts if part in given}
            self._name = f"redis://{options.get('host', 'localhost')}:{options.get('port', 6379)}"
            self._client = redis.Redis(**options)
        self._keys = [f"{{{self._namespace}}}:{part}" for part in _PARTS]
        text = resources.files(__package__).joinpath(_SCRIPT).read_text(encoding="utf-8")
        self._script = self._client.register_script(text)

    @property
    def name(self) -> str:
        """The address, without any password."""
        return self._name

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _call(self, *args: Any) -> Any:
        """Let the script do something; it bears being done twice, so it is sent again for a lost answer."""
        pause = _FIRST_PAUSE
        for _ in range(_TRIES):
            try:
                return self._script(keys=self._keys, args=args)
            except (redis.ConnectionError, redis.TimeoutError) as error:
                if isinstance(error, redis.AuthenticationError):
                    raise self._translated(error) from error
                lost: redis.RedisError = error
            except redis.RedisError as error:
                raise self._translated(error) from error
            SYSTEM.sleep(pause)
            pause *= 2
        raise self._translated(lost) from lost

    def _translated(self, error: redis.RedisError) -> exc.StorageFailure:
        if isinstance(error, (redis.AuthenticationError, redis.exceptions.NoPermissionError)):
            remedy = "refused us: check user and password, and that the user may run scripts"
        elif isinstance(error, (redis.ConnectionError, redis.TimeoutError)):
            remedy = f"did not answer, {_TRIES} times over: see that the server runs and can be reached"
        else:
            remedy = "failed: look into the server's log"
        return exc.StorageFailure(f"'{self._name}' {remedy} ({error})", cause=error)

    def _get(self, key: str) -> Item | None:
        for found in self._call("get", key):
            return _item(found)
        return None

    def _list(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> List[Item]:
        low, high = (f"[{prefix}", f"({above(prefix)}") if prefix else ("-", "+")
        if after and reverse and after < above(prefix):
            high = f"({after}"
        elif after and not reverse and after >= prefix:
            low = f"({after}"
        found = self._call("list", low, high, -1 if limit is None else limit, "back" if reverse else "on")
        return [_item(each) for each in found]

    def _commit(
        self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str], lease: str | None
    ) -> int:
        args: list[Any] = ["commit", uuid.uuid4().hex, lease or "", len(checks), len(puts), len(deletes)]
        for check in checks:
            args += check
        for put in puts:
            args += (put.key, put.value, put.lease or "")
        said, *told = self._call(*args, *deletes)
        if said == "conflict":
            raise changed(Check(told[0], int(told[1])), int(told[2]))
        if said == "lost":
            raise lease_lost(told[0])
        return int(told[0])

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
            if since == 0:
                return revision
            left = _LOOK_AGAIN if deadline is None else deadline - SYSTEM.monotonic()
            lasts = _LOOK_AGAIN if runs_out < 0 else runs_out / 1000
            news = self._news(seen, max(min(left, lasts, _LOOK_AGAIN, self._timeout / 2), 0.0))
            for number, keys in news:
                # A gap is what the stream has forgotten: one of those may have been ours.
                if number != seen + 1 or not keys or any(key.startswith(prefix) for key in keys):
                    return max(revision, number)
                seen = number
            if left <= 0:
                return since

    def _news(self, since: int, seconds: float) -> List[tuple[int, List[str]]]:
        """Read the changes after a count, and wait for the first of them if need be."""
        block = int(seconds * 1000) or None
        try:
            found: Any = self._client.xread({self._keys[_PARTS.index("log")]: f"{since}-1"}, block=block)
        except (redis.ConnectionError, redis.TimeoutError):
            return []  # the next look at the server tells whether it is gone
        except redis.RedisError as error:
            raise self._translated(error) from error
        streams = found.items() if isinstance(found, dict) else found or ()
        return [
            (int(entry.partition("-")[0]), fields["keys"].split())
            for _, entries in streams
            for entry, fields in entries
        ]


def _from_url(url: str, options: Mapping[str, Any]) -> redis.Redis:
    try:
        return redis.Redis.from_url(url, **options)
    except ValueError as error:
        raise exc.InvalidFormat(
            f"that is no address of a Redis server ({error}): write redis://host:port/db", cause=error
        ) from error


def _item(found: Sequence[str]) -> Item:
    key, value, version, lease = found
    return Item(key, value, int(version), lease or None)


def _milliseconds(lease: Lease) -> int:
    return max(int(lease.ttl * 1000), 1)
