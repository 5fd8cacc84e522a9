"""Servers that accept only TLS connections; their certificates are given by additional arguments."""

from __future__ import annotations

import shlex
import ssl
import urllib.request
from typing import Final

from scripts.servers.definitions import KINDS
from scripts.servers.kinds import Kind, Location, send_request

#: Needed for TLS, and not a dependency of Debian's package.
_NETTY: Final = "/usr/share/java/netty-codec.jar"


def _etcd(location: Location) -> list[str]:
    """Take two more arguments: --cert-file=FILE and --key-file=FILE."""
    plain = f"http://127.0.0.1:{location.port}"
    return [word.replace(plain, f"https{plain[4:]}") for word in KINDS["etcd"].command(location)]


def _etcd_ready(location: Location) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(
            f"https://127.0.0.1:{location.port}/health", timeout=2, context=context
        ) as response:
            return b'"true"' in response.read()
    except OSError:
        return False


def _zookeeper(location: Location) -> list[str]:
    """Take one more argument: a file with key and certificate. The plain port is for readiness checks."""
    command = KINDS["zookeeper"].command(location)
    settings = location.directory / "zoo.cfg"
    text = settings.read_text(encoding="utf-8").replace(
        f"clientPort={location.port}\n",
        f"clientPort={location.second_port}\nsecureClientPort={location.port}\nsecureClientPortAddress=127.0.0.1\n",
    )
    settings.write_text(text, encoding="utf-8")
    options = (
        "-Dzookeeper.serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory"
        ' -Dzookeeper.ssl.keyStore.location="$1" -Dzookeeper.ssl.keyStore.type=PEM'
        " -Dzookeeper.ssl.clientAuth=none"
    )
    java, *rest = command
    rest[rest.index("-cp") + 1] += f":{_NETTY}"
    return ["sh", "-c", f"exec {shlex.quote(java)} {options} {shlex.join(rest)}", "sh"]


#: By name.
TLS_KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(
            "etcd-tls",
            packages=("etcd-server", "openssl"),
            requires=("etcd", "openssl"),
            url="etcd://127.0.0.1:{port}",
            command=_etcd,
            is_ready=_etcd_ready,
        ),
        Kind(
            "zookeeper-tls",
            packages=("zookeeper", "default-jre-headless", "libnetty-java", "openssl"),
            requires=(*KINDS["zookeeper"].requires, _NETTY, "openssl"),
            url="zookeeper://127.0.0.1:{port}",
            command=_zookeeper,
            is_ready=lambda location: send_request(location.second_port, b"ruok") == b"imok",
        ),
    )
}
