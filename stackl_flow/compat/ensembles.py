"""Where a ZooKeeper ensemble is, read out of TaskFlow's settings, or out of a client of kazoo's."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from kazoo import exceptions as kazoo_exceptions

from stackl_flow.compat.utils import kazoo_utils

#: The oldest servers that know transactions.
MIN_VERSION: Final = (3, 4, 0)

#: Settings that the place takes as they are.
AS_THEY_ARE: Final = (
    "randomize_hosts", "use_ssl", "verify_certs", "ca", "certfile", "keyfile", "keyfile_password",
)  # fmt: skip

#: What of a client says how its servers are reached.
_OF_CLIENT: Final = ("use_ssl", "verify_certs", "ca", "certfile", "keyfile", "keyfile_password")

#: Boards that share a client may be connected by several threads at once, and kazoo cannot start it twice.
_STARTING: Final = threading.Lock()


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


def start(client: Any, timeout: float = 10.0) -> None:
    """Start a client, unless it is started.

    Args:
        client: the client.
        timeout: for how many seconds it tries to reach a server.

    Raises:
        TimeoutError: it reached none.
    """
    try:
        with _STARTING:
            client.start(timeout=timeout)
    except (client.handler.timeout_exception, kazoo_exceptions.KazooException) as error:
        raise TimeoutError(
            f"no server of {client.hosts} was reached within {timeout:g} s: see that they run ({error})"
        ) from error


@contextlib.contextmanager
def started(client: Any, conf: Mapping[str, Any]) -> Iterator[Any]:
    """Have a started client: the one that was given, or one for a moment.

    Args:
        client: the client, or None.
        conf: TaskFlow's settings.

    Yields:
        The client.

    Raises:
        TimeoutError: no server was reached.
    """
    if client is not None:
        start(client)
        yield client
        return
    own = kazoo_utils.make_client(conf)
    try:
        start(own)
        yield own
    finally:
        kazoo_utils.finalize_client(own)
