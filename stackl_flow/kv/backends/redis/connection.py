"""From settings to a client: one server, one behind sentinels, or a cluster; over TCP, TLS or a socket file.

The options are those of TaskFlow's Redis board, which are those of redis-py, and a few more.

What a Redis server or its client complains of, in our words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import redis
from redis import exceptions as theirs
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from stackl_flow import exceptions as exc
from stackl_flow.urls import BackendURL

#: Seconds to wait for an answer, and for a server that was there to come back.
TIMEOUT: Final = 10.0
NAMESPACE: Final = "stackl_flow"

# Their types are not told.
_parse: Final[Callable[..., Any]] = parse_url
_sentinel: Final[Callable[..., Any]] = Sentinel

_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379


class Hosts(tuple[tuple[str, int], ...]):
    """Servers: texts "host:port" in a list, or in one text with commas between."""

    __slots__ = ()

    def __new__(cls, given: Any) -> Self:
        """Read them.

        Args:
            given: the servers.

        Raises:
            ValueError: a port is none.
        """
        pairs = (
            str(each).strip().rpartition(":")
            for each in (given.split(",") if isinstance(given, str) else given)
        )
        return super().__new__(cls, ((host.strip("[]"), int(port)) for host, _, port in pairs))


class Words(dict[str, Any]):
    """Options in an option: a mapping, or its JSON text."""

    def __init__(self, given: Any) -> None:
        super().__init__(json.loads(given) if isinstance(given, str) else given)


_SERVER: Final[Mapping[str, type[Any]]] = {
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
_TLS: Final[Mapping[str, type[Any]]] = {
    "ssl_keyfile": str,
    "ssl_certfile": str,
    "ssl_password": str,
    "ssl_cert_reqs": str,
    "ssl_ca_certs": str,
    "ssl_ca_path": str,
    "ssl_check_hostname": bool,
}
_OURS: Final[Mapping[str, type[Any]]] = {
    "namespace": str,
    "timeout": float,
    "cluster": bool,
    "sentinel": str,
    "sentinel_fallbacks": Hosts,
    "sentinel_kwargs": Words,
    # Of TaskFlow's options these say what is done anyway.
    "encoding": str,
    "encoding_errors": str,
    "retry_on_timeout": bool,
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a place is, and how it is reached.

    Attributes:
        name: what to call it in messages, without any password.
        namespace: what its keys begin with.
        timeout: seconds to wait for a server.
        longest: seconds after which a client gives an answer up.
        once: whether a client sends once what it is told to send once; that of a cluster may send it again.
        connect: makes a client.
    """

    name: str
    namespace: str
    timeout: float
    longest: float
    once: bool
    connect: Callable[[], Any] = field(repr=False)


def read(place: BackendURL) -> Address:
    """Read an address and its options.

    Args:
        place: the address, taken apart.

    Returns:
        Where the place is; nothing is opened yet.

    Raises:
        InvalidFormat: the address or an option makes no sense.
    """
    given = dict(place.read_options(**_SERVER, **_TLS, **_OURS).values)
    ours = {name: given.pop(name) for name in _OURS if name in given}
    timeout = ours.get("timeout", TIMEOUT)
    server = {"socket_timeout": timeout, "socket_connect_timeout": timeout} | _location(place) | given
    shown = _name(place, server)
    _check(shown, server, ours)
    if server.get("ssl"):
        # Older clients do not look at the name in a certificate by themselves.
        server.setdefault("ssl_check_hostname", server.get("ssl_cert_reqs") != "none")
    common = {"retry": Retry(NoBackoff(), 0), "decode_responses": True, "protocol": 2}
    return Address(
        name=shown,
        namespace=ours.get("namespace", NAMESPACE),
        timeout=timeout,
        longest=server["socket_timeout"],
        once=not ours.get("cluster", False),
        connect=_connect(server, common, ours),
    )


def _location(place: BackendURL) -> dict[str, Any]:
    """Read what stands between "//" and "?"."""
    if not place.location:
        return {}
    try:
        # The text of that error is not shown: it may hold a piece of a password.
        found: dict[str, Any] = dict(_parse(f"{place.scheme}://{place.location}"))
    except ValueError:
        raise exc.InvalidFormat(
            "that is no address of a Redis server: write redis://user:password@host:port/db (rediss:// for "
            "TLS, unix:///path for a socket file), with %XX for what is special in a password"
        ) from None
    if "path" in found:
        found["unix_socket_path"] = found.pop("path")
    if found.pop("connection_class", None) is not None and place.backend == "rediss":
        found["ssl"] = True
    return found


def _name(place: BackendURL, server: Mapping[str, Any]) -> str:
    if place.location:
        return place.masked_url
    if "unix_socket_path" in server:
        return f"unix://{server['unix_socket_path']}"
    scheme = "rediss" if server.get("ssl") else "redis"
    return f"{scheme}://{server.get('host', 'localhost')}:{server.get('port', _PORT)}"


