"""Retry policies without an engine: their decisions and their history."""

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import retry
from stackl_flow.failure import Failure

LOST = Failure.from_exception(LookupError("lost"))
BAD = Failure.from_exception(ValueError("bad"))


def history(*values, failure=None):
    return retry.History([(value, {"a": BAD}) for value in values], failure=failure)


def test_history_is_a_sequence_of_attempts():
    attempts = retry.History([(1, {"a": LOST}), (2, {"a": BAD, "b": LOST}), (3, {})])
    assert len(attempts) == 3
    assert attempts[0] == (1, {"a": LOST})
    assert [value for value, _ in attempts] == list(attempts.provided_iter()) == [1, 2, 3]
    assert [name for name, _ in attempts.outcomes_iter()] == ["a", "a", "b"]
    assert [name for name, _ in attempts.outcomes_iter(index=1)] == ["a", "b"]


@pytest.mark.parametrize(
    ("kind", "kwargs", "expected"),
    [
        (ValueError, {}, True),
        (ValueError, {"index": 0}, False),
        (ValueError, {"index": -1}, True),
        (Exception, {"index": 0}, True),
        (OSError, {}, False),
        (OSError, {"include_retry": True}, True),
    ],
)
def test_caused_by(kind, kwargs, expected):
    own = Failure.from_exception(OSError("own"))
    attempts = retry.History([(1, {"a": LOST}), (2, {"a": BAD})], failure=own)
    assert attempts.caused_by(kind, **kwargs) is expected
    assert attempts.failure is own


@pytest.mark.parametrize(
    ("attempts", "tried", "decision"),
    [(1, 1, "REVERT"), (2, 1, "RETRY"), (2, 2, "REVERT"), (5, 4, "RETRY"), (5, 5, "REVERT")],
)
def test_times(attempts, tried, decision):
    controller = retry.Times(attempts)
    assert controller.on_failure(history(*range(tried))) == decision
    assert controller.execute(history(*range(tried))) == tried + 1


def test_always_revert():
    assert retry.AlwaysRevert().on_failure(history(1)) is retry.Decision.REVERT
    assert retry.AlwaysRevertAll().on_failure(history(1)) is retry.Decision.REVERT_ALL
    assert retry.AlwaysRevert().execute(history()) is None
    assert retry.AlwaysRevertAll().execute(history()) is None


@pytest.mark.parametrize(
    "make", [lambda **kw: retry.Times(1, **kw), lambda **kw: retry.ForEach([1], **kw)], ids=["times", "each"]
)
def test_revert_all_after_the_last_attempt(make):
    assert make(revert_all=True).on_failure(history(1)) == retry.REVERT_ALL
    assert make().on_failure(history(1)) == retry.REVERT


@pytest.mark.parametrize(
    ("values", "used", "expected"),
    [
        (["x", "y"], [], "x"),
        (["x", "y"], ["x"], "y"),
        (("x", "y"), ["x"], "y"),
        (["x", "x"], ["x"], "x"),
        ([[1], [2]], [[1]], [2]),
        ({"x": 1}, [], "x"),
    ],
)
def test_for_each(values, used, expected):
    assert retry.ForEach(values).execute(history(*used)) == expected
    assert retry.ParameterizedForEach().execute(values, history(*used)) == expected
    assert retry.ForEach(values).on_failure(history(*used)) == retry.RETRY
    assert retry.ParameterizedForEach().on_failure(values, history(*used)) == retry.RETRY


def test_for_each_after_the_last_element():
    controller = retry.ForEach([1, 2], "r")
    assert controller.on_failure(history(1, 2)) == retry.REVERT
    with pytest.raises(exc.NotFound, match=r"No elements left.*r"):
        controller.execute(history(1, 2))


def test_for_each_accepts_an_iterator():
    controller = retry.ForEach(iter([1, 2]))
    assert controller.execute(history()) == 1
    assert controller.on_failure(history(1)) == retry.RETRY
    assert controller.execute(history(1)) == 2


def test_inputs_and_outputs_of_retries():
    assert retry.Times(1, provides="n").provides == {"n"}
    assert retry.Times(1).requires == frozenset()
    assert retry.ParameterizedForEach().requires == {"values"}
    assert retry.ParameterizedForEach(rebind={"values": "hosts"}).requires == {"hosts"}
    assert retry.ParameterizedForEach(rebind=["hosts"]).requires == {"hosts"}


def test_on_failure_is_abstract():
    class Undecided(retry.Retry):
        def execute(self, history):
            pass

    with pytest.raises(TypeError, match="on_failure"):
        Undecided()


@pytest.mark.parametrize("decision", retry.Decision)
def test_decisions_equal_their_names(decision):
    assert decision == decision.name
    assert retry.Decision(decision.name) is decision
