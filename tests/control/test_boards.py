"""Operator queries and commands on job boards."""

import json
from collections import Counter

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.control import boards
from stackl_flow.coordination.membership import Entity
from stackl_flow.failure import Failure
from stackl_flow.kv import backends as kv_backends
from stackl_flow.kv.items import Put

FAILURE = Failure.from_exception(ValueError("no stock")).to_dict()


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def board(url):
    with boards.open_board(url) as board:
        yield board


def test_jobs_are_listed_by_state(board):
    for name in ("one", "two", "three"):
        board.post(name)
    board.post("tomorrow", not_before=4e9)
    board.claim(board.get_job(boards.find_job(board, "one").uuid), "ann")
    boards.trash(board, boards.find_job(board, "two").uuid, "by mistake")
    for name, outcome in (("good", {"result": 1}), ("bad", {"failure": FAILURE})):
        board.consume(board.claim(board.post(name), "ann"), "ann", outcome)
    states = {view.name: view.state for view in boards.list_jobs(board)}
    assert states == {"one": "claimed", "three": "waiting", "tomorrow": "scheduled"}
    for state in boards.LISTED_STATES:
        assert [view.state for view in boards.list_jobs(board, state)] == [state]
    assert len(boards.list_jobs(board, limit=2)) == 2
    (dead,) = boards.list_jobs(board, "dead")
    assert (dead.name, dead.reason, dead.claims[-1].owner) == ("two", "by mistake", boards.OPERATOR)


def test_a_job_is_found_by_uuid_prefix_or_name(board):
    job = board.post("one", details={"size": 3}, required_capabilities=["gpu"])
    for identifier in (job.uuid, job.uuid[:13], "one"):
        assert boards.find_job(board, identifier).details == {"size": 3}
    board.post("one")
    with pytest.raises(exc.MultipleChoices, match="'one' matches 2 jobs"):
        boards.find_job(board, "one")
    with pytest.raises(exc.NotFound, match="no job 'two' on board 'default'"):
        boards.find_job(board, "two")


def test_a_job_that_has_ended_is_found_by_its_uuid(board):
    job = board.claim(board.post("one"), "ann")
    board.consume(job, "ann", {"result": 7})
    view = boards.find_job(board, job.uuid)
    assert (view.name, view.state, view.outcome) == ("one", "succeeded", {"result": 7})


def test_other_boards_of_the_store(board, url):
    assert boards.other_boards_hint(board) == ""
    board.post("one")
    with boards.open_board(url, "second") as second:
        assert "'default'" in boards.other_boards_hint(second)
        second.post("two")
    assert boards.other_boards_hint(board).startswith("; other boards in this store: 'second' (")


def test_of_several_jobs_of_one_name_the_one_that_has_not_ended_is_meant(board):
    board.consume(board.claim(board.post("nightly"), "ann"), "ann")
    live = board.post("nightly")
    assert boards.find_job(board, "nightly").uuid == live.uuid
    board.consume(board.claim(live, "ann"), "ann")
    with pytest.raises(exc.MultipleChoices, match="'nightly' matches 2 jobs"):
        boards.find_job(board, "nightly")


def test_an_ended_job_is_listed_with_owner_times_and_outcome(board):
    board.consume(board.claim(board.post("one", priority="HIGH"), "ann"), "ann", {"result": 7})
    (view,) = boards.list_jobs(board, "succeeded")
    assert (view.name, view.priority, view.owner, view.outcome) == ("one", "HIGH", "ann", {"result": 7})
    assert view.created <= view.claimed <= view.ended


