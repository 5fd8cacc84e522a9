"""Times are read off the moves; the time of a crash is nobody's working time."""

from stackl_flow.control.views import NEVER, Times, measure
from stackl_flow.persistence.records import Transition


def moves(*steps, owner="a"):
    return [
        Transition(number, "atom", None, state, at, who or owner)
        for number, (state, at, who) in enumerate((*step, None)[:3] for step in steps)
    ]


def test_nothing_happened():
    assert measure([], {}) == NEVER
    assert measure(moves(("PENDING", 1.0)), {"a": 1.0}) == NEVER


def test_one_attempt():
    assert measure(moves(("RUNNING", 10), ("SUCCESS", 12.5)), {"a": 0}) == Times(10, 12.5, 2.5, None, 1)


def test_revert_time_is_part_of_the_total():
    steps = moves(("RUNNING", 10), ("FAILURE", 11), ("REVERTING", 20), ("REVERTED", 20.5))
    assert measure(steps, {"a": 0}) == Times(10, 20.5, 1.5, 0.5, 1)


def test_at_work_there_is_no_end():
    assert measure(moves(("RUNNING", 10)), {"a": 0}) == Times(10, None, None, None, 1)
    retried = moves(
        ("RUNNING", 10),
        ("FAILURE", 11),
        ("REVERTING", 11),
        ("REVERTED", 12),
        ("PENDING", 12),
        ("RUNNING", 13),
    )
    assert measure(retried, {"a": 0}) == Times(10, None, 2, 1, 2)


def test_the_time_between_two_owners_is_left_out():
    steps = moves(("RUNNING", 10, "a"), ("SUCCESS", 105, "b"))
    assert measure(steps, {"a": 9, "b": 100}) == Times(10, 105, 5, None, 2)


def test_a_clock_set_back_gives_no_negative_time():
    assert measure(moves(("RUNNING", 10), ("SUCCESS", 5)), {"a": 10}).seconds == 0


def test_ignored():
    assert measure(moves(("IGNORE", 7)), {"a": 0}) == Times(None, 7, None, None, 0)
