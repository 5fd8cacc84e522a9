"""TLS options in URLs, with an authority made for the test: what connects, and what the errors say.

TLS to Redis is in test_redis_connections.
"""

import gc
import logging
import os
import pwd
import shutil
import uuid

import pytest
import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.jobboards import backends as boards
from stackl_flow.kv import backends
from stackl_flow.kv.items import Put
from tests.kv import certificates

WRONG = "hunter2"
#: Seconds to wait for an answer, as an option of a URL.
SHORT = "timeout=2"


@pytest.fixture(scope="module")
def files():
    """The certificates; PostgreSQL requires that it owns the key."""
    users = {entry.pw_name for entry in pwd.getpwall()}
    folder, files = certificates.make("postgres" if os.geteuid() == 0 and "postgres" in users else "")
    yield files
    shutil.rmtree(folder)


def check_works(url):
    """Write, read and claim a job."""
    with backends.fetch(url) as kv:
        key = f"tls/{uuid.uuid4()}"
        kv.commit(puts=[Put(key, "1")])
        mark = kv.wait(key)
        kv.commit(puts=[Put(key, "2")])
        assert kv.get(key).value == "2"
        assert kv.wait(key, mark, timeout=10) != mark
    with boards.backend(f"tls{uuid.uuid4()}", url) as board:
        board.consume(board.claim(board.post("job"), "me"), "me")


def failure(url):
    """Return the message of the error when a store is used; it never has a password."""
    with backends.fetch(url) as kv, pytest.raises(exc.StorageFailure) as caught:
        kv.get("a")
    message = str(caught.value)
    assert WRONG not in message
    assert url.partition("://")[0] in message
    return message


@pytest.fixture(scope="module")
def postgresql(new_server_of_module, files, tmp_path_factory):
    """A server that accepts one user only with TLS, and another only without."""
    rules = files.ca.replace("ca.pem", "pg_hba.conf")
    with open(rules, "w") as file:  # noqa: PTH123  beside the others
        file.write("hostssl all stackl 127.0.0.1/32 trust\nhostnossl all plain 127.0.0.1/32 trust\n")
    settings = {"ssl": "on", "ssl_cert_file": files.cert, "ssl_key_file": files.key, "hba_file": rules}
    options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
    return new_server_of_module("postgresql", *options).url


def test_postgresql(postgresql, files):
    check_works(f"{postgresql}?sslmode=verify-full&sslrootcert={files.ca}")
    check_works(f"{postgresql}?sslmode=require")
    message = failure(f"{postgresql}?sslmode=verify-full&sslrootcert={files.other_ca}")
    assert "failed in TLS: check the certificates" in message
    assert "pg_hba.conf" in failure(f"{postgresql}?sslmode=disable")
    plain = postgresql.replace("stackl@", f"plain:{WRONG}@")
    assert "pg_hba.conf" in failure(f"{plain}?sslmode=require")
    named = postgresql.replace("127.0.0.1", "localhost")
    assert "failed in TLS" in failure(f"{named}?sslmode=verify-full&sslrootcert={files.ca}")


def test_postgresql_without_tls(postgresql_url):
    assert "has no TLS: enable it on the server" in failure(f"{postgresql_url}?sslmode=require")


@pytest.fixture(scope="module")
def mysql(new_server_of_module, files):
    """A server with a user that requires TLS."""
    server = new_server_of_module("mysql", f"--ssl-cert={files.cert}", f"--ssl-key={files.key}")
    engine = sa.create_engine(sa.make_url(server.url).set(drivername="mysql+pymysql"))
    with engine.connect() as root:
        for statement in (
            f"CREATE USER safe@'127.0.0.1' IDENTIFIED BY '{WRONG}' REQUIRE SSL",
            "GRANT ALL ON stackl.* TO safe@'127.0.0.1'",
        ):
            root.exec_driver_sql(statement)
    engine.dispose()
    return server.url.replace("root@", f"safe:{WRONG}@")


def test_mysql(mysql, files):
    check_works(f"{mysql}?ssl_ca={files.ca}&ssl_verify_cert=yes&ssl_verify_identity=yes")
    message = failure(f"{mysql}?ssl_ca={files.other_ca}&ssl_verify_cert=yes")
    assert "failed in TLS" in message
    assert "TLS" in failure(
        mysql.replace("127.0.0.1", "localhost") + f"?ssl_ca={files.ca}&ssl_verify_identity=yes"
    )
    check_works(mysql)  # TLS is opportunistic; the certificate is not verified
    assert "check user and password" in failure(mysql.replace(WRONG, f"not{WRONG}"))


def test_mysql_without_tls(mysql_url, files):
    assert "failed in TLS: enable it on the server" in failure(f"{mysql_url}?ssl_ca={files.ca}")


@pytest.fixture(scope="module")
def etcd(new_server_of_module, files):
    return new_server_of_module("etcd-tls", f"--cert-file={files.cert}", f"--key-file={files.key}").url


def test_etcd(etcd, files):
    check_works(f"{etcd}?protocol=https&ca_cert={files.ca}")
    assert "TLS handshake" in failure(f"{etcd}?protocol=https&ca_cert={files.other_ca}&{SHORT}")
    named = etcd.replace("127.0.0.1", "localhost")
    assert "TLS handshake" in failure(f"{named}?protocol=https&ca_cert={files.ca}&{SHORT}")
    assert "protocol" in failure(f"{etcd}?{SHORT}")


@pytest.fixture(scope="module")
def zookeeper(new_server_of_module, files):
    return new_server_of_module("zookeeper-tls", files.both).url


# kazoo leaves the sockets open when a TLS handshake fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_zookeeper(zookeeper, files, caplog):
    caplog.set_level(logging.CRITICAL + 1, "kazoo")  # log records would keep the sockets beyond the test
    check_works(f"{zookeeper}/{uuid.uuid4()}?use_ssl=yes&ca={files.ca}")
    assert "TLS handshake" in failure(f"{zookeeper}/x?use_ssl=yes&ca={files.other_ca}&{SHORT}")
    assert "use_ssl" in failure(f"{zookeeper}/x?{SHORT}")
    gc.collect()
