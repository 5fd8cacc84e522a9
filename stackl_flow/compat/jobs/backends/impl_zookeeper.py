"""TaskFlow's `taskflow.jobs.backends.impl_zookeeper`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from stackl_flow import exceptions as exc
from stackl_flow.compat import zookeeper_settings
from stackl_flow.compat.jobs.boards import Board, Job
from stackl_flow.compat.utils import kazoo_utils

__all__ = ["ZookeeperJob", "ZookeeperJobBoard"]


class ZookeeperJob(Job):
    """A job on a board in ZooKeeper."""


class ZookeeperJobBoard(Board):
    """A board in a ZooKeeper ensemble.

    Args:
        name: the name of the board.
        conf: TaskFlow's settings: ``hosts``, ``path``, and for TLS ``use_ssl``, ``verify_certs``, ``ca``,
            ``certfile``, ``keyfile`` and ``keyfile_password``. ``ttl``, or ``timeout``, is the lease TTL in
            seconds.
        client: a kazoo client, of which only the address is used; it is started when the board connects.
        persistence: the backend with the logbooks of the jobs.
        emit_notifications: whether the notifier notifies changes of the board.

    Raises:
        ValueError: the path is empty or not absolute.
    """

    KIND = "zookeeper"
    JOB = ZookeeperJob
    SUPPORTED = frozenset({"hosts", "path", *zookeeper_settings.UNCHANGED})
    MIN_ZK_VERSION: ClassVar[tuple[int, ...]] = zookeeper_settings.MIN_VERSION
    #: Parts of the node names in TaskFlow; the nodes of this library have other names.
    JOB_PREFIX: ClassVar[str] = "job"
    LOCK_POSTFIX: ClassVar[str] = ".lock"
    DEFAULT_PATH: ClassVar[str] = "/taskflow/jobs"

    def __init__(
        self,
        name: str,
        conf: Mapping[str, Any] | str | None = None,
        client: Any = None,
        persistence: Any = None,
        emit_notifications: bool = True,
    ) -> None:
        self._emit_notifications = emit_notifications
        super().__init__(name, conf, client, persistence)

    @property
    def path(self) -> str:
        """The path of the board."""
        return self._path

    def connect(self, timeout: float = 10.0) -> None:
        """Connect; start the client if one was given and is not started.

        Args:
            timeout: seconds for which the client tries to reach a server.

        Raises:
            JobFailure: no server was reached.
        """
        if self._client is not None:
            try:
                kazoo_utils.start(self._client, timeout)
            except TimeoutError as error:
                raise exc.JobFailure(f"board '{self.name}' cannot be reached: {error}", error) from error
        super().connect()

    def _pop_ttl(self, settings: dict[str, Any]) -> Any:
        # In TaskFlow, a claim ends with the session of its owner, after this timeout.
        timeout = settings.pop("timeout", None)
        return settings.pop("ttl", None) or timeout

    def _store_settings(self, settings: dict[str, Any], client: Any) -> dict[str, Any]:
        self._path = zookeeper_settings.path_of(settings, "board", self.DEFAULT_PATH)
        return zookeeper_settings.store_settings(settings, self._path, client)

    def _watch(self) -> None:
        if self._emit_notifications:
            super()._watch()
