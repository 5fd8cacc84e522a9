"""Depths of deciders."""

import pytest

from stackl_flow.patterns.deciders import Depth, pick_widest


@pytest.mark.parametrize("depth", Depth)
def test_a_word_in_any_case_is_a_depth(depth):
    assert Depth.translate(depth) is depth
    assert Depth.translate(depth.name) is depth
    assert Depth.translate(depth.name.lower()) is depth


def test_an_unknown_word_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'deep': expected one of ALL, FLOW, NEIGHBORS, ATOM"):
        Depth.translate("deep")


@pytest.mark.parametrize("thing", [5, None, ["ALL"]])
def test_what_is_no_word_is_refused(thing):
    with pytest.raises(TypeError, match="give one of ALL"):
        Depth.translate(thing)


@pytest.mark.parametrize(
    ("depths", "widest"),
    [
        (["ATOM"], "ATOM"),
        (["ATOM", "NEIGHBORS"], "NEIGHBORS"),
        (["NEIGHBORS", "FLOW", "ATOM"], "FLOW"),
        (["FLOW", "ALL"], "ALL"),
        ([Depth.ATOM, "flow"], "FLOW"),
    ],
)
def test_the_widest(depths, widest):
    assert pick_widest(depths) is Depth[widest]
