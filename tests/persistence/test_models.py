"""Logbooks, flow details and atom details, without a backend."""

import sys
import uuid

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states
from stackl_flow.failure import Failure
from stackl_flow.persistence import models


def failure(text="bad"):
    return Failure.from_exception(ValueError(text))


def test_new_uuids_are_random():
    made = models.new_uuids(500)
    assert len(set(made)) == 500
    for text in made:
        found = uuid.UUID(text)
        assert (str(found), found.version, found.variant) == (text, 4, uuid.RFC_4122)
    assert models.new_uuids(0) == []


def test_a_detail_is_small():
    detail = models.TaskDetail("a", models.new_uuid())
    assert not hasattr(detail, "__dict__")
    assert sys.getsizeof(detail) + sys.getsizeof(detail.uuid) <= 250


def test_task_results_and_failures():
    task = models.TaskDetail("t", "u")
    value, why = [1], failure()
    assert task.put(states.SUCCESS, value)
    assert not task.put(states.SUCCESS, value)
    assert task.put(states.FAILURE, why)
    assert (task.results, task.failure) == (None, why)
    assert task.put(states.REVERTED, "reverted")
    assert (task.failure, task.revert_results) == (why, "reverted")
    assert task.put(states.REVERT_FAILURE, why)
    assert (task.failure, task.revert_results, task.revert_failure) == (why, None, why)
    assert task.put(states.RUNNING, None)
    assert task.revert_failure is why
    task.intention = states.REVERT
    task.reset(states.PENDING)
    assert (task.state, task.intention, task.failure) == (states.PENDING, states.EXECUTE, None)


def test_retry_results_by_attempt():
    retry = models.RetryDetail("r", "u")
    with pytest.raises(exc.NotFound, match="no attempt"):
        _ = retry.last_results
    why = failure()
    retry.put(states.SUCCESS, 1)
    retry.results[-1][1]["t"] = why
    retry.put(states.SUCCESS, 2)
    retry.put(states.FAILURE, why)
    assert [value for value, _ in retry.results] == [1, 2]
    assert (retry.last_results, retry.last_failures, retry.failure) == (2, {}, why)
    retry.put(states.REVERTED, "x")
    retry.put(states.REVERT_FAILURE, why)
    assert (retry.revert_results, retry.revert_failure) == (None, why)
    twin = models.RetryDetail.from_dict(retry.to_dict())
    assert twin.to_dict() == retry.to_dict()
    clone = retry.copy()
    clone.put(states.SUCCESS, 3)
    clone.results[0][1].clear()
    assert (len(retry.results), retry.results[0][1]) == (2, {"t": why})
    retry.reset(None)
    assert retry.results == []


@pytest.mark.parametrize(
    ("state", "progress"),
    [
        (None, None), (states.PENDING, None), (states.RUNNING, 0.0), (states.SUCCESS, 1.0),
        (states.FAILURE, 0.0), (states.REVERTING, 0.0), (states.REVERTED, 1.0), (states.REVERT_FAILURE, 0.0),
        (states.IGNORE, 0.0),
    ],
)  # fmt: skip
def test_progress_implied_by_the_state_is_shown_but_not_stored(state, progress):
    task, retry = models.TaskDetail("a", "u"), models.RetryDetail("r", "v")
    task.state = retry.state = state
    assert (task.progress, retry.progress) == (progress, None)
    task.progress = progress
    assert (task.stored_meta(), task.stored_progress()) == (None, None)
    assert task.to_dict()["meta"] == ({} if progress is None else {"progress": progress})
    assert ("progress = " in task.pformat()) == (progress is not None)
    assert models.TaskDetail.from_dict(task.to_dict()).progress == progress
    task.progress = 0.75
    assert (task.stored_meta(), task.stored_progress()) == (None, {"progress": 0.75})


def test_progress_is_part_of_the_metadata():
    task = models.TaskDetail("t", "u")
    assert task.stored_meta() is None
    task.meta["k"] = 1
    task.progress, task.progress_details = 0.25, {"at": 1}
    assert task.stored_meta() == {"k": 1}
    assert task.stored_progress() == {"progress": 0.25, "progress_details": {"at": 1}}
    twin = models.TaskDetail.from_dict(task.to_dict())
    assert (twin.progress, twin.progress_details) == (0.25, {"at": 1})
    assert twin.meta == {"k": 1, "progress": 0.25, "progress_details": {"at": 1}}
    assert "progress = 25.00%" in twin.pformat()