def test_unreadable_entries_are_listed_and_discarded(board, url):
    job = board.post("one")
    with kv_backends.fetch(url) as kv:
        (waiting,) = kv.list("default/waiting/")
        kv.commit(puts=[Put(waiting.key, waiting.value[:-5])])
    assert boards.list_jobs(board) == []
    (entry,) = boards.list_unreadable(board)
    assert (entry.kind, entry.uuid, entry.text) == ("waiting", job.uuid, waiting.value[:-5])
    assert boards.find_job(board, job.uuid).state == "unreadable"
    boards.discard(board, job.uuid)
    assert boards.list_unreadable(board) == []
    with pytest.raises(exc.NotFound):
        boards.find_job(board, job.uuid)


def test_an_entry_is_restored_for_a_release_that_can_read_it(board, url):
    job = board.post("one")
    with kv_backends.fetch(url) as kv:
        (waiting,) = kv.list("default/waiting/")
        kv.commit(puts=[Put(waiting.key, waiting.value[:-5])])
        boards.list_jobs(board)
        (entry,) = boards.list_unreadable(board)
        kv.commit(
            puts=[
                Put(
                    f"default/unreadable/{entry.id}",
                    kv.get(f"default/unreadable/{entry.id}").value.replace(
                        json.dumps(waiting.value[:-5]), json.dumps(waiting.value)
                    ),
                )
            ]
        )
    boards.restore(board, entry.id)
    assert [(view.uuid, view.state) for view in boards.list_jobs(board)] == [(job.uuid, "waiting")]
    assert boards.find_job(board, job.uuid).state == "waiting"


@pytest.fixture
def reads(board):
    """Count the reads of the board's store."""
    counts = Counter()

    def counted(name, read):
        def call(*args, **kwargs):
            counts[name] += 1
            return read(*args, **kwargs)

        return call

    for name in ("get", "list", "get_many", "list_many"):
        setattr(board._kv, name, counted(name, getattr(board._kv, name)))
    return counts


def reads_of(reads, work):
    reads.clear()
    work()
    return reads.total()


def test_listings_read_no_job_again(board, reads):
    board.post_many({"name": f"job {number}"} for number in range(400))
    board.complete_and_claim("ann", limit=200)
    iterated = reads_of(reads, lambda: list(board.iterjobs()))
    assert reads_of(reads, lambda: boards.list_jobs(board)) <= 3 * iterated
    assert reads_of(reads, lambda: boards.list_conductors(board)) <= 3 * iterated
    assert reads_of(reads, lambda: boards.find_job(board, "job 7")) <= 8
    assert reads_of(reads, lambda: board.list("failed", since=0)) <= 8


def test_dead_letters_are_discarded_and_other_jobs_are_not(board):
    board.post("one")
    with pytest.raises(exc.NotFound, match="is waiting, not dead: trash it first"):
        boards.discard(board, "one")
    boards.trash(board, boards.find_job(board, "one").uuid, "")
    boards.discard(board, "one")
    assert boards.list_jobs(board, "dead") == []


def test_only_dead_letters_are_requeued(board):
    board.post("one")
    view = boards.find_job(board, "one")
    with pytest.raises(exc.NotFound, match="is waiting, not dead"):
        boards.requeue(board, view)
    boards.trash(board, view.uuid, "")
    boards.requeue(board, boards.find_job(board, "one"))
    assert boards.find_job(board, "one").state == "waiting"


def test_a_claimed_job_is_not_trashed(board):
    job = board.claim(board.post("one"), "ann")
    with pytest.raises(exc.UnclaimableJob, match="ann"):
        boards.trash(board, job.uuid, "")


def test_conductors(board):
    board.register_entity(Entity("conductor", "ann", {"hostname": "h", "pid": 1, "slots": 2}))
    board.claim(board.post("one"), "ann")
    assert boards.list_conductors(board) == [boards.ConductorView("ann", "h", 1, 2, ("one",))]
    assert boards.find_conductors(board, "ann") == [("h", 1)]
    boards.drain(board, "ann")
    assert board.membership.is_drain_requested("ann")
    with pytest.raises(exc.NotFound, match=r"no conductor 'bob' is registered.*registered are ann"):
        boards.drain(board, "bob")
