"""Connections to Redis: Unix socket, TLS, sentinels, cluster; and the errors of invalid settings."""

import subprocess
import time
import uuid

import pytest
import redis

from stackl_flow import exceptions as exc
from stackl_flow.jobboards import backends as boards
from stackl_flow.kv import backends
from stackl_flow.kv.items import Put
from stackl_flow.persistence import backends as flows
from tests.support.kv_machine import ComparedKVContract


def check_works(conf, **more):
    """Write, read and wait in a new namespace; return the name of the store."""
    settings = {"connection": conf} if isinstance(conf, str) else dict(conf)
    with backends.fetch({**settings, "namespace": str(uuid.uuid4()), **more}) as kv:
        mark = kv.wait("a")
        kv.commit(puts=[Put("a", "1")])
        assert kv.wait("a", mark, timeout=5) != mark
        assert kv.get("a").value == "1"
        return kv.name


def failure(conf, **more):
    """Return the message of the error when a store with these settings is used."""
    with pytest.raises(exc.StorageFailure) as caught:
        check_works(conf, **more)
    assert "secret" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- Unix socket


def test_unix_socket(new_server):
    path = f"{new_server('redis').directory}/socket"
    assert check_works(f"unix://{path}") == f"unix://{path}"
    assert check_works({"connection": "redis", "unix_socket_path": path}) == f"unix://{path}"
    with flows.backend(f"unix://{path}") as backend, backend.get_connection() as conn:
        conn.validate()


# ---------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -keyout key.pem -out cert.pem"
    also = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *also], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def tls_port(certificate, new_server):
    """The TLS port of a server."""
    server = new_server("redis")
    with redis.Redis(port=server.port) as raw:
        raw.config_set("tls-cert-file", str(certificate / "cert.pem"))
        raw.config_set("tls-key-file", str(certificate / "key.pem"))
        raw.config_set("tls-ca-cert-file", str(certificate / "cert.pem"))
        raw.config_set("tls-auth-clients", "no")
        raw.config_set("tls-port", str(server.second_port))
    return server.second_port


def test_tls(tls_port, certificate):
    trusted = str(certificate / "cert.pem")
    assert (
        check_works(f"rediss://127.0.0.1:{tls_port}?ssl_ca_certs={trusted}")
        == f"rediss://127.0.0.1:{tls_port}"
    )
    conf = {
        "connection": "redis",
        "host": "127.0.0.1",
        "port": tls_port,
        "ssl": True,
        "ssl_ca_certs": trusted,
    }
    assert check_works(conf) == f"rediss://127.0.0.1:{tls_port}"
    assert (
        check_works(f"rediss://127.0.0.1:{tls_port}", ssl_cert_reqs="none")
        == f"rediss://127.0.0.1:{tls_port}"
    )


def test_tls_handshake_fails(tls_port, certificate, redis_url):
    assert "TLS handshake" in failure(f"rediss://:secret@127.0.0.1:{tls_port}")  # unknown authority
    named = f"rediss://:secret@localhost:{tls_port}?ssl_ca_certs={certificate / 'cert.pem'}"
    assert "TLS handshake" in failure(named)  # the certificate is for 127.0.0.1
    assert "rediss://" in failure(f"redis://127.0.0.1:{tls_port}")
    host = redis_url.removeprefix("redis://").partition("/")[0]
    assert "TLS" in failure(f"rediss://{host}", timeout=1)


# ---------------------------------------------------------------- sentinels


@pytest.fixture
def sentinels(new_server, tmp_path):
    """A primary, its replica and the sentinel that monitors them."""
    primary = new_server("redis")
    replica = new_server("redis", "--replicaof", "127.0.0.1", str(primary.port))
    settings = tmp_path / "sentinel.conf"
    settings.write_text(
        f"sentinel monitor mine 127.0.0.1 {primary.port} 1\n"
        "sentinel down-after-milliseconds mine 300\n"
        "sentinel failover-timeout mine 1000\n"
    )
    sentinel = new_server("redis-sentinel", str(settings))
    deadline = time.monotonic() + 20
    with redis.Redis(port=sentinel.port, decode_responses=True) as raw:
        while not raw.sentinel_slaves("mine") and time.monotonic() < deadline:
            time.sleep(0.05)  # it discovers replicas every few seconds
    return primary, replica, sentinel


