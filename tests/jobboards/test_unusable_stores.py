"""Boards in stores that cannot be used: the error names the store and the remedy, soon, and no password."""

import logging
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.jobboards import backends

RIGHT, WRONG = "l3tmein", "hunter2"
#: Time-out in seconds; with a timeout of 1 in the URL, and on a loaded machine.
SOON = 20

PATHS = {"redis": "0"}
SERVERS = ["redis", "zookeeper", "etcd", "postgresql", "mysql"]


def connection_error(address, caplog, error=exc.StorageFailure):
    """Return the message of the error on connecting; neither it nor the log may contain a password."""
    caplog.set_level(logging.DEBUG)
    begun = time.monotonic()
    with pytest.raises(error) as caught:
        backends.fetch("b", address).connect()
    assert time.monotonic() - begun < SOON
    message = " ".join(str(caught.value).split())
    for text in (message, caplog.text, repr(caught.value)):
        assert RIGHT not in text
        assert WRONG not in text
    return message


def parts(address):
    scheme, _, rest = address.partition("://")
    return scheme, rest.rpartition("@")[2]


@pytest.mark.parametrize("server", SERVERS)
def test_no_server(server, caplog):
    user = f"guest:{WRONG}@" if server in {"redis", "postgresql", "mysql"} else ""
    message = connection_error(f"{server}://{user}127.0.0.1:1/{PATHS.get(server, 'x')}?timeout=1", caplog)
    assert "127.0.0.1:1" in message
    assert "runs and" in message.replace("run and", "runs and")


@pytest.mark.parametrize("server", SERVERS)
def test_an_unknown_host(server, caplog):
    message = connection_error(f"{server}://nowhere.invalid/{PATHS.get(server, 'x')}?timeout=1", caplog)
    assert "nowhere.invalid" in message
    assert any(word in message for word in ("can be reached", "cannot be found"))


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("redis://host?colour=red", "timeout"),
        ("zookeeper://host/x?colour=red", "use_ssl"),
        ("etcd://host/x?colour=red", "ca_cert"),
        ("postgresql://host/x?colour=red", "sslmode"),
        ("mysql://host/x?colour=red", "ssl_ca"),
        ("sqlite:///x.db?colour=red", "synchronous"),
        ("dir:///x?colour=red", "sync"),
    ],
)
def test_an_unknown_option(address, known, caplog):
    with pytest.raises(exc.InvalidFormat, match=f"unknown option 'colour' .*known options are .*{known}"):
        backends.fetch("b", address)


@pytest.mark.parametrize(
    "address",
    [
        f"redis://user:{WRONG}@host:port",
        f"zookeeper://user:{WRONG}@host:port/x",
        f"etcd://user:{WRONG}@host:port/x",
        f"postgresql://user:{WRONG}@host:port/x",
        f"mysql://user:{WRONG}@host:port/x",
        f"mysql://user:{WRONG}@host",
        f"mysql://user:p@{WRONG}@host:port/x",
        f"postgres://user:{WRONG}@host/x",
    ],
)
def test_the_error_of_an_invalid_url_has_no_password(address):
    with pytest.raises((exc.InvalidFormat, exc.NotFound)) as caught:
        backends.fetch("b", address)
    seen, error = "", caught.value
    while error is not None:
        seen += f"{error}{error!r}"
        error = error.__cause__
    assert WRONG not in seen
    assert address.partition("://")[0] in seen


