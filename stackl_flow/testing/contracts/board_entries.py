"""The contract of job boards, continued: entries that cannot be read, and listings."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.clock import Clock
from stackl_flow.coordination.membership import Entity
from stackl_flow.failure import Failure
from stackl_flow.jobboards.base import Job, JobBoard, JobCompletion
from stackl_flow.kv import backends as kv_backends
from stackl_flow.kv.items import Put
from stackl_flow.kv.store import KV

#: Name of the board in these tests, and of its part of the store.
ROOT: Final = "contract/"
_LOGGER: Final = "stackl_flow.jobboards.unreadable"
LONG: Final = 20.0


def _changed(**values: Any) -> Callable[[str], str]:
    """Return a change of some fields of a record."""

    def change(text: str) -> str:
        record = json.loads(text)
        record.update(values)
        return json.dumps({name: value for name, value in record.items() if value is not None})

    return change


#: What a newer release may be able to read: it stays where it is.
NEWER: Final[dict[str, Callable[[str], str]]] = {
    "unknown field": _changed(deadline=7),
    "unknown priority": _changed(priority="URGENT"),
    "unknown type": _changed(details={"at": {"$moment": 1}}),
}
#: What no release can read.
DAMAGED: Final[dict[str, Callable[[str], str]]] = {
    "empty": lambda _: "",
    "truncated": lambda text: text[:-5],
    "null": lambda _: "null",
    "list": lambda text: f"[{text}]",
    "text": json.dumps,
    "no fields": lambda _: "{}",
    "deep": lambda _: '{"a":' * 100_000,
    "no name": _changed(name=None),
    "name": _changed(name=7),
    "uuid": _changed(uuid="another"),
    "priority": _changed(priority=["HIGH"]),
    "time": _changed(created_on="today"),
    "no time": _changed(created_on=None),
    "infinite": _changed(created_on=float("inf")),
    "another time": _changed(created_on=7.0),
    "details": _changed(details=[1]),
    "book": _changed(book="book"),
    "claims": _changed(claims=[["me"]]),
    "claimed by nothing": _changed(claims=[[None, 1.0, "", ""]]),
    "capabilities": _changed(required_capabilities="gpu"),
    "not before": _changed(not_before="soon"),
}
#: By kind: the rest of keys that are none, besides the usual ones.
KEYS: Final = {
    "waiting": ("any/2/now", "any/2/00000000000000000-", "any", "nowhere/9/00000000000000000-x"),
    "claimed": ("any/2/now", "any"),
    "scheduled": ("soon/any/2/x", "00000000000000000/any/2/x", "x"),
    "expiring": ("soon/any/2/x", "00000000000000000/any/2/x", "x"),
    "dead": ("now", "00000000000000000-x"),
    "job": ("damaged",),
    "key": ("damaged",),
    "group": ("damaged",),
    "owner": ("damaged",),
    "holder": ("damaged",),
    "membership": ("entity/conductor/damaged",),
    "event": ("damaged/000000000001", "x"),
    "log": ("failed/now", "failed/00000000000000000-x", "succeeded/now-x", "x"),
    "ended": ("now", "00000000000000000-x"),
    "name": ("damaged/00000000000000000-x", "x"),
    "unreadable": ("damaged",),
}


class UnreadableContract:
    """One entry that cannot be read affects no other."""

    clock: Clock

    @pytest.fixture
    def store(self, address: str, board: JobBoard) -> Iterator[KV]:
        """Open the store of the board, as another program would."""
        del board  # is opened first
        with kv_backends.fetch(address, clock=self.clock) as kv:
            yield kv

    def _damage(self, store: KV, uuid: str, change: Callable[[str], str]) -> str:
        """Change the stored record of a job; return its key."""
        for state in ("waiting", "claimed", "scheduled", "dead"):
            for item in store.list(f"{ROOT}{state}/"):
                if item.key.endswith(uuid):
                    store.commit(puts=[Put(item.key, change(item.value))])
                    return item.key
        raise AssertionError(f"job {uuid} is not stored")

    def test_damaged_jobs_are_set_aside(
        self, board: JobBoard, other: JobBoard, store: KV, caplog: pytest.LogCaptureFixture
    ) -> None:
        """They are passed over, logged once, listed with a reason and discarded; all other jobs go on."""
        damaged = {name: board.post(name, priority="HIGH").uuid for name in DAMAGED}
        board.post("good")
        texts = {}
        for name, change in DAMAGED.items():
            key = self._damage(store, damaged[name], change)
            texts[key.removeprefix(ROOT)] = change
        with caplog.at_level(logging.WARNING, _LOGGER):
            (job,) = other.complete_and_claim("me", limit=100, timeout=LONG).jobs
            assert job.name == "good"
            other.consume(job, "me")
            for each in (board, other):
                assert list(each.iterjobs()) == []
                assert each.list(["waiting", "claimed", "scheduled"]).jobs == ()
                assert each.complete_and_claim("me", limit=100).jobs == ()
        logged = Counter(record.getMessage() for record in caplog.records if record.name == _LOGGER)
        assert max(logged.values()) <= 2, "each object logs an entry once"
        entries = list(board.unreadable)
        assert {entry.key for entry in entries} == set(texts)
        assert len(board.unreadable) == len(DAMAGED)
        assert all(entry.reason and entry.kind == "waiting" and entry.text is not None for entry in entries)
        assert {entry.uuid for entry in entries} == set(damaged.values())
        for uuid in damaged.values():
            assert board.get_snapshot(uuid).state == "unreadable"
        with pytest.raises(exc.JobFailure, match="is unreadable"):
            board.get_job(damaged["truncated"]).result(LONG)
        for entry in entries:
            board.unreadable.discard(entry.id)
            with pytest.raises(exc.NotFound, match="no unreadable entry"):
                board.unreadable.discard(entry.id)
        assert len(board.unreadable) == 0
        with pytest.raises(exc.NotFound):
            board.get_snapshot(damaged["truncated"])

    def test_jobs_of_a_newer_release_stay_where_they_are(
        self, board: JobBoard, other: JobBoard, store: KV
    ) -> None:
        """They are passed over and listed, and its conductors can still run them."""
        newer = {name: board.post(name, priority="HIGH").uuid for name in NEWER}
        board.post("good")
        keys = [self._damage(store, newer[name], change) for name, change in NEWER.items()]
        assert [job.name for job in other.complete_and_claim("me", limit=9, timeout=LONG).jobs] == ["good"]
        assert all(store.get_many(keys))
        entries = list(board.unreadable)
        assert {(entry.key, entry.text) for entry in entries} == {
            (key.removeprefix(ROOT), None) for key in keys
        }
        store.commit(deletes=keys[:1])  # its conductor has claimed it
        assert len(board.unreadable) == len(keys) - 1
        for entry in board.unreadable:
            board.unreadable.discard(entry.id)
        assert not any(store.get_many(keys))

    def test_a_damaged_claimed_job(
        self, board: JobBoard, other: JobBoard, store: KV, open_board: Callable[..., JobBoard]
    ) -> None:
        """Claims of other owners are released and made."""
        first, second = board.post("first"), board.post("second")
        with open_board() as closing:
            for job in closing.complete_and_claim("gone", limit=2).jobs:
                assert job.uuid in {first.uuid, second.uuid}
            self._damage(store, first.uuid, DAMAGED["truncated"])
        (job,) = other.complete_and_claim("me", limit=2, timeout=LONG).jobs
        assert (job.uuid, [claim.ended for claim in job.claims]) == (second.uuid, ["lost", ""])
        assert [entry.kind for entry in board.unreadable] == ["claimed"]

    def test_any_entry_may_be_damaged(
        self, board: JobBoard, other: JobBoard, store: KV, open_board: Callable[..., JobBoard]
    ) -> None:
        """Every operation of the board goes on, and each damaged entry can be discarded."""
        board.post("kept", key="kept")
        board.register_entity(Entity("conductor", "ann", {"pid": 1}))
        puts = [
            Put(f"{ROOT}{kind}/{rest}", text)
            for kind, rests in KEYS.items()
            for number, rest in enumerate(rests)
            for text in [("{", "[]", '{"a": 1}', "null")[number]]
        ]
        for start in range(0, len(puts), 20):
            store.commit(puts=puts[start : start + 20])
        with open_board(outcome_retention=0.5) as third:
            for each in (board, other, third):
                job = each.post("good", key="good", not_before=self.clock.now() - 1)
                each.post("bad", expires_at=self.clock.now() + 100)
                each.post("later", not_before=self.clock.now() + 100)
                claimed = each.complete_and_claim("me", limit=5, timeout=LONG).jobs
                assert sorted(each.name for each in claimed) == ["bad", "good", "kept"]
                kept = next(job for job in claimed if job.name == "kept")
                ends = [JobCompletion(job, "consumed") for job in claimed if job.name == "good"]
                ends += [JobCompletion(job, "trashed") for job in claimed if job.name == "bad"]
                assert each.complete_and_claim("me", [*ends, JobCompletion(kept, "unstarted")]).rejected == ()
                assert board.get_snapshot(job).state == "succeeded"
                assert next(each.iterjobs()).name == "kept"
                assert [job.name for job in each.list(["succeeded", "failed"]).jobs] == ["good"]
                assert [record.name for record in each.dead_letters] == ["bad"]
                assert [job.name for job in each.list("dead").jobs] == ["bad"]
                assert {member.name for member in each.membership.members("conductor")} >= {"ann"}
                assert each.find("kept")[0].record.name == "kept"
                self.pass_time(0.6)
                list(third.iterjobs())  # deletes the outcomes
                board.dead_letters.discard(next(iter(board.dead_letters)).uuid)
        with pytest.raises(exc.StacklFlowError, match=r"cannot be read|set aside|no job"):
            board.get_snapshot("damaged")
        for entry in board.unreadable:
            board.unreadable.discard(entry.id)
        assert len(board.unreadable) == 0

    def test_an_entry_that_refers_to_no_job(self, board: JobBoard, store: KV) -> None:
        """It is listed where it is, and its job is found neither by uuid nor by name; others are."""
        job = board.post("moved")
        key = f"{ROOT}job/{job.uuid}"
        location = store.get(key)
        assert location is not None
        elsewhere = json.dumps({**json.loads(location.value), "sort_key": "any/1/00000000000000000-x"})
        store.commit(puts=[Put(key, elsewhere)])
        assert board.find("moved") == []
        with pytest.raises(exc.NotFound, match="no job where it refers to"):
            board.get_snapshot(job.uuid)
        assert [(entry.kind, entry.text) for entry in board.unreadable] == [("job", None)]
        assert [each.uuid for each in board.complete_and_claim("me", limit=1).jobs] == [job.uuid]

    def test_an_entry_of_a_newer_release_that_changes_before_it_is_noted(
        self, board: JobBoard, store: KV
    ) -> None:
        """It is noted again when it is read again."""
        job = board.post("newer")
        key = self._damage(store, job.uuid, NEWER["unknown field"])
        first = store.get(key)
        assert first is not None
        board.unreadable.read_record(first, "waiting")
        self._damage(store, job.uuid, _changed(deadline=8))
        for _ in range(2):  # the second one sets aside what the first one has read
            assert list(board.iterjobs()) == []
        assert [entry.kind for entry in board.unreadable] == ["waiting"]

    def test_threads_set_entries_aside(self, board: JobBoard, store: KV) -> None:
        """Each entry is set aside once, whichever threads read the board."""
        for number in range(40):
            self._damage(store, board.post(f"damaged {number}").uuid, DAMAGED["truncated"])
        start = threading.Barrier(4)

        def read() -> list[Job]:
            start.wait()
            return [job for _ in range(3) for job in board.iterjobs()]

        with ThreadPoolExecutor(4) as pool:
            reads = [pool.submit(read) for _ in range(4)]
        assert [each.result() for each in reads] == [[]] * 4
        assert len(board.unreadable) == 40

    def test_an_idempotency_key_whose_entry_is_damaged(self, board: JobBoard, store: KV) -> None:
        """The post says so, and the next one posts a job."""
        store.commit(puts=[Put(f"{ROOT}key/k", "{")])
        with pytest.raises(exc.JobFailure, match="set aside; post the job again"):
            board.post("one", key="k")
        assert board.get_snapshot(board.post("one", key="k")).state == "waiting"

    def test_a_damaged_group_keeps_its_jobs(self, board: JobBoard, other: JobBoard, store: KV) -> None:
        """Each job says itself which capabilities it requires."""
        board.post("gpu", required_capabilities=["gpu"])
        (group,) = store.list(f"{ROOT}group/")
        store.commit(puts=[Put(group.key, "[")])
        assert other.complete_and_claim("me", limit=1, capabilities=["disk"]).jobs == ()
        (job,) = other.complete_and_claim("me", limit=1, capabilities=["gpu"], timeout=LONG).jobs
        assert job.name == "gpu"

    @pytest.mark.parametrize("name", ["", " ", "\t\n", "a\nb", "a\x00", "\x1b[31m", "\ud800", "\x7f"])
    def test_a_name_that_is_refused(self, board: JobBoard, name: str) -> None:
        """Nothing is posted under an empty name, or one with control characters."""
        with pytest.raises(ValueError, match="the name of a job must not"):
            board.post(name)
        assert board.job_count == 0

    @pytest.mark.parametrize("name", [None, 7, b"one"])
    def test_a_name_that_is_no_text(self, board: JobBoard, name: Any) -> None:
        """It is a TypeError, before anything is stored."""
        with pytest.raises(TypeError, match="the name of a job is a str"):
            board.post(name)
        assert board.job_count == 0

    def pass_time(self, seconds: float) -> None:
        """Let time pass for the board."""
        raise NotImplementedError


class PostManyContract:
    """``post_many``: many posts by few commits."""

    clock: Clock

    def test_many_posts(self, board: JobBoard, other: JobBoard) -> None:
        """Each is as ``post`` makes it, in that order, and can be claimed."""
        posts: list[dict[str, Any]] = [
            {"name": f"job {number}", "details": {"n": number}} for number in range(300)
        ]
        posts[100]["required_capabilities"] = ["gpu"]
        posts[200]["not_before"] = self.clock.now() + 3600
        jobs = board.post_many(posts)
        assert [job.name for job in jobs] == [post["name"] for post in posts]
        found = [job.name for job in other.iterjobs()]
        assert found == [post["name"] for post in posts if post is not posts[200]] + ["job 200"]
        assert other.find("job 7")[0].uuid == jobs[7].uuid
        claimed = other.complete_and_claim("me", limit=20, timeout=LONG).jobs
        assert [job.details["n"] for job in claimed][:5] == [0, 1, 2, 3, 4]
        assert board.post_many([]) == []

    def test_a_key_in_many_posts_posts_once(self, board: JobBoard) -> None:
        """In one call, and in another one, whose other jobs are posted."""
        first, second, again = board.post_many(
            [{"name": name, "key": key} for name, key in (("a", "1"), ("b", "2"), ("c", "1"))]
        )
        assert (again.uuid, again.name) == (first.uuid, "a")
        assert board.job_count == 2
        repeated, new = board.post_many([{"name": "b", "key": "2"}, {"name": "d", "key": "3"}])
        assert (repeated.uuid, new.name, board.job_count) == (second.uuid, "d", 3)

    def test_all_posts_are_checked_before_any_is_stored(self, board: JobBoard) -> None:
        """An invalid one is an error, and nothing is posted."""
        for wrong in ({"name": ""}, {"name": "a", "priority": "URGENT"}, {"name": "a", "kex": 1}):
            with pytest.raises((TypeError, ValueError)):
                board.post_many([{"name": "good"}, wrong])
        with pytest.raises(exc.NotSerializable):
            board.post_many([{"name": "good"}, {"name": "a", "details": {"x": object()}}])
        assert board.job_count == 0


class ListingContract:
    """``list`` and ``find``: jobs of all states, in pages."""

    clock: Clock

    def pass_time(self, seconds: float) -> None:
        """Let time pass for the board."""
        raise NotImplementedError

    def test_jobs_of_all_states_in_one_listing(self, board: JobBoard, other: JobBoard) -> None:
        """State, owner, times and outcome of each; jobs on the board first, then ended ones, latest first."""
        failure = Failure.from_exception(ValueError("no stock")).to_dict()
        ends: dict[str, tuple[str, dict[str, Any]]] = {
            "good": ("consumed", {"result": 7}),
            "bad": ("consumed", {"failure": failure}),
            "dead": ("trashed", {"reason": "by mistake"}),
        }
        begun = self.clock.now()
        for name, priority in (
            ("waiting", "LOW"),
            ("claimed", "HIGH"),
            ("good", "NORMAL"),
            ("bad", "NORMAL"),
        ):
            board.post(name, priority=priority, details={"name": name})
            self.pass_time(0.002)
        board.post("dead")
        board.post("scheduled", not_before=begun + 3600)
        for job in board.complete_and_claim("ann", limit=4).jobs:
            if job.name in ends:
                disposition, outcome = ends[job.name]
                self.pass_time(0.002)
                completion = JobCompletion(job, disposition, outcome)
                assert not board.complete_and_claim("ann", [completion]).rejected
        everything = ["waiting", "claimed", "scheduled", "succeeded", "failed", "dead"]
        found = {job.record.name: job for job in other.list(everything).jobs}
        states = {name: job.state for name, job in found.items()}
        assert states == {
            "claimed": "claimed",
            "waiting": "waiting",
            "scheduled": "scheduled",
            "dead": "dead",
            "bad": "failed",
            "good": "succeeded",
        }
        assert list(found) == ["claimed", "waiting", "scheduled", "dead", "bad", "good"]
        owners = {name: job.owner for name, job in found.items()}
        assert owners == dict.fromkeys(("claimed", "good", "bad", "dead"), "ann") | dict.fromkeys(
            ("waiting", "scheduled")
        )
        assert found["good"].outcome == {"result": 7}
        assert found["bad"].outcome == {"failure": failure}
        assert found["dead"].outcome == {"reason": "by mistake"}
        for name in ("good", "bad", "dead"):
            ended = found[name]
            assert ended.claimed_on is not None
            assert ended.ended_on is not None
            assert begun - 60 < ended.record.created_on <= ended.claimed_on <= ended.ended_on
        assert [job.record.name for job in other.list().jobs] == ["claimed", "waiting", "scheduled"]
        assert [job.record.name for job in other.list(("failed", "dead")).jobs] == ["dead", "bad"]
        assert found["claimed"].record.details == {"name": "claimed"}
        with pytest.raises(ValueError, match="invalid state 'lost': use one of waiting"):
            other.list("lost")

    def test_pages(self, board: JobBoard, other: JobBoard) -> None:
        """Every job is in one page, in the order of the whole listing."""
        for number in range(23):
            board.post(f"job {number}", required_capabilities=["gpu"] if number % 3 else [])
            self.pass_time(0.0001)
        board.post("later", not_before=self.clock.now() + 3600)
        jobs = board.complete_and_claim("me", limit=16).jobs
        ends = [JobCompletion(job, "consumed") for job in jobs[:12]]
        assert board.complete_and_claim("me", ends[:7]).rejected == ()
        self.pass_time(0.002)
        assert board.complete_and_claim("me", ends[7:]).rejected == ()
        states = ("claimed", "waiting", "scheduled", "succeeded")
        whole = other.list(states).jobs
        assert len(whole) == 24
        for limit in (1, 3, 8, 23, 24):
            paged: list[str] = []
            after = ""
            while True:
                page = other.list(states, limit=limit, after=after)
                paged += [job.uuid for job in page.jobs]
                after = page.next
                if not after:
                    break
                assert len(page.jobs) == limit
            assert paged == [job.record.uuid for job in whole]

    def test_a_period(self, board: JobBoard) -> None:
        """Jobs are listed that ended since a time, or until then."""
        moments = []
        for name in ("a", "b", "c"):
            board.consume(board.claim(board.post(name), "me"), "me")
            self.pass_time(0.01)
            moments.append(self.clock.now())
            self.pass_time(0.01)
        listed = [job.record.name for job in board.list("succeeded", since=moments[0]).jobs]
        assert listed == ["c", "b"]
        listed = [job.record.name for job in board.list("succeeded", until=moments[1]).jobs]
        assert listed == ["b", "a"]
        listed = [job.record.name for job in board.list("succeeded", since=moments[0], until=moments[1]).jobs]
        assert listed == ["b"]

    def test_retention_deletes_listed_jobs_and_their_names(self, open_board: Callable[..., JobBoard]) -> None:
        """After ``outcome_retention`` an ended job is neither listed nor found."""
        with open_board(outcome_retention=0.2) as board:
            job = board.claim(board.post("one"), "me")
            board.consume(job, "me")
            assert [each.record.uuid for each in board.find("one")] == [job.uuid]
            self.pass_time(0.3)
            list(board.iterjobs())
            assert board.list(("succeeded", "failed", "dead")).jobs == ()
            assert board.find("one") == board.find(job.uuid) == []

    def test_a_job_is_found_by_name_or_uuid(self, board: JobBoard, other: JobBoard) -> None:
        """Also by the beginning of its uuid, in any state."""
        jobs = {name: board.post(name) for name in ("one", "täglich 7", "x" * 500)}
        for name, job in jobs.items():
            for identifier in (name, job.uuid, job.uuid[:13]):
                assert [each.record.uuid for each in other.find(identifier)] == [job.uuid]
        board.consume(board.claim(jobs["one"], "me"), "me")
        board.trash(board.claim(jobs["täglich 7"], "me"), "me")
        assert [each.state for each in other.find("one")] == ["succeeded"]
        assert [each.state for each in other.find("täglich 7")] == ["dead"]
        board.dead_letters.requeue(jobs["täglich 7"].uuid)
        assert [each.state for each in other.find("täglich 7")] == ["waiting"]
        assert other.find("two") == other.find("one ") == other.find("../x") == []

    def test_events_have_no_details_until_they_are_asked_for(self, board: JobBoard, address: str) -> None:
        """The feed does not repeat them; the job of an event reads them from the board."""
        details = {"text": "repeated " * 100}
        job = board.claim(board.post("one", details=details), "me")
        with kv_backends.fetch(address, clock=self.clock) as store:
            assert not [item for item in store.list(f"{ROOT}event/") if "repeated" in item.value]
        assert board.get_job(job.uuid).details == details
