"""What an idle conductor asks its server: next to nothing, whatever is stored there or happens beside it."""

import contextlib
import threading
import time
import uuid

import pytest
import sqlalchemy as sa

from stackl_flow.conductors import Conductor
from stackl_flow.jobboards import backends
from tests.support import databases
from tests.support.counting_proxy import CountingProxy

#: Seconds for a conductor to settle, and to be watched.
SETTLE, WATCHED = 3.0, 6.0
LONG = 20.0


@contextlib.contextmanager
def idle_conductor(url):
    """Run a conductor for a board without jobs that it can claim, until it has settled."""
    with backends.backend("work", url) as board:
        conductor = Conductor("idle", board)
        started = threading.Event()
        conductor.notifier.register("*", lambda *_, **__: started.set())
        thread = threading.Thread(target=conductor.run)
        thread.start()
        try:
            time.sleep(SETTLE)
            yield started
        finally:
            conductor.stop()
            thread.join()


@contextlib.contextmanager
def busy_neighbour(url):
    """Post, claim and consume jobs on another board in the same store."""
    stopped = threading.Event()

    def work():
        with backends.backend("neighbour", url) as board:
            while not stopped.wait(0.01):
                board.consume(board.claim(board.post("one"), "neighbour"), "neighbour")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


@contextlib.contextmanager
def empty_store(kind, url):
    """Yield the URL of an empty store on a server."""
    if kind in {"postgresql", "mysql"}:
        with databases.new_database(url) as database:
            yield database.url
    elif kind == "redis":
        yield f"{url}?namespace={uuid.uuid4()}"
    else:
        yield f"{url.rstrip('/')}/{uuid.uuid4().hex}"


#: Requests a minute. MariaDB does not notify: one query a second, and one for the lease every five seconds.
BOUNDS = {"redis": 60, "etcd": 60, "zookeeper": 60, "postgresql": 60, "mysql": 80}


@pytest.mark.parametrize("kind", BOUNDS)
def test_an_idle_conductor_asks_next_to_nothing(kind, request):
    """Neither claimed jobs with large details nor a busy board in the same store change that."""
    server = request.getfixturevalue(f"{kind}_url")
    with (
        empty_store(kind, server) as url,
        CountingProxy(url) as proxy,
        backends.backend("work", {"connection": url, "ttl": 120}) as board,
    ):
        for number in range(20):
            job = board.post(f"claimed {number}", details={"text": "x" * 100_000})
            board.claim(job, "another")
        with busy_neighbour(url), idle_conductor(proxy.url) as started:
            requests, received = proxy.requests, proxy.received
            time.sleep(WATCHED)
            requests, received = proxy.requests - requests, proxy.received - received
            assert requests <= BOUNDS[kind] / 60 * WATCHED + 2
            assert received < 10_000
            board.post("one")
            assert started.wait(LONG)


def test_an_idle_conductor_on_sqlite(tmp_path):
    """One small query a second; no claimed job is read, and a busy board in the same file wakes nothing."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    statements = []

    def count(_connection, _cursor, statement, *_):
        if threading.current_thread() is not threading.main_thread() and counting.is_set():
            statements.append((threading.current_thread().name, statement))

    counting = threading.Event()
    with backends.backend("work", {"connection": url, "ttl": 120}) as board:
        board.claim(board.post("claimed", details={"text": "x" * 100_000}), "another")
        with busy_neighbour(url), idle_conductor(url) as started:
            sa.event.listen(sa.Engine, "before_cursor_execute", count)
            try:
                counting.set()
                time.sleep(WATCHED)
                counting.clear()
            finally:
                sa.event.remove(sa.Engine, "before_cursor_execute", count)
            (conductor,) = {name for name, _ in statements if "run" in name} or {""}
            own = [statement for name, statement in statements if name == conductor]
            assert len(own) <= WATCHED + 2
            assert all("kv_state" in statement for statement in own)
            board.post("one")
            assert started.wait(LONG)
