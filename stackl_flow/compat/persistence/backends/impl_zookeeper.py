"""TaskFlow's `taskflow.persistence.backends.impl_zookeeper`: TaskFlow's settings, this library's nodes.

A path below which TaskFlow stores flows is rejected.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow.compat import zookeeper_settings
from stackl_flow.compat.persistence.codecs import PlainCodec
from stackl_flow.compat.utils import kazoo_utils
from stackl_flow.compat.utils.booleans import parse_bool
from stackl_flow.kv.backends.zookeeper import ZooKeeperKV
from stackl_flow.persistence.backends.kv import KVBackend
from stackl_flow.persistence.backends.kv.connection import KVConnection as ZkConnection

__all__ = ["MIN_ZK_VERSION", "ZkBackend", "ZkConnection"]

MIN_ZK_VERSION: Final = zookeeper_settings.MIN_VERSION

#: The node below which TaskFlow stores flows.
_TASKFLOW_NODE: Final = "flow_details"


class ZkBackend(KVBackend):
    """Stores flows in a ZooKeeper ensemble.

    Args:
        conf: TaskFlow's settings: ``hosts``, ``path``, ``check_compatible``, and for TLS ``use_ssl``,
            ``verify_certs``, ``ca``, ``certfile``, ``keyfile`` and ``keyfile_password``.
        client: a kazoo client, of which only the address is used; it is started with the first connection.

    Raises:
        ValueError: the path is empty or not absolute.
    """

    DEFAULT_PATH: Final = "/taskflow"

    def __init__(self, conf: Mapping[str, Any], client: Any = None) -> None:
        self.path = zookeeper_settings.path_of(conf, "connection", self.DEFAULT_PATH)
        settings = zookeeper_settings.store_settings(conf, self.path, client)
        super().__init__(settings, codec=PlainCodec(), store=ZooKeeperKV(settings))
        self.conf = self._conf = dict(conf)
        self._client = client
        self._is_checked = False

    def get_connection(self) -> ZkConnection:
        """Return a connection, to be used by one thread at a time and closed after use.

        Raises:
            StorageFailure: no server can be reached, it is too old, or TaskFlow stores flows below the path.
        """
        if not self._is_checked:
            self._check()
            self._is_checked = True
        return super().get_connection()

    def _check(self) -> None:
        try:
            with kazoo_utils.started(self._client, self._conf) as client:
                if parse_bool(self._conf.get("check_compatible"), default=True):
                    kazoo_utils.check_compatible(client, MIN_ZK_VERSION)
                is_taskflow = client.exists(f"{self.path.rstrip('/')}/{_TASKFLOW_NODE}")
        except (exc.IncompatibleVersion, OSError) as error:
            raise exc.StorageFailure(f"'{self.name}' cannot be used: {error}", cause=error) from error
        if is_taskflow:
            raise exc.StorageFailure(
                f"'{self.name}' contains flows that TaskFlow stored, in '{_TASKFLOW_NODE}': use another path,"
                " and finish these flows with TaskFlow"
            )
