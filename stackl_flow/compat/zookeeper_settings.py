"""Settings of the ZooKeeper store, from TaskFlow's settings or from a kazoo client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from stackl_flow.compat.utils import kazoo_utils

#: The oldest servers with transactions.
MIN_VERSION: Final = (3, 4, 0)

#: Settings that the store supports unchanged.
UNCHANGED: Final = (
    "randomize_hosts", "use_ssl", "verify_certs", "ca", "certfile", "keyfile", "keyfile_password",
    "auth_data", "default_acl", "username", "password", "auth", "sasl_mechanism",
)  # fmt: skip

#: Attributes of a client that describe its connection.
_CLIENT_ATTRIBUTES: Final = ("use_ssl", "verify_certs", "ca", "certfile", "keyfile", "keyfile_password")


def _login_of(client: Any) -> dict[str, Any]:
    """Return the settings for the logins of a client, and for the ACL of the nodes that it creates."""
    login: dict[str, Any] = {
        "auth_data": [list(pair) for pair in client.auth_data] or None,
        "default_acl": [[acl.perms, list(acl.id)] for acl in client.default_acl or ()] or None,
    }
    sasl = getattr(getattr(client, "_connection", None), "sasl_options", None)
    if sasl:
        login.update(auth="sasl", sasl_mechanism=sasl.get("mechanism"))
        login.update(username=sasl.get("username"), password=sasl.get("password"))
    return login


def path_of(conf: Mapping[str, Any], key: str, default: str) -> str:
    """Return the path below which everything is stored.

    Args:
        conf: TaskFlow's settings.
        key: the key of a URL, which may contain the path.
        default: the default path.

    Raises:
        ValueError: the path is empty or not absolute.
    """
    url = str(conf.get(key, ""))
    url_path = urlsplit(url).path if ":" in url else ""
    path = str(conf["path"]) if "path" in conf else url_path or default
    if not path.startswith("/"):
        raise ValueError(f"the ZooKeeper path must be absolute, such as '{default}', not '{path}'")
    return path


def store_settings(conf: Mapping[str, Any], path: str, client: Any = None) -> dict[str, Any]:
    """Return the settings of the store.

    Args:
        conf: TaskFlow's settings.
        path: the path below which everything is stored.
        client: a client whose servers are used instead of those in the settings.
    """
    settings: dict[str, Any] = {"connection": "zookeeper"}
    if client is None:
        hosts = conf["hosts"] if "hosts" in conf else conf.get("hostname", "localhost:2181")
        settings["hosts"], _, root = kazoo_utils.hosts_of(hosts).partition("/")
        options = {key: conf.get(key) for key in UNCHANGED}
    else:
        settings["hosts"], root = ",".join(f"{host}:{port}" for host, port in client.hosts), client.chroot
        options = {key: getattr(client, key) for key in _CLIENT_ATTRIBUTES}
        options.update(_login_of(client))
    settings["path"] = f"/{root.strip('/')}{path}".replace("//", "/")
    settings.update((key, value) for key, value in options.items() if value is not None)
    return settings
