"""Change feeds: entries of each writer arrive in order and once, and old ones are deleted."""

import queue

import pytest

from stackl_flow.coordination.change_feed import KEPT, FeedWatcher, FeedWriter
from stackl_flow.kv import backends

PREFIX = "app/feed/"
LONG = 20.0


@pytest.fixture
def kv():
    with backends.fetch("memory://") as kv:
        yield kv


@pytest.fixture
def received():
    return queue.Queue()


@pytest.fixture
def watcher(kv, received):
    watcher = FeedWatcher(kv, PREFIX, received.put)
    yield watcher
    watcher.stop()


def commit(kv, writer, entry):
    put, expired = writer.append(entry)
    kv.commit((), [put], expired)


def test_entries_of_a_writer_arrive_in_order(kv, watcher, received):
    first, second = FeedWriter(PREFIX), FeedWriter(PREFIX)
    commit(kv, first, '"before"')
    watcher.start()
    watcher.start()
    for number in range(5):
        commit(kv, first, f'["first", {number}]')
        commit(kv, second, f'["second", {number}]')
    entries = [received.get(timeout=LONG) for _ in range(10)]
    for name in ("first", "second"):
        own = [entry for entry in entries if name in entry]
        assert own == [f'["{name}", {number}]' for number in range(5)]
    watcher.stop()
    assert received.empty()


def test_a_writer_keeps_its_last_entries(kv):
    writer = FeedWriter(PREFIX)
    for number in range(KEPT + 5):
        commit(kv, writer, str(number))
    assert [int(item.value) for item in kv.list(PREFIX)] == list(range(5, KEPT + 5))


def test_other_prefixes_are_not_read(kv, watcher, received):
    watcher.start()
    commit(kv, FeedWriter("app/other/"), '"other"')
    commit(kv, FeedWriter(PREFIX), '"mine"')
    assert received.get(timeout=LONG) == '"mine"'
