"""A directory store keeps every commit when its process is killed at any call that changes a file."""

import os
import random
import signal
import time
from functools import partial

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends
from stackl_flow.kv.backends.directory import store as directory
from stackl_flow.kv.items import ABSENT, PRESENT, Check, Put
from stackl_flow.testing.crash import EffectLog, in_child, start_child, wait_child
from tests.support.file_calls import FileCalls

pytestmark = pytest.mark.slow

#: Each step is one commit: checks, puts, deletes.
STEPS = [
    ([], [Put("a", "1"), Put("b/c", "1"), Put("b/d", "1")], []),
    ([Check("a", PRESENT)], [Put("a", "2" * 300), Put("b/c/e", "2")], ["b/d"]),
    ([], [Put("b/d", "3"), Put("x/y/z", "3")], ["nothing"]),
    ([Check("new", ABSENT)], [Put("new", "4"), Put("b/c", "4")], ["a", "x/y/z"]),
    ([], [Put("a", "5"), Put("b/c/e", "5" * 200)], ["b/c", "new"]),
    ([], [], ["a", "b/c/e", "b/d"]),
    ([Check("a", ABSENT)], [Put("a", "7"), Put("last", "7")], []),
]


def states():
    """Return the items after each number of steps."""
    items, after = {}, [{}]
    for _, puts, deletes in STEPS:
        items = {key: value for key, value in items.items() if key not in deletes}
        items.update((put.key, put.value) for put in puts)
        after.append(items)
    return after


class Run:
    def __init__(self, folder, options):
        self.url = f"dir://{folder}/kv?{options}"
        self.effects = EffectLog(folder / "effects")
        self.count = folder / "count"
        folder.mkdir(exist_ok=True)

    def work(self, calls):
        """Do the remaining steps, and record each one that is committed."""
        with backends.fetch(self.url) as kv, calls.counted():
            for number in range(self.done(kv), len(STEPS)):
                checks, puts, deletes = STEPS[number]
                kv.commit(checks, [*puts, Put("done", str(number + 1))], deletes)
                self.effects.append(str(number + 1))
        self.count.write_text(str(calls.made))

    def done(self, kv):
        item = kv.get("done")
        return 0 if item is None else int(item.value)

    def items(self):
        with backends.fetch(self.url) as kv:
            items = {item.key: item.value for item in kv.list()}
            for key, value in items.items():
                assert kv.get(key).value == value
            return items


@pytest.mark.parametrize(
    ("options", "torn", "batch"),
    [
        ("journal_size=1", False, 128),
        ("journal_size=1", True, 128),
        ("journal_size=700", True, 1),
        ("journal_size=1200", True, 1),
        ("", True, 128),
    ],
)
def test_killed_at_every_call(options, torn, batch, tmp_path, monkeypatch):
    monkeypatch.setattr(directory, "_COMPACT_BATCH", batch)
    whole = Run(tmp_path / "whole", options)
    assert in_child(lambda: whole.work(FileCalls())) == 0
    points = int(whole.count.read_text())
    assert points > 3 * len(STEPS)
    after = states()
    for at in range(1, points + 1):
        run = Run(tmp_path / f"at{at}", options)
        assert in_child(lambda at=at, run=run: run.work(FileCalls(at, torn=torn))) == -signal.SIGKILL
        recorded = len(run.effects.lines())
        items = run.items()
        done = int(items.pop("done", "0"))
        assert done in {recorded, recorded + 1}, at
        assert items == after[done], at
        assert in_child(lambda run=run: run.work(FileCalls())) == 0
        assert run.items() == whole.items(), at


def test_compaction_is_incremental(tmp_path, monkeypatch):
    """Many commits write the files of a journal, a few each; then a new journal replaces it."""
    monkeypatch.setattr(directory, "_COMPACT_BATCH", 32)
    calls, most, journals = FileCalls(), 0, set()
    with backends.fetch(f"dir://{tmp_path}/kv?journal_size=100000&sync=no") as kv, calls.counted():
        for number in range(2500):
            before = calls.made
            kv.commit(puts=[Put(f"k/{number}", "v" * 20), Put("hot", str(number))])
            most = max(most, calls.made - before)
            journals.add((tmp_path / "kv" / "journal").stat().st_ino)
        assert len(journals) > 1
        assert most < 200  # all at once would be more than two thousand
        with backends.fetch(f"dir://{tmp_path}/kv") as other:
            assert len(other.list("k/")) == len(kv.list("k/")) == 2500
            assert other.get("hot").value == "2499"
        assert (tmp_path / "kv" / "items" / "k.d" / "0.json").exists()


def test_killed_repeatedly(tmp_path):
    """Each process is killed a few calls after its start, also during a compaction, until one finishes."""
    run = Run(tmp_path / "kv", "journal_size=1")
    after = states()
    for number in range(500):
        ended = in_child(lambda number=number: run.work(FileCalls(12 + number % 7, torn=True)))
        items = run.items()
        assert items == after[int(items.pop("done", "0"))]
        if ended == 0:
            break
    assert run.items() == {**after[-1], "done": str(len(STEPS))}
    assert number > 1


def count_up(url, name, folder):
    """Increment the count of this process and the total, in one commit, forever; record each commit."""
    effects = EffectLog(folder / name)
    with backends.fetch(url) as kv:
        while True:
            own, total = kv.get(f"count/{name}"), kv.get("total")
            checks = [
                Check(key, item.version if item else ABSENT)
                for key, item in ((f"count/{name}", own), ("total", total))
            ]
            counts = [str(int(item.value) + 1 if item else 1) for item in (own, total)]
            try:
                kv.commit(checks, [Put(f"count/{name}", counts[0]), Put("total", counts[1])])
            except exc.Conflict:
                continue
            effects.append(counts[0])


@pytest.mark.parametrize("options", ["journal_size=2000&sync=no", "sync=no"])
def test_concurrent_writers_are_killed(options, tmp_path, monkeypatch):
    """Three processes write; one after another is killed. No commit is lost or half applied."""
    monkeypatch.setattr(directory, "_COMPACT_BATCH", 1)
    url = f"dir://{tmp_path}/kv?{options}"
    dice = random.Random(options)
    children = {f"w{n}": start_child(partial(count_up, url, f"w{n}", tmp_path)) for n in range(3)}
    for number in range(3, 15):
        # The process may be killed at any point in time.
        time.sleep(dice.uniform(0.02, 0.2))
        name = dice.choice(sorted(children))
        os.kill(children[name], signal.SIGKILL)
        assert wait_child(children.pop(name)) == -signal.SIGKILL
        children[f"w{number}"] = start_child(partial(count_up, url, f"w{number}", tmp_path))
    for child in children.values():
        os.kill(child, signal.SIGKILL)
        wait_child(child)
    with backends.fetch(url) as kv:
        counts = {item.key.partition("/")[2]: int(item.value) for item in kv.list("count/")}
        assert int(kv.get("total").value) == sum(counts.values())
        for name, count in counts.items():
            recorded = len(EffectLog(tmp_path / name).lines())
            assert count in {recorded, recorded + 1}
        assert sum(counts.values()) > 50
        kv.commit(puts=[Put("after", "1")])
