"""SQLite keeps the contract, in a file and in memory."""

import contextlib
import sqlite3

import pytest
import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends
from stackl_flow.kv.items import ABSENT, Check, Put
from stackl_flow.persistence import backends as flows
from stackl_flow.testing.clock import SteppedClock
from stackl_flow.testing.contracts.kv import ProcessContract
from tests.support.kv_machine import ComparedKVContract


class TestFile(ComparedKVContract, ProcessContract):
    STEPPED = True
    clock = SteppedClock()

    @pytest.fixture
    def open_kv(self, tmp_path):
        address = f"sqlite:///{tmp_path}/place.db?synchronous=OFF"
        return lambda: backends.fetch(address, clock=self.clock)

    def pass_time(self, seconds):
        self.clock.step(seconds)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "place.db"


def test_in_memory():
    with backends.fetch("sqlite://") as kv:
        version = kv.commit(puts=[Put("a", "1"), Put("b", "1")])
        with kv.snapshot():
            assert [item.key for item in kv.list()] == ["a", "b"]
            with pytest.raises(exc.StorageFailure, match="snapshot"):
                kv.commit(deletes=["a"])
        kv.commit([Check("a", version)], deletes=["a"])
        mark = kv.wait("b")
        assert kv.wait("b", mark, timeout=0.01) == mark
        kv.commit(puts=[Put("b", "2")])
        assert kv.wait("b", mark, timeout=5) > mark


def test_a_moment_does_not_see_what_comes_after_it_began(path):
    with backends.fetch(f"sqlite:///{path}") as one, backends.fetch(f"sqlite:///{path}") as two:
        one.commit(puts=[Put("a", "1")])
        with one.snapshot():
            assert one.get("a").value == "1"
            two.commit(puts=[Put("a", "2")])
            assert one.get("a").value == "1"
        assert one.get("a").value == "2"


def test_lies_beside_flows_in_one_file(path):
    with flows.backend(f"sqlite:///{path}") as backend, backends.fetch(f"sqlite:///{path}") as kv:
        kv.commit(puts=[Put("a", "1")])
        with backend.get_connection() as conn:
            conn.validate()
            assert conn.get_logbooks() == []


def test_relative_path_is_meant_from_where_it_was_given(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with backends.fetch("sqlite:///place.db") as kv:
        monkeypatch.chdir(tmp_path / "elsewhere")
        kv.commit(puts=[Put("a", "1")])
    assert (tmp_path / "place.db").exists()


def test_waiter_is_woken_when_a_lease_runs_out(path):
    with backends.fetch(f"sqlite:///{path}") as kv:
        lease = kv.grant(0.1)
        kv.commit(puts=[Put("a", "1", lease.id)])
        mark = kv.wait()
        assert kv.wait("a", mark, timeout=30) != mark
        assert kv.get("a") is None


def test_deletions_are_not_remembered_for_ever(path):
    with backends.fetch(f"sqlite:///{path}?synchronous=OFF") as kv:
        mark = kv.wait()
        kv.commit(puts=[Put("a", "1")])
        kv.commit(deletes=["a"])
        with sqlite3.connect(path) as raw:  # as if five thousand commits had been made since
            raw.execute("UPDATE kv_state SET revision = 5119")
        kv.commit(deletes=["b"])
        with sqlite3.connect(path) as raw:
            assert raw.execute("SELECT * FROM kv_deletions").fetchall() == []
        raw.close()
        assert kv.wait("a", mark, timeout=5) != mark


def test_newer_format_is_refused(path):
    with backends.fetch(f"sqlite:///{path}") as kv:
        kv.commit(puts=[Put("a", "1")])
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE kv_state SET format = 4")
    raw.close()
    with backends.fetch(f"sqlite:///{path}") as kv, pytest.raises(exc.IncompatibleVersion, match="format 4"):
        kv.get("a")


@pytest.mark.parametrize(
    ("made", "word"),
    [("missing/place.db", "directory"), ("text", "not a SQLite database"), ("", "directory")],
)
def test_what_is_no_database(made, word, tmp_path):
    (tmp_path / "text").write_text("this is no database, and long enough to be looked at" * 20)
    with (
        backends.fetch(f"sqlite:///{tmp_path}/{made}") as kv,
        pytest.raises(exc.StorageFailure, match=word),
    ):
        kv.commit(puts=[Put("a", "1")])


def test_another_writer_is_not_waited_for_for_ever(path):
    with backends.fetch(f"sqlite:///{path}?timeout=0.05") as kv:
        kv.commit(puts=[Put("a", "1")])
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(exc.StorageFailure, match=r"locked.*timeout"):
            kv.commit(puts=[Put("a", "2")])
        other.execute("ROLLBACK")
        other.close()
        kv.commit(puts=[Put("a", "2")])


def test_option_that_makes_no_sense():
    with pytest.raises(exc.InvalidFormat, match="FULL"):
        backends.fetch("sqlite:///x.db?synchronous=perhaps")


def test_joins_a_transaction_of_the_callers_own(path):
    """What is written with the caller's rows lands with them, or not at all."""
    engine = sa.create_engine(f"sqlite:///{path}")
    with backends.fetch(f"sqlite:///{path}") as kv:
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
