"""TaskFlow's `taskflow.jobs.backends.impl_redis`."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from stackl_flow.compat.jobs.boards import Board, Job
from stackl_flow.compat.utils.booleans import parse_bool

__all__ = ["RedisJob", "RedisJobBoard"]

_TLS: Final = frozenset(
    {"ssl_keyfile", "ssl_certfile", "ssl_password", "ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_path"}
)
#: The settings of a client that describe its server and connection.
_CLIENT_SETTINGS: Final = frozenset({"host", "port", "path", "db", "username", "password"}) | _TLS


class RedisJob(Job):
    """A job on a board in Redis."""


class RedisJobBoard(Board):
    """A board in a Redis server.

    Args:
        name: the name of the board.
        conf: TaskFlow's settings; ``namespace`` is the prefix of its keys, ``ttl`` the lease TTL in seconds.
        client: a client of the server, of which only the address is used.
        persistence: the backend with the logbooks of the jobs.
    """

    KIND = "redis"
    JOB = RedisJob
    SUPPORTED = _TLS | {
        "host", "port", "unix_socket_path", "db", "username", "password", "namespace", "ssl",
        "encoding", "encoding_errors", "socket_timeout", "socket_connect_timeout",
        "retry_on_timeout", "health_check_interval", "sentinel", "sentinel_fallbacks", "sentinel_kwargs",
        "timeout", "cluster", "ssl_check_hostname",
    }  # fmt: skip
    MIN_REDIS_VERSION: ClassVar[tuple[int, ...]] = (2, 6)
    DEFAULT_NAMESPACE: ClassVar[bytes] = b"taskflow"

    @property
    def namespace(self) -> str | bytes:
        """The prefix of the keys, as given."""
        namespace: str | bytes = self._conf.get("namespace", self.DEFAULT_NAMESPACE)
        return namespace

    def _store_settings(self, settings: dict[str, Any], client: Any) -> dict[str, Any]:
        store = self._supported(settings)
        namespace = self.namespace
        store["namespace"] = namespace.decode() if isinstance(namespace, bytes) else namespace
        if client is not None:
            store.update(_settings_of_client(client))
        if not parse_bool(store.get("ssl"), default=store["connection"].startswith("rediss:")):
            # TaskFlow ignores them without ssl; the store would reject them.
            store = {key: value for key, value in store.items() if key not in _TLS}
        return store


def _settings_of_client(client: Any) -> dict[str, Any]:
    """Return the settings for the server of a client."""
    pool = client.connection_pool
    settings = {key: pool.connection_kwargs.get(key) for key in _CLIENT_SETTINGS}
    settings["unix_socket_path"] = settings.pop("path")
    if settings["host"] is None and settings["unix_socket_path"] is None:
        raise TypeError(
            f"a client with {type(pool).__name__} has no server address: pass the settings of the board"
            " instead, such as 'sentinel', 'host' and 'port'"
        )
    return {**settings, "ssl": "SSL" in pool.connection_class.__name__}