def _check(shown: str, server: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Refuse what would be something else than it seems."""
    if not ours.get("namespace", NAMESPACE) or set("{}") & set(ours.get("namespace", "")):
        raise exc.InvalidFormat(
            f"the namespace in '{shown}' is empty or has braces: name it with other letters"
        )
    if ours.get("encoding", "utf-8").lower().replace("-", "") != "utf8":
        raise exc.InvalidFormat(f"'{shown}' keeps UTF-8: leave the option 'encoding' out")
    if not server.get("ssl") and (secure := sorted(set(server) & set(_TLS))):
        raise exc.InvalidFormat(
            f"option '{secure[0]}' of '{shown}' is about TLS, which is off: write rediss://, or ssl=yes"
        )
    if "sentinel" in ours and ours.get("cluster"):
        raise exc.InvalidFormat(f"'{shown}' is either behind sentinels or a cluster: leave one of these out")


def _connect(
    server: Mapping[str, Any], common: Mapping[str, Any], ours: Mapping[str, Any]
) -> Callable[[], Any]:
    if ours.get("cluster"):
        alone = {name: value for name, value in server.items() if name != "db"}
        return lambda: RedisCluster(**alone, **common)
    if "sentinel" not in ours:
        return lambda: redis.Redis(**server, **common)
    behind = {name: value for name, value in server.items() if name not in {"host", "port"}}
    asked = [(server.get("host", "localhost"), server.get("port", _SENTINEL_PORT))]
    asked += ours.get("sentinel_fallbacks", ())
    timeouts = {name: value for name, value in server.items() if name.startswith("socket_")}
    extra = {"retry": common["retry"], **timeouts, **ours.get("sentinel_kwargs", {})}
    return lambda: _sentinel(asked, sentinel_kwargs=extra, **behind, **common).master_for(ours["sentinel"])


#: All that the client raises.
ERRORS: Final = (redis.RedisError, theirs.RedisClusterException)

_FINAL: Final = (theirs.AuthenticationError, theirs.AuthorizationError)
_LOST: Final = (
    redis.ConnectionError,
    redis.TimeoutError,
    theirs.ClusterDownError,
    theirs.TryAgainError,
    theirs.RedisClusterException,
)
_REFUSED: Final = "refused us: check user and password, and that the user may run scripts on its keys"
_NO_CLUSTER: Final = "is no cluster: leave cluster=yes out"
#: The client's name of an error, or words of the server in it, and what to do about it.
_REMEDIES: Final = {
    "NOAUTH": _REFUSED,
    "WRONGPASS": _REFUSED,
    "NoPermissionError": _REFUSED,
    "unauthenticated": _REFUSED,
    "ReadOnlyError": "is a replica, and takes no writes: name the primary, or sentinels (sentinel=NAME)",
    "MovedError": "is part of a cluster: say cluster=yes",
    "cluster support disabled": _NO_CLUSTER,
    "Cluster mode is not enabled": _NO_CLUSTER,
    "OutOfMemoryError": "is full: raise its maxmemory (a policy of eviction would lose what it was given)",
    "MISCONF": "cannot write to its disk: free some space, or see its log",
    "WRONGTYPE": "has keys of somebody else in this namespace: name another one with namespace=",
    "DB index is out of range": "has not so many databases: give a lower number behind the '/'",
    "unknown command": "is too old, or keeps commands from us: Redis 5 or newer is needed",
}
_TLS_WORDS: Final = ("SSL", "certificate")


def passes(error: Exception) -> bool:
    """Say whether trouble may pass, so that it is worth another try.

    Args:
        error: what the client raised.

    Returns:
        True if it may.
    """
    if isinstance(error, _FINAL) or _is_tls(error) or _told(error):
        return False
    return isinstance(error, _LOST)


def translate(error: Exception, name: str, *, writing: bool) -> exc.StorageFailure:
    """Make an error of ours of one of the client's.

    Args:
        error: what the client raised.
        name: what the place is called, without any password.
        writing: whether a commit was under way.

    Returns:
        An error that names the place and what to do.
    """
    told = _told(error)
    if told or isinstance(error, _FINAL):
        remedy = told or _REFUSED
    elif _is_tls(error):
        remedy = "and we do not agree on TLS: check rediss:// or redis://, the port and ssl_ca_certs"
    elif isinstance(error, _LOST):
        remedy = "did not answer: see that the server runs and can be reached (with TLS: by rediss://)"
        if writing:
            remedy += "; whether the commit landed is not known"
    else:
        remedy = "failed: see the server's log"
    return exc.StorageFailure(f"'{name}' {remedy} ({error})", cause=error)


def _told(error: Exception) -> str:
    said = f"{type(error).__name__}: {error}"
    return next((remedy for words, remedy in _REMEDIES.items() if words in said), "")


def _is_tls(error: Exception) -> bool:
    return isinstance(error, redis.ConnectionError) and any(word in str(error) for word in _TLS_WORDS)
