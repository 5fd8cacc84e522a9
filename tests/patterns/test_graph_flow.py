"""The graph flow and the targeted flow."""

import pytest

from stackl_flow import Depth, GraphFlow, LinearFlow, TargetedFlow, engines
from stackl_flow import exceptions as exc
from tests.engines.tasks import Step
from tests.patterns.items import item


def links(flow):
    return sorted((u.name, v.name) for u, v, _ in flow.iter_links())


def meta(flow, before, after):
    (attributes,) = [m for u, v, m in flow.iter_links() if (u.name, v.name) == (before, after)]
    return attributes


# ------------------------------------------------------------------ links by name


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_items_are_linked_by_name_in_any_order_of_addition(order):
    items = {"a": item("a", "x"), "b": item("b", None, ["x"])}
    flow = GraphFlow("f").add(*(items[name] for name in order))
    assert links(flow) == [("a", "b")]
    assert meta(flow, "a", "b")["reasons"] == {"x"}
    assert [each.name for each in flow] == ["a", "b"]
    assert flow.requires == frozenset()


def test_several_names_are_one_link_with_several_reasons():
    flow = GraphFlow("f").add(item("a", ["x", "y"]), item("b", None, ["x", "y"]))
    assert meta(flow, "a", "b")["reasons"] == {"x", "y"}


def test_nested_flows_are_linked():
    inner = LinearFlow("in").add(item("b", "y", ["x"]))
    assert links(GraphFlow("f").add(inner, item("a", "x"), item("c", None, ["y"]))) == [
        ("a", "in"),
        ("in", "c"),
    ]


def test_resolve_requires_false():
    flow = GraphFlow("f").add(item("a", "x"))
    flow.add(item("b", None, ["x"]), resolve_requires=False)
    assert links(flow) == []
    assert flow.requires == {"x"}


def test_resolve_existing_false():
    flow = GraphFlow("f").add(item("b", None, ["x"]))
    flow.add(item("a", "x"), resolve_existing=False)
    assert links(flow) == []


def test_two_providers_of_a_required_name_are_an_error_and_the_flow_does_not_change():
    flow = GraphFlow("f").add(item("one", "x"), item("two", "x"), item("far"))
    with pytest.raises(
        exc.AmbiguousDependency, match=r"\['one', 'two'\] of 'x'.*'consumer' requires.*resolve_requires=False"
    ):
        flow.add(item("other"), item("consumer", None, ["x"]))
    assert [each.name for each in flow] == ["one", "two", "far"]
    flow.add(item("consumer", None, ["x"]), resolve_requires=False)
    assert len(flow) == 4


def test_an_item_with_a_provider_is_not_linked_to_a_second_one():
    flow = GraphFlow("f").add(item("consumer", None, ["x"])).add(item("one", "x")).add(item("two", "x"))
    assert links(flow) == [("one", "consumer")]


def test_an_item_whose_ancestor_provides_is_not_linked_to_a_second_one():
    a, b, c = item("a", "x"), item("b"), item("c", None, ["x"])
    flow = GraphFlow("f").add(c, resolve_requires=False).add(a, b, resolve_existing=False)
    flow.link(a, b).link(b, c).add(item("second", "x"))
    assert links(flow) == [("a", "b"), ("b", "c")]
    assert flow.requires == frozenset()


# ------------------------------------------------------------------ explicit links


def test_an_explicit_link():
    a, b = item("b"), item("a")
    flow = GraphFlow("f").add(b, a)
    assert flow.link(a, b) is flow
    assert list(flow) == [a, b]
    assert meta(flow, "b", "a")["manual"] is True


def test_an_explicit_link_keeps_the_reasons_of_an_implicit_one():
    a, b = item("a", "x"), item("b", None, ["x"])
    flow = GraphFlow("f").add(a, b).link(a, b, decider=bool)
    attributes = meta(flow, "a", "b")
    assert attributes["reasons"] == {"x"}
    assert (attributes["decider"], attributes["decider_depth"]) == (bool, Depth.ALL)


@pytest.mark.parametrize("depth", [Depth.FLOW, "FLOW", "flow"])
def test_a_link_with_a_decider_depth(depth):
    a, b = item("a"), item("b")
    flow = GraphFlow("f").add(a, b).link(a, b, decider=bool, decider_depth=depth)
    assert meta(flow, "a", "b")["decider_depth"] is Depth.FLOW


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"decider": 5}, ValueError, "must be callable"),
        ({"decider_depth": "ALL"}, ValueError, "requires a decider"),
        ({"decider": bool, "decider_depth": "deep"}, ValueError, "'deep'.*ALL, FLOW, NEIGHBORS, ATOM"),
        ({"decider": bool, "decider_depth": 5}, TypeError, "depth 5"),
    ],
)
def test_invalid_links(kwargs, error, message):
    a, b = item("a"), item("b")
    flow = GraphFlow("f").add(a, b)
    with pytest.raises(error, match=message):
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


def test_an_item_cannot_be_linked_to_itself():
    a = item("a")
    with pytest.raises(exc.DependencyFailure, match="'a' -> 'a'"):
        GraphFlow("f").add(a).link(a, a)


def test_an_item_does_not_provide_for_itself():
    flow = GraphFlow("f").add(item("a", "x", ["x"]))
    assert links(flow) == []
    assert flow.requires == {"x"}


def test_the_error_names_a_nested_flow_in_a_cycle():
    inner = LinearFlow("inner").add(item("b", "y", ["x"]))
    flow = GraphFlow("f").add(inner)
    with pytest.raises(exc.DependencyFailure, match="'inner'"):
        flow.add(item("a", "x", ["y"]))
    assert list(flow) == [inner]
    assert flow.requires == {"x"}


def test_other_items_can_be_added_after_an_error():
    flow = GraphFlow("f").add(item("a", "x", ["y"]))
    with pytest.raises(exc.DependencyFailure):
        flow.add(item("b", "y", ["x"]))
    flow.add(item("c", "y"))
    assert links(flow) == [("c", "a")]


# ------------------------------------------------------------------ order


def test_iteration_is_topological_with_ties_in_order_of_addition():
    items = {name: item(name) for name in "edcba"}
    flow = GraphFlow("f").add(*items.values()).link(items["a"], items["e"])
    assert [each.name for each in flow] == ["d", "c", "b", "a", "e"]


# ------------------------------------------------------------------ targets


@pytest.fixture
def fork():
    """Return a flow a -> b -> c with an independent d, and its items."""
    items = {name: Step(name, []) for name in "abcd"}
    items["d"] = Step("d", [], requires=["only d"])
    flow = TargetedFlow("f").add(*items.values()).link(items["a"], items["b"]).link(items["b"], items["c"])
    return flow, items


def test_only_the_target_and_its_dependencies_run(fork):
    flow, items = fork
    flow.set_target(items["b"])
    assert [each.name for each in flow] == ["a", "b"]
    assert links(flow) == [("a", "b")]
    assert len(flow) == 2
    assert flow.requires == frozenset()
    assert engines.run(flow) == {}
    assert items["a"].log == ["a"]
    assert items["c"].log == items["d"].log == []


def test_reset_target(fork):
    flow, items = fork
    flow.set_target(items["a"])
    flow.reset_target()
    assert len(flow) == 4
    assert flow.requires == {"only d"}


def test_a_target_must_be_in_the_flow(fork):
    with pytest.raises(ValueError, match="'f' first"):
        fork[0].set_target(item("z"))


def test_the_target_also_applies_to_items_added_later(fork):
    flow, items = fork
    flow.set_target(items["a"])
    flow.add(item("late"))
    assert [each.name for each in flow] == ["a"]
