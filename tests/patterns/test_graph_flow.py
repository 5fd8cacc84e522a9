"""The graph flow and the targeted flow."""

import pytest

from stackl_flow import Depth, GraphFlow, LinearFlow, TargetedFlow, engines
from stackl_flow import exceptions as exc
from tests.engines.tasks import Step
from tests.patterns.items import item


def links(flow):
    return sorted((u.name, v.name) for u, v, _ in flow.iter_links())


def meta(flow, before, after):
    (found,) = [m for u, v, m in flow.iter_links() if (u.name, v.name) == (before, after)]
    return found


# ------------------------------------------------------------------ links by name


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_items_are_linked_by_what_they_need_whatever_the_order(order):
    items = {"a": item("a", "x"), "b": item("b", None, ["x"])}
    flow = GraphFlow("f").add(*(items[name] for name in order))
    assert links(flow) == [("a", "b")]
    assert meta(flow, "a", "b")["reasons"] == {"x"}
    assert [each.name for each in flow] == ["a", "b"]
    assert flow.requires == frozenset()


def test_several_needs_are_one_link_with_several_reasons():
    flow = GraphFlow("f").add(item("a", ["x", "y"]), item("b", None, ["x", "y"]))
    assert meta(flow, "a", "b")["reasons"] == {"x", "y"}


def test_flows_are_linked_too():
    inner = LinearFlow("in").add(item("b", "y", ["x"]))
    assert links(GraphFlow("f").add(inner, item("a", "x"), item("c", None, ["y"]))) == [
        ("a", "in"),
        ("in", "c"),
    ]


def test_without_resolution_nothing_is_linked():
    flow = GraphFlow("f").add(item("a", "x"))
    flow.add(item("b", None, ["x"]), resolve_requires=False)
    assert links(flow) == []
    assert flow.requires == {"x"}


def test_without_resolution_of_what_is_there_it_stays_unlinked():
    flow = GraphFlow("f").add(item("b", None, ["x"]))
    flow.add(item("a", "x"), resolve_existing=False)
    assert links(flow) == []


def test_two_providers_of_a_needed_name_are_refused_by_name_and_the_flow_stays_as_it_was():
    flow = GraphFlow("f").add(item("one", "x"), item("two", "x"), item("far"))
    with pytest.raises(
        exc.AmbiguousDependency, match=r"'needy'.*\['one', 'two'\].*'x'.*resolve_requires=False"
    ):
        flow.add(item("other"), item("needy", None, ["x"]))
    assert [each.name for each in flow] == ["one", "two", "far"]
    flow.add(item("needy", None, ["x"]), resolve_requires=False)
    assert len(flow) == 4


def test_what_is_provided_for_already_is_not_linked_to_a_second_provider():
    flow = GraphFlow("f").add(item("needy", None, ["x"])).add(item("one", "x")).add(item("two", "x"))
    assert links(flow) == [("one", "needy")]


def test_the_same_before_a_far_ancestor():
    a, b, c = item("a", "x"), item("b"), item("c", None, ["x"])
    flow = GraphFlow("f").add(c, resolve_requires=False).add(a, b, resolve_existing=False)
    flow.link(a, b).link(b, c).add(item("second", "x"))
    assert links(flow) == [("a", "b"), ("b", "c")]
    assert flow.requires == frozenset()


# ------------------------------------------------------------------ links by hand


def test_a_link_by_hand():
    a, b = item("b"), item("a")
    flow = GraphFlow("f").add(b, a)
    assert flow.link(a, b) is flow
    assert list(flow) == [a, b]
    assert meta(flow, "b", "a")["manual"] is True


def test_a_link_by_hand_keeps_the_reasons_of_one_by_name():
    a, b = item("a", "x"), item("b", None, ["x"])
    flow = GraphFlow("f").add(a, b).link(a, b, decider=bool)
    found = meta(flow, "a", "b")
    assert found["reasons"] == {"x"}
    assert (found["decider"], found["decider_depth"]) == (bool, Depth.ALL)


@pytest.mark.parametrize("depth", [Depth.FLOW, "FLOW", "flow"])
def test_a_link_with_a_depth(depth):
    a, b = item("a"), item("b")
    flow = GraphFlow("f").add(a, b).link(a, b, decider=bool, decider_depth=depth)
    assert meta(flow, "a", "b")["decider_depth"] is Depth.FLOW


