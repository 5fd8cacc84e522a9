"""TaskFlow's `taskflow.jobs.backends.impl_etcd`."""

from __future__ import annotations

from typing import Any, ClassVar

from stackl_flow.compat.jobs.boards import Board, Job

__all__ = ["EtcdJob", "EtcdJobBoard"]


class EtcdJob(Job):
    """A job on a board in etcd."""


class EtcdJobBoard(Board):
    """A board in an etcd cluster.

    Args:
        name: the name of the board.
        conf: TaskFlow's settings: ``host``, ``port``, ``protocol``, ``ca_cert``, ``cert_key``, ``cert_cert``,
            ``timeout``, ``api_path`` and ``path``; ``ttl`` is the lease TTL in seconds.
        client: an etcd3gw client, of which only the address is used.
        persistence: the backend with the logbooks of the jobs.
    """

    KIND = "etcd"
    JOB = EtcdJob
    SUPPORTED = frozenset(
        {"host", "port", "protocol", "ca_cert", "cert_key", "cert_cert", "timeout", "api_path", "path"}
    )
    ROOT_PATH: ClassVar[str] = "/taskflow/jobs"
    DEFAULT_PATH: ClassVar[str] = "jobboard"

    def _store_settings(self, settings: dict[str, Any], client: Any) -> dict[str, Any]:
        store = self._supported(settings)
        store["path"] = f"{self.ROOT_PATH}/{settings.get('path', self.DEFAULT_PATH).strip('/')}"
        if client is not None:
            store.update(_settings_of_client(client))
        return store


def _settings_of_client(client: Any) -> dict[str, Any]:
    """Return the settings for the server of a client."""
    verify, certificate = client.session.verify, client.session.cert
    settings = {
        "host": client.host,
        "port": client.port,
        "protocol": client.protocol,
        "timeout": client.timeout,
    }
    if isinstance(verify, str):
        settings["ca_cert"] = verify
    if certificate is not None:
        settings["cert_cert"], settings["cert_key"] = certificate
    return settings
