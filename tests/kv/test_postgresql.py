"""The contract, on PostgreSQL."""

import contextlib
from contextlib import closing

import pytest
import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends
from stackl_flow.kv.items import ABSENT, PRESENT, Check, Put
from stackl_flow.testing.contracts.kv import ProcessContract
from tests.support import databases
from tests.support.kv_machine import ComparedKVContract
from tests.support.lossy_proxy import LossyProxy, LossyServerContract


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


def test_a_commit_is_one_round_trip(url):
    """Whether it is applied or refused; the answer that is cut is found again by its token."""
    proxy = LossyProxy(sa.make_url(url).port)
    through = sa.make_url(url).set(port=proxy.port).render_as_string(hide_password=False)
    with closing(proxy), backends.fetch(through) as kv:
        lease = kv.grant(60)
        kv.commit(puts=[Put("a", "0"), Put("b", "0")])
        version = kv.commit([Check("a", PRESENT)], [Put("a", "0", lease.id)])
        before = proxy.responses
        version = kv.commit([Check("a", version), Check("c", ABSENT)], [Put("a", "1", lease.id)], ["b"])
        assert proxy.responses == before + 1
        with pytest.raises(exc.Conflict, match="'a'"):
            kv.commit([Check("a", version + 1)], [Put("a", "2")])
        assert proxy.responses == before + 2
        assert [(item.key, item.value, item.version) for item in kv.list()] == [("a", "1", version)]
        proxy.cut_in = 1
        assert kv.commit([Check("a", version)], [Put("a", "3")]) == kv.get("a").version
        assert (proxy.lost, kv.get("a").value) == (1, "3")


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
