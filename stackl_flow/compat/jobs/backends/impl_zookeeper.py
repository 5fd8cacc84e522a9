"""TaskFlow's `taskflow.jobs.backends.impl_zookeeper`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from stackl_flow import exceptions as exc
from stackl_flow.compat import zookeeper_settings
from stackl_flow.compat.jobs.boards import Board
from stackl_flow.compat.jobs.job import Job
from stackl_flow.compat.utils import kazoo_utils

__all__ = ["ZookeeperJob", "ZookeeperJobBoard"]


class ZookeeperJob(Job):
    """A job on a board in ZooKeeper."""


class ZookeeperJobBoard(Board):
    """A board in a ZooKeeper ensemble.

    Args:
        name: the board's name.
        conf: TaskFlow's settings: ``hosts``, ``path``, and for TLS ``use_ssl``, ``verify_certs``, ``ca``,
            ``certfile``, ``keyfile`` and ``keyfile_password``. ``ttl``, or ``timeout``, is how many seconds a
            claim outlives its owner.
        client: a client of kazoo's, of which the address is taken; it is started when the board connects.
        persistence: the backend in which the jobs' logbooks are.
        emit_notifications: whether the notifier is told what happens on the board.

    Raises:
        ValueError: the path is empty or not absolute.
    """

    KIND = "zookeeper"
    JOB = ZookeeperJob
    TAKEN = frozenset({"hosts", "path", *zookeeper_settings.AS_THEY_ARE})
    MIN_ZK_VERSION: ClassVar[tuple[int, ...]] = zookeeper_settings.MIN_VERSION
    #: What the names of TaskFlow's own nodes begin or end with. Ours have other names.
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
        self._emits = emit_notifications
        super().__init__(name, conf, client, persistence)

    @property
    def path(self) -> str:
        """The node below which all is kept."""
        return self._path

    def connect(self, timeout: float = 10.0) -> None:
        """Get ready; a client that was given is started, if it is not.

        Args:
            timeout: for how many seconds the client tries to reach a server.

        Raises:
            JobFailure: it could not.
        """
        if self._client is not None:
            try:
                kazoo_utils.start(self._client, timeout)
            except TimeoutError as error:
                raise exc.JobFailure(f"board '{self.name}' cannot be reached: {error}", error) from error
        super().connect()

    def _ttl_of(self, settings: dict[str, Any]) -> Any:
        # With TaskFlow a claim ends with its owner's session, which lasts so long after his last word.
        timeout = settings.pop("timeout", None)
        return settings.pop("ttl", None) or timeout

    def _place_of(self, settings: dict[str, Any], client: Any) -> dict[str, Any]:
        self._path = zookeeper_settings.path_of(settings, "board", self.DEFAULT_PATH)
        return zookeeper_settings.place_of(settings, self._path, client)

    def _watch(self) -> None:
        if self._emits:
            super()._watch()
