"""The connection to Redis: its options, how the client is made, and how the client's errors are translated.

A store is on one server, on one behind sentinels, or on a cluster; over TCP, TLS or a Unix socket. The
options are those of TaskFlow's Redis board, which are those of redis-py, and a few more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import redis
from redis import exceptions as redis_exc
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from stackl_flow import exceptions as exc
from stackl_flow.kv.items import text_size
from stackl_flow.tcp import KEEP_ALIVE
from stackl_flow.urls import BackendURL

#: Seconds to wait for an answer, and for a server that was connected before to come back.
TIMEOUT: Final = 10.0
NAMESPACE: Final = "stackl_flow"

# redis-py does not annotate these.
_parse_url: Final[Callable[..., Any]] = parse_url
_sentinel: Final[Callable[..., Any]] = Sentinel

_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379


class _Hosts(tuple[tuple[str, int], ...]):
    """An option type: servers as "host:port", in a list or separated by commas."""

    __slots__ = ()

    def __new__(cls, value: Any) -> Self:
        pairs = (
            str(server).strip().rpartition(":")
            for server in (value.split(",") if isinstance(value, str) else value)
        )
        return super().__new__(cls, ((host.strip("[]"), int(port)) for host, _, port in pairs))


class _Nested(dict[str, Any]):
    """An option type: a mapping of options, or its JSON text."""

    def __init__(self, value: Any) -> None:
        super().__init__(json.loads(value) if isinstance(value, str) else value)


_SERVER_OPTIONS: Final[Mapping[str, type[Any]]] = {
    "host": str,
    "port": int,
    "unix_socket_path": str,
    "db": int,
    "username": str,
    "password": str,
    "socket_timeout": float,
    "socket_connect_timeout": float,
    "health_check_interval": int,
    "ssl": bool,
}
_TLS_OPTIONS: Final[Mapping[str, type[Any]]] = {
    "ssl_keyfile": str,
    "ssl_certfile": str,
    "ssl_password": str,
    "ssl_cert_reqs": str,
    "ssl_ca_certs": str,
    "ssl_ca_path": str,
    "ssl_check_hostname": bool,
}
_STORE_OPTIONS: Final[Mapping[str, type[Any]]] = {
    "namespace": str,
    "timeout": float,
    "cluster": bool,
    "sentinel": str,
    "sentinel_fallbacks": _Hosts,
    "sentinel_kwargs": _Nested,
    # TaskFlow's; accepted where they ask for what is done anyway.
    "encoding": str,
    "encoding_errors": str,
    "retry_on_timeout": bool,
}


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Where a store is, and how to connect to it.

    Attributes:
        name: its URL for messages, without the password.
        namespace: the prefix of its keys on the server.
        timeout: seconds to wait for a server.
        socket_timeout: seconds after which the client stops waiting for an answer.
        sends_once: whether the client sends each command once; that of a cluster may resend it.
        connect: creates a client.
    """

    name: str
    namespace: str
    timeout: float
    socket_timeout: float
    sends_once: bool
    connect: Callable[[], Any] = field(repr=False)


def read_settings(url: BackendURL) -> ConnectionSettings:
    """Read a URL and its options; raise ``InvalidFormat`` if they are invalid. Nothing is connected yet."""
    options = dict(url.read_options(**_SERVER_OPTIONS, **_TLS_OPTIONS, **_STORE_OPTIONS).values)
    store = {name: options.pop(name) for name in _STORE_OPTIONS if name in options}
    timeout = store.get("timeout", TIMEOUT)
    server = {"socket_timeout": timeout, "socket_connect_timeout": timeout} | _parse_location(url) | options
    name = _name(url, server)
    _validate(name, server, store)
    if server.get("ssl"):
        # Older clients do not verify the name in a certificate unless they are asked to.
        server.setdefault("ssl_check_hostname", server.get("ssl_cert_reqs") != "none")
    common: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "decode_responses": True, "protocol": 2}
    if "unix_socket_path" not in server:
        common["socket_keepalive"] = True
        common["socket_keepalive_options"] = KEEP_ALIVE.socket_options()
    return ConnectionSettings(
        name=name,
        namespace=store.get("namespace", NAMESPACE),
        timeout=timeout,
        socket_timeout=server["socket_timeout"],
        sends_once=not store.get("cluster", False),
        connect=_client_factory(server, common, store),
    )