@pytest.mark.parametrize(
    ("address", "driver", "extra"),
    [
        ("redis://host", "redis", "redis"),
        ("zookeeper://host/x", "kazoo", "zookeeper"),
        ("postgresql://host/x", "psycopg", "postgresql"),
        ("mariadb://host/x", "pymysql", "mysql"),
    ],
)
def test_a_driver_that_is_not_installed(address, driver, extra):
    """In a new process, in which nothing has been imported yet."""
    code = f"""
import sys
sys.modules[{driver!r}] = None
from stackl_flow import exceptions
from stackl_flow.jobboards import backends
try:
    backends.fetch("b", {address!r})
except exceptions.NotFound as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert driver in found.stdout
    assert f"stackl-flow[{extra}]" in found.stdout


# ---------------------------------------------------------------- authentication


def test_redis_password(new_server, caplog):
    server = new_server("redis", "--requirepass", RIGHT)
    host = parts(server.url)[1]
    for user in (f":{WRONG}@", "", f"guest:{WRONG}@"):
        message = connection_error(f"redis://{user}{host}", caplog)
        assert host in message
        assert "check user and password" in message
    assert "does not have that many databases" in connection_error(f"redis://:{RIGHT}@{host}/99", caplog)
    with backends.backend("b", f"redis://:{RIGHT}@{host}") as board:
        assert board.job_count == 0


@pytest.fixture
def guarded():
    """pg_hba.conf of a PostgreSQL server that accepts one user with a password."""
    folder = Path(tempfile.mkdtemp(prefix="stackl-flow-hba-"))
    folder.chmod(0o755)  # the server runs as another user
    rules = folder / "pg_hba.conf"
    rules.write_text("host all stackl 127.0.0.1/32 trust\nhost all locked 127.0.0.1/32 scram-sha-256\n")
    yield rules
    shutil.rmtree(folder)


def test_postgresql_passwords(new_server, guarded, caplog):
    server = new_server("postgresql", "-c", f"hba_file={guarded}")
    engine = sa.create_engine(sa.make_url(server.url).set(drivername="postgresql+psycopg"))
    with engine.begin() as owner:
        owner.execute(sa.text(f"CREATE ROLE locked LOGIN PASSWORD '{RIGHT}'"))
        owner.execute(sa.text("GRANT ALL ON SCHEMA public TO locked"))
    engine.dispose()
    host = parts(server.url)[1]
    assert "check user and password" in connection_error(f"postgresql://locked:{WRONG}@{host}", caplog)
    assert "check user and password" in connection_error(f"postgresql://locked@{host}", caplog)
    assert "allow this user and host in pg_hba.conf" in connection_error(
        f"postgresql://unknown:{WRONG}@{host}", caplog
    )
    missing = f"postgresql://locked:{RIGHT}@{host.rpartition('/')[0]}/nothing"
    message = connection_error(missing, caplog)
    assert "/nothing" in message
    assert "create it first" in message
    with backends.backend("b", f"postgresql://locked:{RIGHT}@{host}") as board:
        assert board.job_count == 0


def test_mysql_passwords(new_server, caplog):
    server = new_server("mysql")
    engine = sa.create_engine(sa.make_url(server.url).set(drivername="mysql+pymysql"))
    with engine.connect() as root:
        root.exec_driver_sql(f"CREATE USER locked@'127.0.0.1' IDENTIFIED BY '{RIGHT}'")
        root.exec_driver_sql("GRANT ALL ON `stackl`.* TO locked@'127.0.0.1'")
        root.exec_driver_sql("GRANT ALL ON `nothing`.* TO locked@'127.0.0.1'")
    engine.dispose()
    host = parts(server.url)[1]
    for user in (f"locked:{WRONG}", "locked", f"unknown:{WRONG}"):
        message = connection_error(f"mysql://{user}@{host}", caplog)
        assert host in message
        assert "check user and password" in message
    message = connection_error(f"mysql://locked:{RIGHT}@{host.rpartition('/')[0]}/nothing", caplog)
    assert "/nothing" in message
    assert "create it first" in message
    with backends.backend("b", f"mysql://locked:{RIGHT}@{host}") as board:
        assert board.job_count == 0


# ---------------------------------------------------------------- outages


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_goes_away_and_comes_back(kind, new_server, caplog):
    """A post fails soon; jobs that were posted before are there afterwards."""
    caplog.set_level(logging.DEBUG)
    server = new_server(kind)
    address = f"{server.url}{'/b' if kind in {'etcd', 'zookeeper'} else ''}?timeout=1"
    with backends.backend("b", address) as board:
        job = board.post("kept")
        server.kill()
        begun = time.monotonic()
        with pytest.raises(exc.StorageFailure) as caught:
            board.post("lost")
        assert time.monotonic() - begun < SOON
        assert f"127.0.0.1:{server.port}" in str(caught.value)
        server.start()
        assert job.uuid in {each.uuid for each in board.iterjobs()}
        board.consume(board.claim(job, "me"), "me")


def test_a_file_and_a_directory_that_cannot_be_written(tmp_path, caplog):
    (tmp_path / "file").write_text("this is no folder")
    assert "file" in connection_error(f"sqlite:///{tmp_path}/file/jobs.db", caplog)
    assert "file" in connection_error(f"dir://{tmp_path}/file/jobs", caplog)
    assert "not a SQLite database" in connection_error(f"sqlite:///{tmp_path}/file", caplog)
