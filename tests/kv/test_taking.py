"""Items taken in a transaction: who takes beside it gets others, or none, and nothing is written twice."""

import threading
import uuid

import pytest
import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends
from stackl_flow.kv.items import Check, Put

KEYS = [f"w/{number:03}" for number in range(40)]
DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def address(request, tmp_path):
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/place.db"
        return
    url = request.getfixturevalue(f"{request.param}_url")
    name = f"taking_{uuid.uuid4().hex}"
    server = sa.create_engine(
        sa.make_url(url).set(drivername=DRIVERS[request.param]), isolation_level="AUTOCOMMIT"
    )
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
        yield url.rpartition("/")[0] + f"/{name}"
        connection.execute(sa.text(f"DROP DATABASE {name}"))
    server.dispose()


def move_some(kv, who):
    """Move up to three of the items; say which."""

    def work(take):
        had = []
        for key in KEYS:
            had += take([key])
            if len(had) == 3:
                break
        if had:
            kv.commit(
                [Check(item.key, item.version) for item in had],
                [Put(item.key.replace("w/", "done/"), who) for item in had],
                [item.key for item in had],
            )
        return [item.key for item in had]

    return kv.run_with_locks(work)


def test_many_take_and_nobody_is_refused(address):
    with backends.fetch(address) as kv:
        assert kv.supports_locks
        kv.commit(puts=[Put(key, "free") for key in KEYS])
        moved = []

        def run(who):
            with backends.fetch(address) as mine:
                while mine.list("w/"):
                    moved.extend(move_some(mine, who))

        threads = [threading.Thread(target=run, args=(f"t{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(moved) == KEYS
        assert len(kv.list("done/")) == len(KEYS)


def test_nothing_lands_when_it_raises(address):
    with backends.fetch(address) as kv:
        kv.commit(puts=[Put("w/000", "free")])

        def work(take):
            (item,) = take(["w/000", "w/001"])
            kv.commit([Check(item.key, item.version)], [Put("x", "1")], [item.key])
            assert kv.get("w/000") is None
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            kv.run_with_locks(work)
        assert [item.key for item in kv.list()] == ["w/000"]
        with pytest.raises(exc.NotSupported, match="cannot lock items"):
            backends.fetch("memory").run_with_locks(work)


def test_what_another_is_taking_is_passed_over(postgresql_url):
    keys = [f"{uuid.uuid4().hex}/{number}" for number in range(2)]
    with backends.fetch(postgresql_url) as kv, backends.fetch(postgresql_url) as other:
        kv.commit(puts=[Put(key, "free") for key in keys])

        def work(take):
            assert [item.key for item in take(keys[:1])] == keys[:1]
            return other.run_with_locks(lambda theirs: [item.key for item in theirs(keys)])

        assert kv.run_with_locks(work) == keys[1:]


def test_items_of_an_older_format_go_on(postgresql_url):
    """What was kept when commits came one after another has its versions, and later ones are higher."""
    name = f"old_{uuid.uuid4().hex}"
    server = sa.create_engine(
        sa.make_url(postgresql_url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    address = postgresql_url.rpartition("/")[0] + f"/{name}"
    with backends.fetch(address) as kv:
        kv.commit(puts=[Put("a", "1")])
    engine = sa.create_engine(sa.make_url(address).set(drivername="postgresql+psycopg"))
    with engine.begin() as old:
        for statement in (
            "ALTER TABLE kv_commits DROP COLUMN xid",
            "ALTER TABLE kv_commits RENAME TO kv_receipts",
            "ALTER TABLE kv_deletions RENAME TO kv_gone",
            "DROP SEQUENCE kv_versions",
            "UPDATE kv_items SET version = 700",
            "UPDATE kv_state SET format = 1, revision = 700",
        ):
            old.execute(sa.text(statement))
    engine.dispose()
    with backends.fetch(address) as kv:
        mark = kv.wait("a")
        assert kv.get("a").version == 700
        assert kv.commit([Check("a", 700)], [Put("a", "2")]) > 700
        assert kv.wait("a", mark, timeout=5) != mark
    with server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()
