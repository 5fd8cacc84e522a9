"""Behaviour common to all flow patterns."""

import pytest

from stackl_flow import GraphFlow, LinearFlow, TargetedFlow, UnorderedFlow, retry
from stackl_flow import exceptions as exc
from tests.patterns.items import item

PATTERNS = [LinearFlow, UnorderedFlow, GraphFlow, TargetedFlow]


@pytest.fixture(params=PATTERNS, ids=lambda kind: kind.__module__.rpartition(".")[2] + "." + kind.__name__)
def kind(request):
    return request.param


def test_add_returns_the_flow_and_ignores_duplicates(kind):
    a, b = item("a"), item("b")
    flow = kind("f")
    assert flow.add(a, b, a) is flow
    assert flow.add(a) is flow
    assert len(flow) == 2
    assert list(flow) == [a, b]
    assert [node for node, _ in flow.iter_nodes()] == [a, b]


def test_an_empty_flow(kind):
    flow = kind("f")
    assert (len(flow), list(flow), list(flow.iter_links())) == (0, [], [])
    assert flow.provides == flow.requires == frozenset()


def test_name_and_retry(kind):
    controller = retry.Times(1)
    flow = kind(5, controller)
    assert flow.name == "5"
    assert flow.retry is controller
    assert controller.name == "5_retry"
    assert kind("f").retry is None


def test_a_named_retry_keeps_its_name(kind):
    assert kind("f", retry.Times(1, "mine")).retry.name == "mine"


def test_provides(kind):
    flow = kind("f", retry.Times(1, provides="n")).add(item("a", "x"), item("b", ["y", "z"]))
    assert flow.provides == {"n", "x", "y", "z"}


def test_requires_excludes_names_that_are_provided_within(kind):
    flow = kind("f", retry.ParameterizedForEach(provides="n")).add(
        item("a", "x", ["p", "n"]), item("b", None, ["q"])
    )
    assert flow.requires == {"values", "p", "q"}


def test_nested_flows_count_as_items(kind):
    inner = LinearFlow("in").add(item("a", "x", ["p"]), item("b", "y", ["x"]))
    flow = kind("f").add(inner)
    assert len(flow) == 1
    assert (flow.requires, flow.provides) == ({"p"}, {"x", "y"})


def test_str(kind):
    module = kind.__module__.rpartition(".")[2]
    assert str(kind("f").add(item("a"))) == f'"{module}.{kind.__name__}: f(len=1)"'


def test_nothing_is_added_if_one_item_is_invalid(kind):
    flow = kind("f")
    with pytest.raises(exc.NotAnAtom, match="cannot add to flow 'f': 5"):
        flow.add(item("a"), 5)
    assert len(flow) == 0