@pytest.mark.parametrize(
    ("kwargs", "error", "words"),
    [
        ({"decider": 5}, ValueError, "must be callable"),
        ({"decider_depth": "ALL"}, ValueError, "requires a decider"),
        ({"decider": bool, "decider_depth": "deep"}, ValueError, "'deep'.*ALL, FLOW, NEIGHBORS, ATOM"),
        ({"decider": bool, "decider_depth": 5}, TypeError, "depth 5"),
    ],
)
def test_a_link_that_cannot_be(kwargs, error, words):
    a, b = item("a"), item("b")
    flow = GraphFlow("f").add(a, b)
    with pytest.raises(error, match=words):
        flow.link(a, b, **kwargs)
    assert links(flow) == []


def test_both_ends_of_a_link_must_be_in_the_flow():
    a, b = item("a"), item("b")
    flow = GraphFlow("f").add(a)
    with pytest.raises(ValueError, match=r'"b==1.0".*not found to link to: add it to \'f\''):
        flow.link(a, b)
    with pytest.raises(ValueError, match=r'"b==1.0".*not found to link from'):
        flow.link(b, a)


# ------------------------------------------------------------------ cycles


def test_an_item_is_not_linked_to_itself():
    a = item("a")
    with pytest.raises(exc.DependencyFailure, match="'a' -> 'a'"):
        GraphFlow("f").add(a).link(a, a)


def test_an_item_that_needs_what_it_gives_takes_it_from_outside():
    flow = GraphFlow("f").add(item("a", "x", ["x"]))
    assert links(flow) == []
    assert flow.requires == {"x"}


def test_a_cycle_through_a_nested_flow_is_named():
    inner = LinearFlow("inner").add(item("b", "y", ["x"]))
    flow = GraphFlow("f").add(inner)
    with pytest.raises(exc.DependencyFailure, match="'inner'"):
        flow.add(item("a", "x", ["y"]))
    assert list(flow) == [inner]
    assert flow.requires == {"x"}


def test_after_a_refused_addition_everything_else_can_be_added():
    flow = GraphFlow("f").add(item("a", "x", ["y"]))
    with pytest.raises(exc.DependencyFailure):
        flow.add(item("b", "y", ["x"]))
    flow.add(item("c", "y"))
    assert links(flow) == [("c", "a")]


# ------------------------------------------------------------------ order


def test_items_come_in_an_order_in_which_they_could_run_oldest_first_where_free():
    items = {name: item(name) for name in "edcba"}
    flow = GraphFlow("f").add(*items.values()).link(items["a"], items["e"])
    assert [each.name for each in flow] == ["d", "c", "b", "a", "e"]


# ------------------------------------------------------------------ targets


@pytest.fixture
def fork():
    """Give a flow a -> b -> c with d beside, and its items."""
    items = {name: Step(name, []) for name in "abcd"}
    items["d"] = Step("d", [], requires=["only d"])
    flow = TargetedFlow("f").add(*items.values()).link(items["a"], items["b"]).link(items["b"], items["c"])
    return flow, items


def test_only_the_target_and_what_is_before_it(fork):
    flow, items = fork
    flow.set_target(items["b"])
    assert [each.name for each in flow] == ["a", "b"]
    assert links(flow) == [("a", "b")]
    assert len(flow) == 2
    assert flow.requires == frozenset()
    assert engines.run(flow) == {}
    assert items["a"].log == ["a"]
    assert items["c"].log == items["d"].log == []


def test_a_target_can_be_taken_back(fork):
    flow, items = fork
    flow.set_target(items["a"])
    flow.reset_target()
    assert len(flow) == 4
    assert flow.requires == {"only d"}


def test_a_target_must_be_in_the_flow(fork):
    with pytest.raises(ValueError, match="'f' first"):
        fork[0].set_target(item("z"))


def test_a_target_holds_for_what_is_added_later(fork):
    flow, items = fork
    flow.set_target(items["a"])
    flow.add(item("late"))
    assert [each.name for each in flow] == ["a"]
