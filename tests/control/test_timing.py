"""Working times are derived from transitions; the time after a crash is not working time."""

from stackl_flow.control.views import NOT_STARTED, Timing, measure
from stackl_flow.persistence.records import Transition


def transitions(*steps, owner="a"):
    return [
        Transition(number, "atom", None, state, at, by or owner)
        for number, (state, at, by) in enumerate((*step, None)[:3] for step in steps)
    ]


def test_not_started():
    assert measure([], {}) == NOT_STARTED
    assert measure(transitions(("PENDING", 1.0)), {"a": 1.0}) == NOT_STARTED


def test_one_attempt():
    assert measure(transitions(("RUNNING", 10), ("SUCCESS", 12.5)), {"a": 0}) == Timing(
        10, 12.5, 2.5, None, 1
    )


def test_revert_time_is_part_of_the_total():
    steps = transitions(("RUNNING", 10), ("FAILURE", 11), ("REVERTING", 20), ("REVERTED", 20.5))
    assert measure(steps, {"a": 0}) == Timing(10, 20.5, 1.5, 0.5, 1)


def test_a_running_atom_has_not_ended():
    assert measure(transitions(("RUNNING", 10)), {"a": 0}) == Timing(10, None, None, None, 1)
    retried = transitions(
        ("RUNNING", 10),
        ("FAILURE", 11),
        ("REVERTING", 11),
        ("REVERTED", 12),
        ("PENDING", 12),
        ("RUNNING", 13),
    )
    assert measure(retried, {"a": 0}) == Timing(10, None, 2, 1, 2)


def test_the_time_between_two_owners_does_not_count():
    steps = transitions(("RUNNING", 10, "a"), ("SUCCESS", 105, "b"))
    assert measure(steps, {"a": 9, "b": 100}) == Timing(10, 105, 5, None, 2)


def test_a_clock_that_was_set_back_gives_no_negative_time():
    assert measure(transitions(("RUNNING", 10), ("SUCCESS", 5)), {"a": 10}).seconds == 0


def test_ignored():
    assert measure(transitions(("IGNORE", 7)), {"a": 0}) == Timing(None, 7, None, None, 0)