def _parse_location(url: BackendURL) -> dict[str, Any]:
    """Parse the part of the URL between "//" and "?"."""
    if not url.location:
        return {}
    try:
        # The text of that error is not shown: it may contain a part of a password.
        server: dict[str, Any] = dict(_parse_url(f"{url.scheme}://{url.location}"))
    except ValueError:
        raise exc.InvalidFormat(
            "invalid URL of a Redis server: use redis://user:password@host:port/db (rediss:// for TLS, "
            "unix:///path for a Unix socket), and write special characters of a password as %XX"
        ) from None
    if "path" in server:
        server["unix_socket_path"] = server.pop("path")
    if server.pop("connection_class", None) is not None and url.backend == "rediss":
        server["ssl"] = True
    return server


def _name(url: BackendURL, server: Mapping[str, Any]) -> str:
    if url.location:
        return url.masked_url
    if "unix_socket_path" in server:
        return f"unix://{server['unix_socket_path']}"
    scheme = "rediss" if server.get("ssl") else "redis"
    return f"{scheme}://{server.get('host', 'localhost')}:{server.get('port', _PORT)}"


def _validate(name: str, server: Mapping[str, Any], store: Mapping[str, Any]) -> None:
    """Raise ``InvalidFormat`` for options that contradict each other or have no effect."""
    if not store.get("namespace", NAMESPACE) or set("{}") & set(store.get("namespace", "")):
        raise exc.InvalidFormat(
            f"the namespace of '{name}' is empty or contains braces: use other characters"
        )
    if store.get("encoding", "utf-8").lower().replace("-", "") != "utf8":
        raise exc.InvalidFormat(f"'{name}' uses UTF-8: omit option 'encoding'")
    if not server.get("ssl") and (tls := sorted(set(server) & set(_TLS_OPTIONS))):
        raise exc.InvalidFormat(
            f"option '{tls[0]}' of '{name}' has no effect without TLS: use rediss://, or ssl=yes"
        )
    if "sentinel" in store and store.get("cluster"):
        raise exc.InvalidFormat(
            f"'{name}' cannot be both behind sentinels and a cluster: omit option 'sentinel' or 'cluster'"
        )


def _client_factory(
    server: Mapping[str, Any], common: Mapping[str, Any], store: Mapping[str, Any]
) -> Callable[[], Any]:
    if store.get("cluster"):
        without_db = {name: value for name, value in server.items() if name != "db"}
        return lambda: RedisCluster(**without_db, **common)
    if "sentinel" not in store:
        return lambda: redis.Redis(**server, **common)
    primary = {name: value for name, value in server.items() if name not in {"host", "port"}}
    sentinels = [(server.get("host", "localhost"), server.get("port", _SENTINEL_PORT))]
    sentinels += store.get("sentinel_fallbacks", ())
    sockets = {**server, **common}
    timeouts = {name: value for name, value in sockets.items() if name.startswith("socket_")}
    kwargs = {"retry": common["retry"], **timeouts, **store.get("sentinel_kwargs", {})}
    return lambda: _sentinel(sentinels, sentinel_kwargs=kwargs, **primary, **common).master_for(
        store["sentinel"]
    )


def pool_of(client: Any, key: str) -> Any:
    """Return the connection pool for the server that has a key."""
    if isinstance(client, RedisCluster):
        cluster: Any = client  # not annotated
        client = cluster.get_redis_connection(cluster.get_node_from_key(key))
    return client.connection_pool


def connection_of(pool: Any) -> Any:
    """Take a connection out of a pool."""
    try:
        return pool.get_connection()
    except TypeError:  # older clients ask what for
        return pool.get_connection("XREAD")


#: Every exception of the client.
ERRORS: Final = (redis.RedisError, redis_exc.RedisClusterException)