def test_metadata_shows_the_current_progress():
    task = models.TaskDetail("t", "u")
    assert task.meta == {}
    task.state = states.RUNNING
    meta = task.meta
    assert meta == {"progress": 0.0, "progress_details": None}
    meta["mine"] = 1
    task.state = states.SUCCESS
    # What the metadata showed earlier is not stored: the state implies it.
    assert task.stored_meta() == {"mine": 1}
    assert task.meta == {"mine": 1, "progress": 1.0, "progress_details": None}
    task.state = states.PENDING
    assert task.meta == {"mine": 1}


def test_metadata_may_contain_progress():
    task = models.TaskDetail("t", "u")
    task.progress = 0.5
    task.meta = {"a": 1, "progress": 0.75}
    assert (task.progress, task.stored_meta()) == (0.75, {"a": 1})
    clone = task.copy()
    task.meta = {"a": 2}
    assert (task.progress, clone.progress, clone.meta["a"]) == (None, 0.75, 1)


@pytest.mark.parametrize("deep", [False, True])
def test_merge_and_update(deep):
    old, new = models.TaskDetail("t", "u"), models.TaskDetail("t", "u")
    new.put(states.SUCCESS, [1])
    new.failure, new.meta, new.version, new.progress = failure(), {"a": []}, (1,), 1.0
    assert old.merge(new, deep_copy=deep) is old
    assert old.to_dict() == new.to_dict()
    assert old.results is new.results
    assert (old.meta["a"] is new.meta["a"]) is not deep
    assert (old.failure is new.failure) is not deep
    other = models.TaskDetail("t", "u").update(new)
    assert other.to_dict() == new.to_dict()
    assert other.update(other) is other


def test_kinds_do_not_merge():
    task, retry = models.TaskDetail("t", "u"), models.RetryDetail("r", "v")
    with pytest.raises(exc.NotSupported):
        task.merge(retry)
    with pytest.raises(exc.NotSupported):
        retry.merge(task)
    with pytest.raises(TypeError):
        models.atom_detail_class("NO_DETAIL")
    with pytest.raises(TypeError):
        models.atom_detail_type("task")
    assert models.atom_detail_class(models.atom_detail_type(retry)) is models.RetryDetail


def test_flow_detail():
    flow, task = models.FlowDetail("f", "u"), models.TaskDetail("t", "v")
    flow.add(task)
    flow.add(task)
    flow.state, flow.meta = states.RUNNING, {"a": 1}
    assert (len(flow), list(flow), flow.find("v"), flow.find("w")) == (1, [task], task, None)
    twin = models.FlowDetail.from_dict(flow.to_dict())
    assert (twin.to_dict(), len(twin)) == (flow.to_dict(), 0)
    assert twin.update(flow).find("v") is task
    clone, bare = flow.copy(), flow.copy(retain_contents=False)
    clone.add(models.TaskDetail("t2", "w"))
    clone.meta["b"] = 2
    assert (len(flow), len(clone), len(bare), flow.meta) == (1, 2, 0, {"a": 1})
    assert models.FlowDetail("f", "u").merge(flow, deep_copy=True).to_dict() == flow.to_dict()


def test_logbook():
    book, flow = models.LogBook("b"), models.FlowDetail("f", "u")
    assert book.updated_at is None
    book.add(flow)
    assert book.updated_at >= book.created_at
    assert (len(book), book.find("u"), book.find("x")) == (1, flow, None)
    twin = models.LogBook.from_dict(book.to_dict(marshal_time=True), unmarshal_time=True)
    assert (twin.to_dict(), len(twin)) == (book.to_dict(), 0)
    assert models.LogBook("b", book.uuid).merge(book).to_dict() == book.to_dict()
    assert (len(book.copy()), len(book.copy(retain_contents=False))) == (1, 0)
    assert "FlowDetail: 'f'" in book.pformat()
