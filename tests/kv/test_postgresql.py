"""The contract, on PostgreSQL."""

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
def url(postgresql_url):
    with databases.new_database(postgresql_url) as database:
        yield database.url


class TestPostgreSQL(ComparedKVContract, ProcessContract):
    # The server's clock cannot be stepped, and the machine may be busy.
    TTL = 0.8

    @pytest.fixture
    def open_kv(self, url):
        return lambda: backends.fetch(url)


class TestServer(LossyServerContract):
    EVERY = 25  # because a new connection needs several messages
    UNREACHABLE = DOWN = "cannot be reached"
    SHORT = {"timeout": 1, "statement_timeout": 1, "read_timeout": 1}  # noqa: RUF012  constant

    @pytest.fixture
    def server(self, new_server):
        return new_server("postgresql")


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


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"database": "no_such_database"}, "create it first"),
        ({"port": 1}, "cannot be reached"),
    ],
)
def test_unusable_databases(url, change, text):
    unusable = sa.make_url(url).set(**change).render_as_string(hide_password=False)
    with backends.fetch(f"{unusable}?timeout=1") as kv, pytest.raises(exc.StorageFailure, match=text):
        kv.get("a")


def test_invalid_url():
    with pytest.raises(exc.InvalidFormat, match="postgresql://"):
        backends.fetch("postgresql://host:notaport/db")


def test_external_transaction(url):
    """Items are committed or rolled back with the caller's rows."""
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    with backends.fetch(url) as kv:
        with engine.begin() as own:
            own.execute(sa.text("CREATE TABLE orders (name TEXT)"))
            with kv.external_transaction(own):
                first = kv.commit(puts=[Put("job/1", "1")])
        assert kv.get("job/1").version == first
        mark = kv.wait("job/")
        with contextlib.suppress(ZeroDivisionError), engine.begin() as own:
            own.execute(sa.text("INSERT INTO orders VALUES ('lost')"))
            with kv.external_transaction(own):
                kv.commit([Check("job/1", first)], [Put("job/2", "1")])
                assert [item.key for item in kv.list("job/")] == ["job/1", "job/2"]
            raise ZeroDivisionError
        assert [item.key for item in kv.list("job/")] == ["job/1"]
        with engine.begin() as own:
            own.execute(sa.text("INSERT INTO orders VALUES ('kept')"))
            with kv.external_transaction(own), pytest.raises(exc.Conflict):
                kv.commit([Check("job/1", ABSENT)], [Put("job/2", "1")])
            with kv.external_transaction(own):
                kv.commit(puts=[Put("job/2", "2")])
        assert kv.wait("job/", mark, timeout=5) != mark
        assert kv.get("job/2").value == "2"
        with engine.connect() as own:
            assert own.execute(sa.text("SELECT name FROM orders")).scalars().all() == ["kept"]
        with pytest.raises(exc.InvalidFormat, match="SQLAlchemy"), kv.external_transaction("no connection"):
            kv.get("job/1")
    engine.dispose()
