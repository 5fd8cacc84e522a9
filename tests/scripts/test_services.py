"""scripts/services starts, lists and stops the servers of its clone, and no others."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from scripts.servers import background, packages
from scripts.servers.definitions import KINDS
from scripts.servers.server import Server, ServerError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def directory():
    """A directory with a short name: the path of a Unix socket is limited."""
    with tempfile.TemporaryDirectory(prefix="s-") as directory:
        yield Path(directory)


@pytest.fixture
def services(directory):
    """Give a function that calls scripts/services with directories of its own."""
    if KINDS["redis"].missing:
        pytest.skip("redis-server is not installed")
    env = {**os.environ, "TMPDIR": str(directory)}

    def call(*words):
        command = [str(ROOT / "scripts" / "services"), *words]
        return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)

    yield call
    call("stop")


def pings(url):
    host, _, port = url.rpartition("/")[2].partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16) == b"+PONG\r\n"
    except ConnectionError:
        return False


def test_start_list_stop(services, directory):
    started = services("start", "redis")
    assert started.returncode == 0, started.stderr
    name, _, url = started.stdout.strip().partition("=")
    assert name == "STACKL_FLOW_TEST_REDIS"
    assert pings(url)
    assert services("start", "redis").stdout == services("list").stdout == started.stdout
    assert services("stop").stdout == f"{name}={url} stopped\n"
    assert not pings(url)
    assert services("list").stdout == ""
    assert list(directory.glob("*/*")) == []


def test_servers_of_another_clone_are_not_listed_or_stopped(services, directory, tmp_path, monkeypatch):
    started = services("start", "redis").stdout
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    monkeypatch.setattr(background, "_CLONE", tmp_path)
    assert background.running() == []
    assert services("list").stdout == started


def test_run_passes_the_url_to_a_command_and_stops_the_server(services):
    script = "import os; print(os.environ['STACKL_FLOW_TEST_REDIS']); raise SystemExit(7)"
    ran = services("run", "redis", "--", sys.executable, "-c", script)
    assert ran.returncode == 7
    assert ran.stdout.startswith("redis://127.0.0.1:")
    assert not pings(ran.stdout.strip())


def test_invalid_command_lines(services):
    assert "usage" in services("start", "carrier-pigeon").stderr
    assert "no command given" in services("run", "redis").stderr
    assert "cannot run no-such-program" in services("run", "redis", "--", "no-such-program").stderr
    for text in ("start", "stop", "run", "redis", "zookeeper", "STACKL_FLOW_TEST"):
        assert text in services("--help").stdout


def test_a_server_that_does_not_start_reports_its_log():
    if KINDS["redis"].missing:
        pytest.skip("redis-server is not installed")
    server = Server(KINDS["redis"], ["--no-such-setting", "1"])
    with pytest.raises(ServerError, match=r"redis did not become ready(?s:.*)no-such-setting"):
        server.start()
    assert not server.directory.exists()


def test_a_port_that_is_in_use(new_server):
    first = new_server("redis")
    second = Server(KINDS["redis"])
    try:
        second.port = first.port
        second.start()
        assert second.port != first.port
        assert pings(second.url)
    finally:
        second.close()


def test_data_survive_sigkill(new_server):
    server = new_server("redis")
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"SET a 1\r\n")
        assert connection.recv(16) == b"+OK\r\n"
    server.kill()
    assert not pings(server.url)
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"GET a\r\n")
        assert connection.recv(16) == b"$1\r\n1\r\n"


def test_a_server_ends_with_the_process_that_started_it(services):
    script = (
        "import os, signal\n"
        "from scripts.servers.definitions import KINDS\n"
        "from scripts.servers.server import Server\n"
        "server = Server(KINDS['redis'])\n"
        "server.start()\n"
        "print(server.url, server.directory, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    url, directory = ran.stdout.split()
    deadline = time.monotonic() + 10
    while pings(url) and time.monotonic() < deadline:
        time.sleep(0.01)  # the kernel sends the signal a moment later
    assert not pings(url)
    shutil.rmtree(directory)


def test_errors_when_servers_cannot_be_installed(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("scripts.servers.kinds._MORE_PATHS", ())
    redis = KINDS["redis"]
    with pytest.raises(ServerError, match=r"scripts/services install redis.*STACKL_FLOW_TEST_REDIS"):
        Server(redis)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ServerError, match=r"only root.*apt-get install redis-server"):
        packages.install([redis])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ServerError, match="no apt-get on this machine"):
        packages.install([redis])


@pytest.mark.parametrize(("ci", "code", "summary"), [("", 0, "1 skipped"), ("true", 1, "1 error")])
def test_a_missing_server_skips_its_tests_and_fails_them_in_ci(ci, code, summary, tmp_path):
    unset = {KINDS["redis"].variable, "STACKL_FLOW_TEST_INSTALL"}
    env = {name: value for name, value in os.environ.items() if name not in unset}
    test = "tests/jobboards/test_redis.py::test_settings_of_taskflow"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env={**env, "CI": ci, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == code
    assert summary in ran.stdout
    assert "scripts/services install redis" in ran.stdout


def test_installed_packages_do_not_start_their_services(monkeypatch, tmp_path):
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(packages, "_POLICY", policy)
    with packages._services_disabled():
        assert subprocess.run([policy, "redis-server", "start"], check=False).returncode == 101
    assert not policy.exists()
    policy.write_text("# the administrator's")
    with packages._services_disabled():
        pass
    assert policy.read_text() == "# the administrator's"
