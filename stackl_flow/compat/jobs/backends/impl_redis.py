"""TaskFlow's `taskflow.jobs.backends.impl_redis`."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from stackl_flow.compat.jobs.boards import Board
from stackl_flow.compat.jobs.job import Job
from stackl_flow.compat.utils.booleans import parse_bool

__all__ = ["RedisJob", "RedisJobBoard"]

_TLS: Final = frozenset(
    {"ssl_keyfile", "ssl_certfile", "ssl_password", "ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_path"}
)
#: What of a client's own settings says where its server is, and how it is reached.
_OF_CLIENT: Final = frozenset({"host", "port", "path", "db", "username", "password"}) | _TLS


class RedisJob(Job):
    """A job on a board in Redis."""


class RedisJobBoard(Board):
    """A board in a Redis server.

    Args:
        name: the board's name.
        conf: TaskFlow's settings; ``namespace`` is what its keys begin with, ``ttl`` how many seconds a claim
            outlives its owner.
        client: a client of the server, of which the address is taken.
        persistence: the backend in which the jobs' logbooks are.
    """

    KIND = "redis"
    JOB = RedisJob
    TAKEN = _TLS | {
        "host", "port", "unix_socket_path", "db", "username", "password", "namespace", "ssl",
        "encoding", "encoding_errors", "socket_timeout", "socket_connect_timeout",
        "retry_on_timeout", "health_check_interval", "sentinel", "sentinel_fallbacks", "sentinel_kwargs",
        "timeout", "cluster", "ssl_check_hostname",
    }  # fmt: skip
    MIN_REDIS_VERSION: ClassVar[tuple[int, ...]] = (2, 6)
    DEFAULT_NAMESPACE: ClassVar[bytes] = b"taskflow"

    @property
    def namespace(self) -> str | bytes:
        """What the keys begin with, as it was given."""
        found: str | bytes = self._conf.get("namespace", self.DEFAULT_NAMESPACE)
        return found

    def _place_of(self, settings: dict[str, Any], client: Any) -> dict[str, Any]:
        ours = self._taken(settings)
        namespace = self.namespace
        ours["namespace"] = namespace.decode() if isinstance(namespace, bytes) else namespace
        if client is not None:
            ours.update(_address_of(client))
        if not parse_bool(ours.get("ssl"), default=ours["connection"].startswith("rediss:")):
            # TaskFlow takes them and lets them lie; our place asks what they are for.
            ours = {word: value for word, value in ours.items() if word not in _TLS}
        return ours


def _address_of(client: Any) -> dict[str, Any]:
    """Read where the server of a client is."""
    pool = client.connection_pool
    told = {word: pool.connection_kwargs.get(word) for word in _OF_CLIENT}
    told["unix_socket_path"] = told.pop("path")
    if told["host"] is None and told["unix_socket_path"] is None:
        raise TypeError(
            f"a client with {type(pool).__name__} does not say where its server is: give the board its"
            " settings instead, such as 'sentinel', 'host' and 'port'"
        )
    return {**told, "ssl": "SSL" in pool.connection_class.__name__}
