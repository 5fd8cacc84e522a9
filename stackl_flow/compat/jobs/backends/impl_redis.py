"""TaskFlow's `taskflow.jobs.backends.impl_redis`."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from stackl_flow.compat.jobs.boards import Board
from stackl_flow.compat.jobs.boards import Job as RedisJob

__all__ = ["RedisJob", "RedisJobBoard"]

#: What of a client's own settings says where its server is.
_WHERE: Final = ("host", "port", "db", "username", "password")


class RedisJobBoard(Board):
    """A board in a Redis server.

    Args:
        name: the board's name.
        conf: ``host``, ``port``, ``db``, ``username``, ``password``, ``namespace`` and ``ttl``.
        client: a client of the server, of which the address is taken.
        persistence: the backend in which the jobs' logbooks are.
    """

    KIND = "redis"
    MIN_REDIS_VERSION: ClassVar[tuple[int, ...]] = (2, 6)
    DEFAULT_NAMESPACE: ClassVar[bytes] = b"taskflow"

    def _place_of(self, settings: dict[str, Any], client: Any) -> dict[str, Any]:
        settings.setdefault("connection", settings.pop("board", self.KIND))
        if client is not None:
            of_client = client.connection_pool.connection_kwargs
            settings.update((word, of_client[word]) for word in _WHERE if of_client.get(word) is not None)
        namespace = settings.get("namespace", self.DEFAULT_NAMESPACE)
        settings["namespace"] = namespace.decode() if isinstance(namespace, bytes) else namespace
        return settings
