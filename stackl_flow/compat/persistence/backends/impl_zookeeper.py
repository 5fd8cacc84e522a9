"""TaskFlow's `taskflow.persistence.backends.impl_zookeeper`: its settings, our nodes.

A path below which TaskFlow itself keeps flows is refused, as a directory of its own is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow.compat import zookeeper_settings
from stackl_flow.compat.persistence.codecs import Plain
from stackl_flow.compat.utils import kazoo_utils
from stackl_flow.compat.utils.booleans import parse_bool
from stackl_flow.kv.backends.zookeeper import ZooKeeperKV
from stackl_flow.persistence.backends.kv import KVBackend
from stackl_flow.persistence.backends.kv.connection import KVConnection as ZkConnection

__all__ = ["MIN_ZK_VERSION", "ZkBackend", "ZkConnection"]

MIN_ZK_VERSION: Final = zookeeper_settings.MIN_VERSION

#: Where TaskFlow itself keeps flows.
_THEIRS: Final = "flow_details"


class ZkBackend(KVBackend):
    """Keeps flows in a ZooKeeper ensemble.

    Args:
        conf: TaskFlow's settings: ``hosts``, ``path``, ``check_compatible``, and for TLS ``use_ssl``,
            ``verify_certs``, ``ca``, ``certfile``, ``keyfile`` and ``keyfile_password``.
        client: a client of kazoo's, of which the address is taken; it is started with the first connection.

    Raises:
        ValueError: the path is empty or not absolute.
    """

    DEFAULT_PATH: Final = "/taskflow"

    def __init__(self, conf: Mapping[str, Any], client: Any = None) -> None:
        self.path = zookeeper_settings.path_of(conf, "connection", self.DEFAULT_PATH)
        place = zookeeper_settings.place_of(conf, self.path, client)
        super().__init__(place, codec=Plain(), place=ZooKeeperKV(place))
        self.conf = self._conf = dict(conf)
        self._client = client
        self._is_checked = False

    def get_connection(self) -> ZkConnection:
        """Make a connection, to be used by one thread at a time.

        Returns:
            The connection; close it after use.

        Raises:
            StorageFailure: no server can be reached, it is too old, or TaskFlow itself keeps flows there.
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
                found = client.exists(f"{self.path.rstrip('/')}/{_THEIRS}")
        except (exc.IncompatibleVersion, OSError) as error:
            raise exc.StorageFailure(f"'{self.name}' cannot be used: {error}", cause=error) from error
        if found:
            raise exc.StorageFailure(
                f"'{self.name}' holds flows that TaskFlow itself stored, in '{_THEIRS}': give a path of its"
                " own; they have to end with TaskFlow"
            )
