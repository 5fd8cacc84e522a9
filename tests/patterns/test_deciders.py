"""Decider depths."""

import pytest

from stackl_flow.patterns.deciders import Depth, pick_widest


@pytest.mark.parametrize("depth", Depth)
def test_translate_accepts_names_in_any_case(depth):
    assert Depth.translate(depth) is depth
    assert Depth.translate(depth.name) is depth
    assert Depth.translate(depth.name.lower()) is depth


def test_the_error_for_an_unknown_name_lists_the_depths():
    with pytest.raises(ValueError, match="'deep': expected one of ALL, FLOW, NEIGHBORS, ATOM"):
        Depth.translate("deep")


@pytest.mark.parametrize("value", [5, None, ["ALL"]])
def test_other_types_are_an_error(value):
    with pytest.raises(TypeError, match="pass one of ALL"):
        Depth.translate(value)


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
def test_pick_widest(depths, widest):
    assert pick_widest(depths) is Depth[widest]
