"""The servers we know. Nothing in them is to outlive a power cut: they need not wait for the disk."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import urllib.request
from signal import SIGINT
from typing import Final

from scripts.servers.kinds import BUS, Kind, Spot, ask, find, prepared

_ZOOKEEPER: Final = "/usr/share/java/zookeeper.jar"
_DATABASE: Final = "stackl"
#: What etcd calls them.
_ARCHITECTURES: Final = {"aarch64": "arm64", "x86_64": "amd64"}


def _redis(spot: Spot) -> list[str]:
    options = {
        "bind": "127.0.0.1",
        "port": spot.port,
        "dir": spot.directory,
        "unixsocket": spot.directory / "socket",
        "daemonize": "no",
        # So that it has its data again after a SIGKILL.
        "appendonly": "yes",
        "appendfsync": "no",
        "save": "",
    }
    return [
        find("redis-server"),
        *(str(word) for key, value in options.items() for word in (f"--{key}", value)),
    ]


def _redis_ready(spot: Spot) -> bool:
    answer = ask(spot.port, b"PING\r\n")
    return answer.startswith(b"+PONG") or b"NOAUTH" in answer


def _sentinel(spot: Spot) -> list[str]:
    """Take one more word: a file of settings, which it writes itself later."""
    return [
        "sh",
        "-c",
        f'exec {find("redis-server")} "$1" --sentinel --port {spot.port} --bind 127.0.0.1',
        "sh",
    ]


def _zookeeper(spot: Spot) -> list[str]:
    settings = {
        "clientPort": spot.port,
        "clientPortAddress": "127.0.0.1",
        "dataDir": spot.directory / "data",
        # Sessions may be short, so that tests of their end need not wait long.
        "tickTime": 100,
        "minSessionTimeout": 200,
        "maxSessionTimeout": 60_000,
        "maxClientCnxns": 0,
        "admin.enableServer": "false",
        "4lw.commands.whitelist": "*",
        # In ticks; a loaded machine takes its time.
        "initLimit": 100,
        "syncLimit": 50,
    }
    for number, peer in enumerate(spot.peers, start=1):
        settings[f"server.{number}"] = f"127.0.0.1:{peer.second_port}:{peer.second_port + BUS}"
    if spot.peers:
        (spot.directory / "data").mkdir(exist_ok=True)
        (spot.directory / "data" / "myid").write_text(str(spot.number), encoding="utf-8")
    text = "".join(f"{name}={value}\n" for name, value in settings.items())
    (spot.directory / "zoo.cfg").write_text(text, encoding="utf-8")
    log = "log4j.rootLogger=WARN, OUT\nlog4j.appender.OUT=org.apache.log4j.ConsoleAppender\n"
    log += "log4j.appender.OUT.layout=org.apache.log4j.SimpleLayout\n"
    (spot.directory / "log4j.properties").write_text(log, encoding="utf-8")
    return [
        find("java"),
        "-Xmx256m",
        # A short life on few processors: do not compile much, do not collect on many threads.
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Dzookeeper.forceSync=no",
        "-cp",
        f"{spot.directory}:{_ZOOKEEPER}",
        "org.apache.zookeeper.server.quorum.QuorumPeerMain",
        str(spot.directory / "zoo.cfg"),
    ]


def _etcd(spot: Spot) -> list[str]:
    url, link = (f"http://127.0.0.1:{port}" for port in (spot.port, spot.second_port))
    members = spot.peers or (spot,)
    options = {
        "name": f"m{spot.port}",
        "data-dir": spot.directory / "data",
        "listen-client-urls": url,
        "advertise-client-urls": url,
        "listen-peer-urls": link,
        "initial-advertise-peer-urls": link,
        "initial-cluster": ",".join(f"m{each.port}=http://127.0.0.1:{each.second_port}" for each in members),
        # The shortest lease there can be depends on these (milliseconds). Members that hear of each other
        # late, because the machine is loaded, are not to elect another leader for that.
        "heartbeat-interval": 100 if spot.peers else 50,
        "election-timeout": 1000 if spot.peers else 250,
    }
    # It refuses some processors unless it is told that we know.
    known = f"ETCD_UNSUPPORTED_ARCH={_ARCHITECTURES.get(platform.machine(), platform.machine())}"
    return ["env", known, find("etcd"), *(f"--{name}={value}" for name, value in options.items())]


def _etcd_ready(spot: Spot) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{spot.port}/health", timeout=2) as answer:
            return b'"true"' in answer.read()
    except OSError:
        return False


def _etcd_leads(spot: Spot) -> bool:
    try:
        # With a body it is a POST.
        with urllib.request.urlopen(
            f"http://127.0.0.1:{spot.port}/v3/maintenance/status", b"{}", timeout=2
        ) as answer:
            told = json.load(answer)
    except OSError:
        return False
    return bool(told.get("leader")) and told["leader"] == told["header"]["member_id"]


def _postgresql(spot: Spot) -> list[str]:
    data = str(spot.directory / "data")
    make = [
        find("initdb"),
        "-D",
        data,
        "-U",
        _DATABASE,
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
    ]
    single = [find("postgres"), "--single", "-D", data, "postgres"]
    options = {
        "listen_addresses": "127.0.0.1",
        "port": spot.port,
        "unix_socket_directories": spot.directory,
        "fsync": "off",
    }
    become = [
        find("postgres"),
        "-D",
        data,
        *(w for key, value in options.items() for w in ("-c", f"{key}={value}")),
    ]
    database = ["sh", "-c", f'echo "CREATE DATABASE {_DATABASE}" | "$@"', "sh", *single]
    return prepared(spot.directory / "data", make, become, then=database)


def _postgresql_ready(spot: Spot) -> bool:
    asked = [find("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(spot.port), "-U", _DATABASE]
    return subprocess.run(asked, check=False).returncode == 0


def _mysql(spot: Spot) -> list[str]:
    user = ["--user=root"] if os.geteuid() == 0 else []
    data = spot.directory / "data"
    first = spot.directory / "first.sql"
    first.write_text(f"CREATE DATABASE IF NOT EXISTS {_DATABASE} CHARACTER SET utf8mb4;\n", encoding="utf-8")
    make = [find("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--skip-test-db", *user]
    make.append("--auth-root-authentication-method=normal")
    become = [
        find("mariadbd"),
        "--no-defaults",
        f"--datadir={data}",
        f"--port={spot.port}",
        "--bind-address=127.0.0.1",
        f"--socket={spot.directory / 'socket'}",
        "--skip-name-resolve",
        "--innodb-flush-log-at-trx-commit=2",
        f"--init-file={first}",
        *user,
    ]
    return prepared(data, make, become)


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(
            "redis",
            # What makes the certificates for its tests with TLS is small, and nearly everywhere.
            packages=("redis-server", "openssl"),
            needs=("redis-server", "openssl"),
            url="redis://127.0.0.1:{port}",
            command=_redis,
            ready=_redis_ready,
        ),
        Kind(
            "zookeeper",
            packages=("zookeeper", "default-jre-headless"),
            needs=("java", _ZOOKEEPER),
            url="zookeeper://127.0.0.1:{port}",
            command=_zookeeper,
            # A member of a cluster is ready when most of the others are.
            ready=lambda spot: ask(spot.port, b"isro") == b"rw",
            leads=lambda spot: b"Mode: leader" in ask(spot.port, b"srvr", whole=True),
        ),
        Kind(
            "etcd",
            packages=("etcd-server",),
            needs=("etcd",),
            url="etcd://127.0.0.1:{port}",
            command=_etcd,
            ready=_etcd_ready,
            leads=_etcd_leads,
        ),
        Kind(
            "postgresql",
            packages=("postgresql",),
            needs=("initdb", "postgres", "pg_isready"),
            url=f"postgresql://{_DATABASE}@127.0.0.1:{{port}}/{_DATABASE}",
            command=_postgresql,
            ready=_postgresql_ready,
            # SIGTERM would wait until every client has gone.
            stop_signal=SIGINT,
            user="postgres",
        ),
        Kind(
            "mysql",
            packages=("mariadb-server",),
            needs=("mariadb-install-db", "mariadbd"),
            url=f"mysql://root@127.0.0.1:{{port}}/{_DATABASE}",
            command=_mysql,
            ready=lambda spot: b"MariaDB" in ask(spot.port),
        ),
    )
}

#: Servers that are of use to a test only beside others.
BESIDES: Final = {
    "redis-sentinel": Kind(
        "redis-sentinel",
        packages=("redis-server",),
        needs=("redis-server",),
        url="redis://127.0.0.1:{port}",
        command=_sentinel,
        ready=_redis_ready,
    ),
}
