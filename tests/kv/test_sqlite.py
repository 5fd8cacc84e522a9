"""The contract, on a SQLite file and in memory."""

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
        url = f"sqlite:///{tmp_path}/store.db?synchronous=OFF"
        return lambda: backends.fetch(url, clock=self.clock)

    def pass_time(self, seconds):
        self.clock.step(seconds)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


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


def test_a_snapshot_does_not_see_later_commits(path):
    with backends.fetch(f"sqlite:///{path}") as one, backends.fetch(f"sqlite:///{path}") as two:
        one.commit(puts=[Put("a", "1")])
        with one.snapshot():
            assert one.get("a").value == "1"
            two.commit(puts=[Put("a", "2")])
            assert one.get("a").value == "1"
        assert one.get("a").value == "2"


def test_items_and_flows_in_one_file(path):
    with flows.backend(f"sqlite:///{path}") as backend, backends.fetch(f"sqlite:///{path}") as kv:
        kv.commit(puts=[Put("a", "1")])
        with backend.get_connection() as conn:
            conn.validate()
            assert conn.get_logbooks() == []


def test_a_relative_path_is_resolved_when_it_is_given(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with backends.fetch("sqlite:///store.db") as kv:
        monkeypatch.chdir(tmp_path / "elsewhere")
        kv.commit(puts=[Put("a", "1")])
    assert (tmp_path / "store.db").exists()


def test_a_waiter_wakes_when_a_lease_expires(path):
    with backends.fetch(f"sqlite:///{path}") as kv:
        lease = kv.grant(0.1)
        kv.commit(puts=[Put("a", "1", lease.id)])
        mark = kv.wait()
        assert kv.wait("a", mark, timeout=30) != mark
        assert kv.get("a") is None


def test_old_deletions_are_removed(path):
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
    [("missing/store.db", "directory"), ("text", "not a SQLite database"), ("", "directory")],
)
def test_unusable_files(made, word, tmp_path):
    (tmp_path / "text").write_text("this is plain text, and longer than the header of a database" * 20)
    with (
        backends.fetch(f"sqlite:///{tmp_path}/{made}") as kv,
        pytest.raises(exc.StorageFailure, match=word),
    ):
        kv.commit(puts=[Put("a", "1")])


def test_a_locked_file(path):
    with backends.fetch(f"sqlite:///{path}?timeout=0.05") as kv:
        kv.commit(puts=[Put("a", "1")])
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(exc.StorageFailure, match=r"locked.*timeout"):
            kv.commit(puts=[Put("a", "2")])
        other.execute("ROLLBACK")
        other.close()
        kv.commit(puts=[Put("a", "2")])


def test_invalid_option():
    with pytest.raises(exc.InvalidFormat, match="FULL"):
        backends.fetch("sqlite:///x.db?synchronous=perhaps")


def test_external_transaction(path):
    """Items are committed or rolled back with the caller's rows."""
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
