"""Retries by themselves: their decisions, and the history that they are handed."""

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import retry
from stackl_flow.failure import Failure

LOST = Failure.from_exception(LookupError("lost"))
BAD = Failure.from_exception(ValueError("bad"))


def history(*values, failure=None):
    return retry.History([(value, {"a": BAD}) for value in values], failure=failure)


def test_history_reads_like_a_sequence():
    told = retry.History([(1, {"a": LOST}), (2, {"a": BAD, "b": LOST}), (3, {})])
    assert len(told) == 3
    assert told[0] == (1, {"a": LOST})
    assert [value for value, _ in told] == list(told.provided_iter()) == [1, 2, 3]
    assert [name for name, _ in told.outcomes_iter()] == ["a", "a", "b"]
    assert [name for name, _ in told.outcomes_iter(index=1)] == ["a", "b"]


@pytest.mark.parametrize(
    ("kind", "kwargs", "found"),
    [
        (ValueError, {}, True),
        (ValueError, {"index": 0}, False),
        (ValueError, {"index": -1}, True),
        (Exception, {"index": 0}, True),
        (OSError, {}, False),
        (OSError, {"include_retry": True}, True),
    ],
)
def test_caused_by(kind, kwargs, found):
    own = Failure.from_exception(OSError("own"))
    told = retry.History([(1, {"a": LOST}), (2, {"a": BAD})], failure=own)
    assert told.caused_by(kind, **kwargs) is found
    assert told.failure is own


@pytest.mark.parametrize(
    ("attempts", "tried", "decision"),
    [(1, 1, "REVERT"), (2, 1, "RETRY"), (2, 2, "REVERT"), (5, 4, "RETRY"), (5, 5, "REVERT")],
)
def test_times(attempts, tried, decision):
    controller = retry.Times(attempts)
    assert controller.on_failure(history(*range(tried))) == decision
    assert controller.execute(history(*range(tried))) == tried + 1


def test_always():
    assert retry.AlwaysRevert().on_failure(history(1)) is retry.Decision.REVERT
    assert retry.AlwaysRevertAll().on_failure(history(1)) is retry.Decision.REVERT_ALL
    assert retry.AlwaysRevert().execute(history()) is None
    assert retry.AlwaysRevertAll().execute(history()) is None


@pytest.mark.parametrize(
    "make", [lambda **kw: retry.Times(1, **kw), lambda **kw: retry.ForEach([1], **kw)], ids=["times", "each"]
)
def test_revert_all_when_used_up(make):
    assert make(revert_all=True).on_failure(history(1)) == retry.REVERT_ALL
    assert make().on_failure(history(1)) == retry.REVERT


@pytest.mark.parametrize(
    ("values", "used", "following"),
    [
        (["x", "y"], [], "x"),
        (["x", "y"], ["x"], "y"),
        (("x", "y"), ["x"], "y"),
        (["x", "x"], ["x"], "x"),
        ([[1], [2]], [[1]], [2]),
        ({"x": 1}, [], "x"),
    ],
)
def test_for_each(values, used, following):
    assert retry.ForEach(values).execute(history(*used)) == following
    assert retry.ParameterizedForEach().execute(values, history(*used)) == following
    assert retry.ForEach(values).on_failure(history(*used)) == retry.RETRY
    assert retry.ParameterizedForEach().on_failure(values, history(*used)) == retry.RETRY


def test_for_each_when_used_up():
    controller = retry.ForEach([1, 2], "r")
    assert controller.on_failure(history(1, 2)) == retry.REVERT
    with pytest.raises(exc.NotFound, match=r"No elements left.*r"):
        controller.execute(history(1, 2))


def test_a_collection_that_can_be_read_once_only_serves_all_attempts():
    controller = retry.ForEach(iter([1, 2]))
    assert controller.execute(history()) == 1
    assert controller.on_failure(history(1)) == retry.RETRY
    assert controller.execute(history(1)) == 2


def test_what_retries_take_and_give():
    assert retry.Times(1, provides="n").provides == {"n"}
    assert retry.Times(1).requires == frozenset()
    assert retry.ParameterizedForEach().requires == {"values"}
    assert retry.ParameterizedForEach(rebind={"values": "hosts"}).requires == {"hosts"}
    assert retry.ParameterizedForEach(rebind=["hosts"]).requires == {"hosts"}


def test_a_retry_must_decide():
    class Undecided(retry.Retry):
        def execute(self, history):
            pass

    with pytest.raises(TypeError, match="on_failure"):
        Undecided()


@pytest.mark.parametrize("decision", retry.Decision)
def test_decisions_are_words(decision):
    assert decision == decision.name
    assert retry.Decision(decision.name) is decision
