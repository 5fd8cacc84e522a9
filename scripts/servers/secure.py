"""Servers that speak nothing but TLS to their clients; their certificates are named by further words."""

from __future__ import annotations

import shlex
import ssl
import urllib.request
from typing import Final

from scripts.servers.kinds import Kind, Spot, ask
from scripts.servers.known import KINDS

#: What Debian's package forgets, and only connections with TLS need.
_NETTY: Final = "/usr/share/java/netty-codec.jar"


def _etcd(spot: Spot) -> list[str]:
    """Take two more words: --cert-file=FILE and --key-file=FILE."""
    plain = f"http://127.0.0.1:{spot.port}"
    return [word.replace(plain, f"https{plain[4:]}") for word in KINDS["etcd"].command(spot)]


def _etcd_ready(spot: Spot) -> bool:
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(
            f"https://127.0.0.1:{spot.port}/health", timeout=2, context=anyone
        ) as answer:
            return b'"true"' in answer.read()
    except OSError:
        return False


def _zookeeper(spot: Spot) -> list[str]:
    """Take one more word: a file with the key and the certificate; it listens without TLS for itself only."""
    command = KINDS["zookeeper"].command(spot)
    settings = spot.directory / "zoo.cfg"
    text = settings.read_text(encoding="utf-8").replace(
        f"clientPort={spot.port}\n",
        f"clientPort={spot.second_port}\nsecureClientPort={spot.port}\nsecureClientPortAddress=127.0.0.1\n",
    )
    settings.write_text(text, encoding="utf-8")
    secure = (
        "-Dzookeeper.serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory"
        ' -Dzookeeper.ssl.keyStore.location="$1" -Dzookeeper.ssl.keyStore.type=PEM'
        " -Dzookeeper.ssl.clientAuth=none"
    )
    java, *rest = command
    rest[rest.index("-cp") + 1] += f":{_NETTY}"
    return ["sh", "-c", f"exec {shlex.quote(java)} {secure} {shlex.join(rest)}", "sh"]


#: By name, as the others.
SECURE: Final = {
    kind.name: kind
    for kind in (
        Kind(
            "etcd-tls",
            packages=("etcd-server", "openssl"),
            needs=("etcd", "openssl"),
            url="etcd://127.0.0.1:{port}",
            command=_etcd,
            ready=_etcd_ready,
        ),
        Kind(
            "zookeeper-tls",
            packages=("zookeeper", "default-jre-headless", "libnetty-java", "openssl"),
            needs=(*KINDS["zookeeper"].needs, _NETTY, "openssl"),
            url="zookeeper://127.0.0.1:{port}",
            command=_zookeeper,
            ready=lambda spot: ask(spot.second_port, b"ruok") == b"imok",
        ),
    )
}
