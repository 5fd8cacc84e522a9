"""Where a ZooKeeper ensemble is, read out of TaskFlow's settings, or out of a client of kazoo's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from stackl_flow.compat.utils import kazoo_utils

#: The oldest servers that know transactions.
MIN_VERSION: Final = (3, 4, 0)

#: Settings that the place takes as they are.
AS_THEY_ARE: Final = (
    "randomize_hosts", "use_ssl", "verify_certs", "ca", "certfile", "keyfile", "keyfile_password",
)  # fmt: skip

#: What of a client says how its servers are reached.
_OF_CLIENT: Final = ("use_ssl", "verify_certs", "ca", "certfile", "keyfile", "keyfile_password")


def path_of(conf: Mapping[str, Any], key: str, default: str) -> str:
    """Read below which node all is to be kept.

    Args:
        conf: TaskFlow's settings.
        key: under which an address may stand, which may end with the path.
        default: the path where none is given.

    Returns:
        The path.

    Raises:
        ValueError: it is empty, or does not begin with a slash.
    """
    address = str(conf.get(key, ""))
    of_address = urlsplit(address).path if ":" in address else ""
    path = str(conf["path"]) if "path" in conf else of_address or default
    if not path.startswith("/"):
        raise ValueError(f"the path of ZooKeeper's nodes must be absolute, such as '{default}', not '{path}'")
    return path


def place_of(conf: Mapping[str, Any], path: str, client: Any = None) -> dict[str, Any]:
    """Make settings of our place.

    Args:
        conf: TaskFlow's settings.
        path: below which node all is to be kept.
        client: a client whose servers are meant, instead of those in the settings.

    Returns:
        The settings.
    """
    ours: dict[str, Any] = {"connection": "zookeeper"}
    if client is None:
        hosts = conf["hosts"] if "hosts" in conf else conf.get("hostname", "localhost:2181")
        ours["hosts"], _, root = kazoo_utils.hosts_of(hosts).partition("/")
        told = {word: conf.get(word) for word in AS_THEY_ARE}
    else:
        ours["hosts"], root = ",".join(f"{host}:{port}" for host, port in client.hosts), client.chroot
        told = {word: getattr(client, word) for word in _OF_CLIENT}
    ours["path"] = f"/{root.strip('/')}{path}".replace("//", "/")
    ours.update((word, value) for word, value in told.items() if value is not None)
    return ours
