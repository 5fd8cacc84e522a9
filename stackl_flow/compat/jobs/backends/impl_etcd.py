"""TaskFlow's `taskflow.jobs.backends.impl_etcd`."""

from __future__ import annotations

from typing import Any, ClassVar

from stackl_flow.compat.jobs.boards import Board
from stackl_flow.compat.jobs.job import Job

__all__ = ["EtcdJob", "EtcdJobBoard"]


class EtcdJob(Job):
    """A job on a board in etcd."""


class EtcdJobBoard(Board):
    """A board in an etcd cluster.

    Args:
        name: the board's name.
        conf: TaskFlow's settings: ``host``, ``port``, ``protocol``, ``ca_cert``, ``cert_key``, ``cert_cert``,
            ``timeout``, ``api_path`` and ``path``; ``ttl`` is how many seconds a claim outlives its owner.
        client: a client of etcd3gw's, of which the address is taken.
        persistence: the backend in which the jobs' logbooks are.
    """

    KIND = "etcd"
    JOB = EtcdJob
    TAKEN = frozenset(
        {"host", "port", "protocol", "ca_cert", "cert_key", "cert_cert", "timeout", "api_path", "path"}
    )
    ROOT_PATH: ClassVar[str] = "/taskflow/jobs"
    DEFAULT_PATH: ClassVar[str] = "jobboard"

    def _place_of(self, settings: dict[str, Any], client: Any) -> dict[str, Any]:
        ours = self._taken(settings)
        ours["path"] = f"{self.ROOT_PATH}/{settings.get('path', self.DEFAULT_PATH).strip('/')}"
        if client is not None:
            ours.update(_address_of(client))
        return ours


def _address_of(client: Any) -> dict[str, Any]:
    """Read where the server of a client is, and how it is reached."""
    verify, certificate = client.session.verify, client.session.cert
    told = {"host": client.host, "port": client.port, "protocol": client.protocol, "timeout": client.timeout}
    if isinstance(verify, str):
        told["ca_cert"] = verify
    if certificate is not None:
        told["cert_cert"], told["cert_key"] = certificate
    return told