def test_failover_to_another_primary(sentinels):
    primary, replica, sentinel = sentinels
    conf = {
        "connection": "redis",
        "host": "127.0.0.1",
        "port": 1,  # no sentinel there: the fallback is used
        "sentinel": "mine",
        "sentinel_fallbacks": [f"127.0.0.1:{sentinel.port}"],
        "sentinel_kwargs": {"socket_timeout": 5},
        "timeout": 60,
    }
    with backends.fetch(conf) as kv:
        kv.commit(puts=[Put("a", "1")])
        with redis.Redis(port=primary.port) as raw:
            assert raw.wait(1, 20_000) == 1
        primary.kill()
        kv.commit(puts=[Put("b", "1")])
        assert [item.key for item in kv.list()] == ["a", "b"]
    with backends.fetch(f"redis://127.0.0.1:{replica.port}") as kv:
        assert [item.key for item in kv.list()] == ["a", "b"]


def test_claim_survives_failover(sentinels):
    """With TaskFlow's options. Redis loses what has not been replicated, so the test waits for that."""
    primary, _, sentinel = sentinels
    conf = {"board": "redis", "host": "127.0.0.1", "port": sentinel.port, "sentinel": "mine", "ttl": 60}
    with (
        boards.backend("work", {**conf, "timeout": 60}) as board,
        boards.backend("work", {**conf, "timeout": 60}) as other,
    ):
        jobs = [board.post(f"job {number}") for number in range(3)]
        board.claim(jobs[0], "me")
        with redis.Redis(port=primary.port) as raw:
            assert raw.wait(1, 20_000) == 1
        primary.kill()
        assert other.find_owner(jobs[0]) == "me"
        with pytest.raises(exc.UnclaimableJob):
            other.claim(jobs[0], "you")
        for job in jobs[1:]:
            other.claim(job, "you")
            other.consume(job, "you")
        board.consume(jobs[0], "me")
        assert board.job_count == other.job_count == 0


def test_name_unknown_to_sentinels(sentinels):
    assert "No master found for 'yours'" in failure(f"redis://127.0.0.1:{sentinels[2].port}?sentinel=yours")


def test_commit_to_replica_fails(sentinels):
    assert "name the primary" in failure(f"redis://127.0.0.1:{sentinels[1].port}")


# ---------------------------------------------------------------- cluster


@pytest.fixture(scope="module")
def cluster_url(new_server_of_module):
    server = new_server_of_module("redis", "--cluster-enabled", "yes")
    with redis.Redis(port=server.port) as raw:
        raw.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        deadline = time.monotonic() + 20
        while (
            b"cluster_state:ok" not in raw.execute_command("CLUSTER", "INFO") and time.monotonic() < deadline
        ):
            time.sleep(0.02)  # the state is updated with a delay
    return server.url


class TestCluster(ComparedKVContract):
    EXAMPLES = 5
    TTL = 0.8

    @pytest.fixture
    def open_kv(self, cluster_url):
        url = f"{cluster_url}?cluster=yes&namespace={uuid.uuid4()}"
        return lambda: backends.fetch(url)


def test_cluster_option_without_cluster(redis_url):
    assert "omit cluster=yes" in failure(redis_url, cluster=True)


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ("redis://:se[cret@[127.0.0.1:1", "%XX"),
        ("redis://127.0.0.1:notaport", "host:port"),
        ({"connection": "redis", "port": "x"}, "'port'"),
        ({"connection": "redis", "colour": "red"}, "unknown option 'colour'"),
        ({"connection": "redis", "encoding": "latin-1"}, "UTF-8"),
        ({"connection": "redis", "namespace": ""}, "namespace"),
        ({"connection": "redis", "namespace": "{a}"}, "namespace"),
        ({"connection": "redis", "ssl_ca_certs": "/x"}, "rediss://"),
        ({"connection": "redis", "sentinel": "a", "cluster": "yes"}, "omit option"),
        ({"connection": "redis", "sentinel": "a", "sentinel_fallbacks": "b"}, "sentinel_fallbacks"),
        ({"connection": "redis", "sentinel": "a", "sentinel_kwargs": "["}, "sentinel_kwargs"),
    ],
)
def test_invalid_settings(conf, message):
    with pytest.raises(exc.InvalidFormat, match=message) as caught:
        backends.fetch(conf)
    assert "cret" not in str(caught.value)


def test_accepted_taskflow_options(redis_url):
    more = {"encoding": "UTF-8", "encoding_errors": "strict", "retry_on_timeout": "true"}
    assert check_works(redis_url, health_check_interval=30, socket_connect_timeout=5, **more) == redis_url


def test_options_beside_the_scheme(redis_url):
    host, _, port = redis_url.removeprefix("redis://").partition("/")[0].partition(":")
    assert (
        check_works({"connection": "redis", "host": host, "port": port, "db": 1}) == f"redis://{host}:{port}"
    )


def test_missing_database(redis_url):
    assert "lower number" in failure(f"{redis_url}/123456")
