"""Items locked in a transaction: concurrent ones lock others, or none, and nothing is written twice."""

import threading
import uuid

import pytest
import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends
from stackl_flow.kv.items import Check, Put
from tests.support import databases

KEYS = [f"w/{number:03}" for number in range(40)]


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
        return
    with databases.new_database(request.getfixturevalue(f"{request.param}_url")) as database:
        yield database.url


def move_some(kv, who):
    """Move up to three of the items, and return their keys."""

    def work(lock_items):
        locked = []
        for key in KEYS:
            locked += lock_items([key])
            if len(locked) == 3:
                break
        if locked:
            kv.commit(
                [Check(item.key, item.version) for item in locked],
                [Put(item.key.replace("w/", "done/"), who) for item in locked],
                [item.key for item in locked],
            )
        return [item.key for item in locked]

    return kv.run_with_locks(work)


def test_concurrent_transactions_do_not_conflict(url):
    with backends.fetch(url) as kv:
        assert kv.supports_locks
        kv.commit(puts=[Put(key, "free") for key in KEYS])
        claimed = []

        def run(who):
            with backends.fetch(url) as mine:
                while mine.list("w/"):
                    claimed.extend(move_some(mine, who))

        threads = [threading.Thread(target=run, args=(f"t{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(claimed) == KEYS
        assert len(kv.list("done/")) == len(KEYS)


def test_an_exception_rolls_back(url):
    with backends.fetch(url) as kv:
        kv.commit(puts=[Put("w/000", "free")])

        def work(lock_items):
            (item,) = lock_items(["w/000", "w/001"])
            kv.commit([Check(item.key, item.version)], [Put("x", "1")], [item.key])
            assert kv.get("w/000") is None
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            kv.run_with_locks(work)
        assert [item.key for item in kv.list()] == ["w/000"]
        with pytest.raises(exc.NotSupported, match="cannot lock items"):
            backends.fetch("memory").run_with_locks(work)


def test_locked_items_are_skipped(postgresql_url):
    keys = [f"{uuid.uuid4().hex}/{number}" for number in range(2)]
    with backends.fetch(postgresql_url) as kv, backends.fetch(postgresql_url) as other:
        kv.commit(puts=[Put(key, "free") for key in keys])

        def work(lock_items):
            assert [item.key for item in lock_items(keys[:1])] == keys[:1]
            return other.run_with_locks(lambda theirs: [item.key for item in theirs(keys)])

        assert kv.run_with_locks(work) == keys[1:]


DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
OLD_FORMAT = (
    "ALTER TABLE kv_commits RENAME TO kv_receipts",
    "ALTER TABLE kv_deletions RENAME TO kv_gone",
    "UPDATE kv_items SET version = 700",
    "UPDATE kv_state SET format = 1, revision = 700",
)


def test_an_older_format_is_upgraded(url):
    """Items keep their versions, and later versions are greater."""
    with backends.fetch(url) as kv:
        kv.commit(puts=[Put("a", "1")])
    kind = url.partition("://")[0]
    engine = sa.create_engine(sa.make_url(url).set(drivername=DRIVERS[kind]))
    with engine.begin() as old:
        if kind == "postgresql":
            old.execute(sa.text("ALTER TABLE kv_commits DROP COLUMN xid"))
            old.execute(sa.text("DROP SEQUENCE kv_versions"))
        for statement in OLD_FORMAT:
            old.execute(sa.text(statement))
    engine.dispose()
    with backends.fetch(url) as kv:
        mark = kv.wait("a")
        assert kv.get("a").version == 700
        assert kv.commit([Check("a", 700)], [Put("a", "2")]) > 700
        assert kv.wait("a", mark, timeout=5) != mark
