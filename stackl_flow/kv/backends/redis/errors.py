"""What a Redis server or its client complains of, in our words."""

from __future__ import annotations

from typing import Final

import redis
from redis import exceptions as theirs

from stackl_flow import exceptions as exc

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
