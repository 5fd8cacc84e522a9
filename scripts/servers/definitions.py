"""The servers that tests use. Their data need not survive a power loss: none waits for the disk."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import urllib.request
from signal import SIGINT
from typing import Final

from scripts.servers.kinds import SECOND_PORT_OFFSET, Kind, Location, find, send_request, with_initialization

_ZOOKEEPER: Final = "/usr/share/java/zookeeper.jar"
_DATABASE: Final = "stackl"
#: etcd's names of processors.
_ARCHITECTURES: Final = {"aarch64": "arm64", "x86_64": "amd64"}


def _redis(location: Location) -> list[str]:
    options = {
        "bind": "127.0.0.1",
        "port": location.port,
        "dir": location.directory,
        "unixsocket": location.directory / "socket",
        "daemonize": "no",
        # Data must survive SIGKILL.
        "appendonly": "yes",
        "appendfsync": "no",
        "save": "",
    }
    return [
        find("redis-server"),
        *(str(word) for key, value in options.items() for word in (f"--{key}", value)),
    ]


def _redis_ready(location: Location) -> bool:
    response = send_request(location.port, b"PING\r\n")
    return response.startswith(b"+PONG") or b"NOAUTH" in response


def _sentinel(location: Location) -> list[str]:
    """Take one more argument: a configuration file, which the sentinel rewrites."""
    return [
        "sh",
        "-c",
        f'exec {find("redis-server")} "$1" --sentinel --port {location.port} --bind 127.0.0.1',
        "sh",
    ]


def _pgbouncer(location: Location) -> list[str]:
    """Take two more arguments: the pool mode, and the port of the server on this machine."""
    (location.directory / "users").write_text(f'"{_DATABASE}" ""\n', encoding="utf-8")
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": location.port,
        "unix_socket_dir": "",
        "auth_type": "any",
        "max_client_conn": 100,
        "default_pool_size": 20,
    }
    text = "".join(f"{name} = {value}\n" for name, value in settings.items())
    (location.directory / "common.ini").write_text(f"[pgbouncer]\n{text}", encoding="utf-8")
    script = (
        f'{{ cat common.ini; echo "pool_mode = $1"; echo "[databases]"; '
        f'echo "{_DATABASE} = host=127.0.0.1 port=$2 user={_DATABASE}"; }} > pgbouncer.ini; '
        f"exec {find('pgbouncer')} pgbouncer.ini"
    )
    return ["sh", "-c", script, "sh"]


def _zookeeper(location: Location) -> list[str]:
    settings = {
        "clientPort": location.port,
        "clientPortAddress": "127.0.0.1",
        "dataDir": location.directory / "data",
        # Short sessions, so that tests of expiry do not wait long.
        "tickTime": 100,
        "minSessionTimeout": 200,
        "maxSessionTimeout": 60_000,
        "maxClientCnxns": 0,
        "admin.enableServer": "false",
        "4lw.commands.whitelist": "*",
        # In ticks; generous for a loaded machine.
        "initLimit": 100,
        "syncLimit": 50,
    }
    for number, peer in enumerate(location.peers, start=1):
        settings[f"server.{number}"] = f"127.0.0.1:{peer.second_port}:{peer.second_port + SECOND_PORT_OFFSET}"
    if location.peers:
        (location.directory / "data").mkdir(exist_ok=True)
        (location.directory / "data" / "myid").write_text(str(location.number), encoding="utf-8")
    text = "".join(f"{name}={value}\n" for name, value in settings.items())
    (location.directory / "zoo.cfg").write_text(text, encoding="utf-8")
    log = "log4j.rootLogger=WARN, OUT\nlog4j.appender.OUT=org.apache.log4j.ConsoleAppender\n"
    log += "log4j.appender.OUT.layout=org.apache.log4j.SimpleLayout\n"
    (location.directory / "log4j.properties").write_text(log, encoding="utf-8")
    return [
        find("java"),
        "-Xmx256m",
        # It lives briefly, on few processors: little compilation, one thread for garbage collection.
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Dzookeeper.forceSync=no",
        "-cp",
        f"{location.directory}:{_ZOOKEEPER}",
        "org.apache.zookeeper.server.quorum.QuorumPeerMain",
        str(location.directory / "zoo.cfg"),
    ]


def _etcd(location: Location) -> list[str]:
    client_url, peer_url = (f"http://127.0.0.1:{port}" for port in (location.port, location.second_port))
    members = location.peers or (location,)
    options = {
        "name": f"m{location.port}",
        "data-dir": location.directory / "data",
        "listen-client-urls": client_url,
        "advertise-client-urls": client_url,
        "listen-peer-urls": peer_url,
        "initial-advertise-peer-urls": peer_url,
        "initial-cluster": ",".join(f"m{each.port}=http://127.0.0.1:{each.second_port}" for each in members),
        # Milliseconds. The shortest possible lease depends on them; in a cluster they are longer, so that
        # members on a loaded machine do not elect a new leader because a heartbeat was late.
        "heartbeat-interval": 100 if location.peers else 50,
        "election-timeout": 1000 if location.peers else 250,
    }
    # Without this etcd refuses to run on some processors.
    architecture = f"ETCD_UNSUPPORTED_ARCH={_ARCHITECTURES.get(platform.machine(), platform.machine())}"
    return [
        "env",
        architecture,
        find("etcd"),
        *(f"--{name}={value}" for name, value in options.items()),
    ]


def _etcd_ready(location: Location) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{location.port}/health", timeout=2) as response:
            return b'"true"' in response.read()
    except OSError:
        return False


def _etcd_is_leader(location: Location) -> bool:
    try:
        # A body makes it a POST request.
        with urllib.request.urlopen(
            f"http://127.0.0.1:{location.port}/v3/maintenance/status", b"{}", timeout=2
        ) as response:
            status = json.load(response)
    except OSError:
        return False
    return bool(status.get("leader")) and status["leader"] == status["header"]["member_id"]


def _postgresql(location: Location) -> list[str]:
    data = str(location.directory / "data")
    initialize = [
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
        "port": location.port,
        "unix_socket_directories": location.directory,
        "fsync": "off",
    }
    server = [
        find("postgres"),
        "-D",
        data,
        *(word for key, value in options.items() for word in ("-c", f"{key}={value}")),
    ]
    database = ["sh", "-c", f'echo "CREATE DATABASE {_DATABASE}" | "$@"', "sh", *single]
    return with_initialization(location.directory / "data", [initialize, database], server)


def _postgresql_ready(location: Location) -> bool:
    command = [find("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(location.port), "-U", _DATABASE]
    return subprocess.run(command, check=False).returncode == 0


def _accepts(location: Location) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", location.port), timeout=1):
            return True
    except OSError:
        return False


def _mysql(location: Location) -> list[str]:
    user = ["--user=root"] if os.geteuid() == 0 else []
    data = location.directory / "data"
    init_file = location.directory / "init.sql"
    init_file.write_text(
        f"CREATE DATABASE IF NOT EXISTS {_DATABASE} CHARACTER SET utf8mb4;\n", encoding="utf-8"
    )
    initialize = [find("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--skip-test-db", *user]
    initialize.append("--auth-root-authentication-method=normal")
    server = [
        find("mariadbd"),
        "--no-defaults",
        f"--datadir={data}",
        f"--port={location.port}",
        "--bind-address=127.0.0.1",
        f"--socket={location.directory / 'socket'}",
        "--skip-name-resolve",
        "--innodb-flush-log-at-trx-commit=2",
        f"--init-file={init_file}",
        *user,
    ]
    return with_initialization(data, [initialize], server)


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(
            "redis",
            # openssl makes the certificates for its TLS tests.
            packages=("redis-server", "openssl"),
            requires=("redis-server", "openssl"),
            url="redis://127.0.0.1:{port}",
            command=_redis,
            is_ready=_redis_ready,
        ),
        Kind(
            "zookeeper",
            packages=("zookeeper", "default-jre-headless"),
            requires=("java", _ZOOKEEPER),
            url="zookeeper://127.0.0.1:{port}",
            command=_zookeeper,
            # A member of a cluster is ready when a majority is.
            is_ready=lambda location: send_request(location.port, b"isro") == b"rw",
            is_leader=lambda location: b"Mode: leader" in send_request(location.port, b"srvr", read_all=True),
        ),
        Kind(
            "etcd",
            packages=("etcd-server",),
            requires=("etcd",),
            url="etcd://127.0.0.1:{port}",
            command=_etcd,
            is_ready=_etcd_ready,
            is_leader=_etcd_is_leader,
        ),
        Kind(
            "postgresql",
            packages=("postgresql",),
            requires=("initdb", "postgres", "pg_isready"),
            url=f"postgresql://{_DATABASE}@127.0.0.1:{{port}}/{_DATABASE}",
            command=_postgresql,
            is_ready=_postgresql_ready,
            # SIGTERM would wait until all clients have disconnected.
            stop_signal=SIGINT,
            user="postgres",
        ),
        Kind(
            "mysql",
            packages=("mariadb-server",),
            requires=("mariadb-install-db", "mariadbd"),
            url=f"mysql://root@127.0.0.1:{{port}}/{_DATABASE}",
            command=_mysql,
            is_ready=lambda location: b"MariaDB" in send_request(location.port),
        ),
    )
}

#: Servers that only run beside others.
AUXILIARY: Final = {
    "pgbouncer": Kind(
        "pgbouncer",
        packages=("pgbouncer",),
        requires=("pgbouncer",),
        url="postgresql://127.0.0.1:{port}",
        command=_pgbouncer,
        is_ready=_accepts,
        user="postgres",
    ),
    "redis-sentinel": Kind(
        "redis-sentinel",
        packages=("redis-server",),
        requires=("redis-server",),
        url="redis://127.0.0.1:{port}",
        command=_sentinel,
        is_ready=_redis_ready,
    ),
}
