"""The contract, on MariaDB."""

import contextlib

import pytest
import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends
from stackl_flow.kv.items import ABSENT, Check, Put
from stackl_flow.testing.contracts.kv import ProcessContract
from tests.support import databases
from tests.support.kv_machine import ComparedKVContract
from tests.support.lossy_proxy import LossyServerContract


@pytest.fixture
def url(mysql_url):
    with databases.new_database(mysql_url, "CHARACTER SET latin1") as database:
        yield database.url


class TestMariaDB(ComparedKVContract, ProcessContract):
    # No waiter of another process is woken: each polls.
    ROUND_TRIPS = 3
    # The server's clock cannot be stepped, and the machine may be busy.
    TTL = 0.8
    EXAMPLES = 20

    @pytest.fixture
    def open_kv(self, url):
        return lambda: backends.fetch(url)


def test_keys_that_differ_in_case(url):
    """Keys are compared by their bytes, whatever the collation of the database."""
    with backends.fetch(url.replace("mysql:", "mariadb:")) as kv:
        kv.commit([Check(key, ABSENT) for key in "aABb"], [Put(key, key) for key in "aABb"])
        assert [(item.key, item.value) for item in kv.list()] == [(key, key) for key in "ABab"]


class TestServer(LossyServerContract):
    EVERY = 25  # because a new connection needs several messages
    UNREACHABLE = DOWN = "cannot be reached"
    SHORT = {"timeout": 1, "statement_timeout": 1, "read_timeout": 1}  # noqa: RUF012  constant

    @pytest.fixture
    def server(self, new_server):
        return new_server("mysql")


def test_a_commit_whose_answer_is_lost_is_applied_once(url):
    """The connection is cut right after the commit: the next attempt finds it by its token."""
    with backends.fetch(url) as kv:
        version = kv.commit(puts=[Put("a", "0")])
        cut = []

        def cut_once(_connection, cursor, statement, *_):
            if statement == "COMMIT" and not cut:
                cut.append(cursor)
                raw = cursor.connection
                raw.commit()
                raw.close()

        sa.event.listen(kv._session.engine, "before_cursor_execute", cut_once)
        applied = kv.commit([Check("a", version)], [Put("a", "1")])
        assert cut
        assert (applied, kv.get("a").value) == (version + 1, "1")


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "READ COMMITTED"])
def test_external_transaction(url, isolation):
    """Items are committed or rolled back with the caller's rows; commits of others are visible inside."""
    engine = sa.create_engine(sa.make_url(url).set(drivername="mysql+pymysql"), isolation_level=isolation)
    with backends.fetch(url) as kv, backends.fetch(url) as other:
        with engine.begin() as own:
            own.execute(sa.text("CREATE TABLE orders (name TEXT)"))
            with kv.external_transaction(own):
                first = kv.commit(puts=[Put("job/1", "1")])
        mark = kv.wait("job/")
        with contextlib.suppress(ZeroDivisionError), engine.begin() as own:
            own.execute(sa.text("INSERT INTO orders VALUES ('lost')"))
            with kv.external_transaction(own):
                kv.commit([Check("job/1", first)], [Put("job/2", "1")])
                assert [item.key for item in kv.list("job/")] == ["job/1", "job/2"]
            raise ZeroDivisionError
        assert [item.key for item in kv.list("job/")] == ["job/1"]
        with engine.begin() as own:
            assert own.execute(sa.text("SELECT count(*) FROM orders")).scalar_one() == 0
            other.commit([Check("job/3", ABSENT)], [Put("job/3", "theirs")])
            own.execute(sa.text("INSERT INTO orders VALUES ('kept')"))
            with kv.external_transaction(own), pytest.raises(exc.Conflict):
                kv.commit([Check("job/3", ABSENT)], [Put("job/3", "ours")])
            with kv.external_transaction(own):
                assert kv.get("job/3").value == "theirs"
                kv.commit(puts=[Put("job/2", "2")])
        assert kv.wait("job/", mark, timeout=5) != mark
        assert kv.get("job/2").value == "2"
        with engine.connect() as own:
            assert own.execute(sa.text("SELECT name FROM orders")).scalars().all() == ["kept"]
    engine.dispose()
