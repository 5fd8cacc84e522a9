"""TLS by the address, with an authority made for the test: it works, and where it cannot, the error says why.

Redis has its own in test_redis_ways.
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
#: Seconds to wait for an answer, in an address.
SHORT = "timeout=2"


@pytest.fixture(scope="module")
def made():
    """The certificates; PostgreSQL wants the key to be its own."""
    have = {entry.pw_name for entry in pwd.getpwall()}
    folder, found = certificates.make("postgres" if os.geteuid() == 0 and "postgres" in have else "")
    yield found
    shutil.rmtree(folder)


def works(address):
    """Write, read and claim a job by an address."""
    with backends.fetch(address) as kv:
        key = f"tls/{uuid.uuid4()}"
        kv.commit(puts=[Put(key, "1")])
        mark = kv.wait(key)
        kv.commit(puts=[Put(key, "2")])
        assert kv.get(key).value == "2"
        assert kv.wait(key, mark, timeout=10) != mark
    with boards.backend(f"tls{uuid.uuid4()}", address) as board:
        board.consume(board.claim(board.post("job"), "me"), "me")


def refusal(address):
    """What is said by a place that cannot be used; never a password."""
    with backends.fetch(address) as kv, pytest.raises(exc.StorageFailure) as caught:
        kv.get("a")
    said = str(caught.value)
    assert WRONG not in said
    assert address.partition("://")[0] in said
    return said


@pytest.fixture(scope="module")
def postgresql(new_server_of_module, made, tmp_path_factory):
    """A server that lets one user in with TLS only, and another without it only."""
    rules = made.ca.replace("ca.pem", "pg_hba.conf")
    with open(rules, "w") as file:  # noqa: PTH123  beside the others
        file.write("hostssl all stackl 127.0.0.1/32 trust\nhostnossl all plain 127.0.0.1/32 trust\n")
    words = {"ssl": "on", "ssl_cert_file": made.cert, "ssl_key_file": made.key, "hba_file": rules}
    options = [word for name, value in words.items() for word in ("-c", f"{name}={value}")]
    return new_server_of_module("postgresql", *options).url


def test_postgresql(postgresql, made):
    works(f"{postgresql}?sslmode=verify-full&sslrootcert={made.ca}")
    works(f"{postgresql}?sslmode=require")
    said = refusal(f"{postgresql}?sslmode=verify-full&sslrootcert={made.stranger}")
    assert "failed in TLS: check the certificates" in said
    assert "pg_hba.conf" in refusal(f"{postgresql}?sslmode=disable")
    plain = postgresql.replace("stackl@", f"plain:{WRONG}@")
    assert "pg_hba.conf" in refusal(f"{plain}?sslmode=require")
    named = postgresql.replace("127.0.0.1", "localhost")
    assert "failed in TLS" in refusal(f"{named}?sslmode=verify-full&sslrootcert={made.ca}")


def test_postgresql_that_has_no_tls(postgresql_url):
    assert "has no TLS: switch it on" in refusal(f"{postgresql_url}?sslmode=require")


@pytest.fixture(scope="module")
def mysql(new_server_of_module, made):
    """A server with a user who has to come with TLS."""
    server = new_server_of_module("mysql", f"--ssl-cert={made.cert}", f"--ssl-key={made.key}")
    engine = sa.create_engine(sa.make_url(server.url).set(drivername="mysql+pymysql"))
    with engine.connect() as root:
        for statement in (
            f"CREATE USER safe@'127.0.0.1' IDENTIFIED BY '{WRONG}' REQUIRE SSL",
            "GRANT ALL ON stackl.* TO safe@'127.0.0.1'",
        ):
            root.exec_driver_sql(statement)
    engine.dispose()
    return server.url.replace("root@", f"safe:{WRONG}@")


def test_mysql(mysql, made):
    works(f"{mysql}?ssl_ca={made.ca}&ssl_verify_cert=yes&ssl_verify_identity=yes")
    said = refusal(f"{mysql}?ssl_ca={made.stranger}&ssl_verify_cert=yes")
    assert "failed in TLS" in said
    assert "TLS" in refusal(
        mysql.replace("127.0.0.1", "localhost") + f"?ssl_ca={made.ca}&ssl_verify_identity=yes"
    )
    works(mysql)  # the driver takes TLS where it is to be had, and trusts anybody if it is not told whom
    assert "check user and password" in refusal(mysql.replace(WRONG, f"not{WRONG}"))


def test_mysql_that_has_no_tls(mysql_url, made):
    assert "failed in TLS: switch it on" in refusal(f"{mysql_url}?ssl_ca={made.ca}")


@pytest.fixture(scope="module")
def etcd(new_server_of_module, made):
    return new_server_of_module("etcd-tls", f"--cert-file={made.cert}", f"--key-file={made.key}").url


def test_etcd(etcd, made):
    works(f"{etcd}?protocol=https&ca_cert={made.ca}")
    assert "do not agree on TLS" in refusal(f"{etcd}?protocol=https&ca_cert={made.stranger}&{SHORT}")
    named = etcd.replace("127.0.0.1", "localhost")
    assert "do not agree on TLS" in refusal(f"{named}?protocol=https&ca_cert={made.ca}&{SHORT}")
    assert "protocol" in refusal(f"{etcd}?{SHORT}")


@pytest.fixture(scope="module")
def zookeeper(new_server_of_module, made):
    return new_server_of_module("zookeeper-tls", made.both).url


# kazoo leaves the sockets open when the two do not agree on TLS.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_zookeeper(zookeeper, made, caplog):
    caplog.set_level(logging.CRITICAL + 1, "kazoo")  # what is logged would hold the sockets beyond the test
    works(f"{zookeeper}/{uuid.uuid4()}?use_ssl=yes&ca={made.ca}")
    assert "do not agree on TLS" in refusal(f"{zookeeper}/x?use_ssl=yes&ca={made.stranger}&{SHORT}")
    assert "use_ssl" in refusal(f"{zookeeper}/x?{SHORT}")
    gc.collect()