_PERMANENT: Final = (redis_exc.AuthenticationError, redis_exc.AuthorizationError)
_NO_ANSWER: Final = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis_exc.ClusterDownError,
    redis_exc.TryAgainError,
    redis_exc.RedisClusterException,
)
_REJECTED: Final = (
    "rejected the login: check user and password, and that the user has the documented rights on its keys"
)
_NOT_A_CLUSTER: Final = "is not a cluster: omit cluster=yes"
#: By the client's class of an error, or a part of the server's text: what happened and what to do.
_REMEDIES: Final = {
    "NOAUTH": _REJECTED,
    "WRONGPASS": _REJECTED,
    "NoPermissionError": _REJECTED,
    "unauthenticated": _REJECTED,
    "user executing the script": _REJECTED,
    "ReadOnlyError": "is a read-only replica: name the primary, or its sentinels (sentinel=NAME)",
    "MovedError": "is part of a cluster: add cluster=yes",
    "cluster support disabled": _NOT_A_CLUSTER,
    "Cluster mode is not enabled": _NOT_A_CLUSTER,
    "OutOfMemoryError": "is full: raise its maxmemory (an eviction policy would lose stored data)",
    "MISCONF": "cannot write to its disk: free some space, or see its log",
    "WRONGTYPE": "has keys of another program in this namespace: choose another one with namespace=",
    "DB index is out of range": "does not have that many databases: use a lower number after the '/'",
    "unknown command": "is too old, or restricts commands: Redis 5 or newer is required",
}
#: What the server answers, if anything, to an argument that is too large; and the least possible limit.
_TOO_LARGE: Final = "invalid bulk length"
_MIN_BULK: Final = 1 << 20
_TLS_MARKERS: Final = ("SSL", "certificate")


def is_transient(error: Exception) -> bool:
    """Return whether another attempt may succeed after this error of the client."""
    if isinstance(error, _PERMANENT) or _is_tls(error) or _find_remedy(error):
        return False
    return isinstance(error, _NO_ANSWER)


def translate_error(error: Exception, name: str, *, is_commit: bool) -> exc.StorageFailure:
    """Return the error to raise for one of the client.

    Args:
        error: the client's error.
        name: the name of the store.
        is_commit: whether a commit was under way, whose outcome may be unknown now.
    """
    known = _find_remedy(error)
    if known or isinstance(error, _PERMANENT):
        remedy = known or _REJECTED
    elif _is_tls(error):
        remedy = "failed the TLS handshake: check rediss:// or redis://, the port and ssl_ca_certs"
    elif isinstance(error, _NO_ANSWER):
        remedy = "did not answer: check that the server runs and can be reached (with TLS: by rediss://)"
        if is_commit:
            remedy += "; it is unknown whether the commit was applied"
    else:
        remedy = "failed: see the server's log"
    return exc.StorageFailure(f"'{name}' {remedy} ({error})", cause=error)


def may_be_size(error: Exception, args: Iterable[Any]) -> bool:
    """Return whether a command may be too large: the server ends the connection then."""
    if _TOO_LARGE in str(error):
        return True
    return isinstance(error, _NO_ANSWER) and _size(args) >= _MIN_BULK


def too_large_error(error: Exception, name: str, args: Sequence[Any]) -> exc.ValueTooLarge:
    """Return the error for a commit upon which the server ends the connection, while it answers others."""
    size = _size(args)
    return exc.ValueTooLarge(
        f"'{name}' ends the connection upon a commit of {size} bytes ({error}), and answers others: "
        f"nothing was written; raise its proto-max-bulk-len, write less at once, or store "
        f"large values elsewhere and pass a reference (a codec can do that)",
        cause=error,
        size=size,
    )


def _size(args: Iterable[Any]) -> int:
    return sum(text_size(each) for each in args if isinstance(each, str))


def _find_remedy(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}"
    return next((remedy for marker, remedy in _REMEDIES.items() if marker in text), "")


def _is_tls(error: Exception) -> bool:
    return isinstance(error, redis.ConnectionError) and any(marker in str(error) for marker in _TLS_MARKERS)
