"""The linear flow."""

from stackl_flow import LinearFlow
from tests.patterns.items import item


def test_items_are_linked_in_the_order_of_addition():
    a, b, c = (item(name) for name in "cab")
    flow = LinearFlow("f").add(a).add(b, c)
    assert [(u, v) for u, v, _ in flow.iter_links()] == [(a, b), (b, c)]
    assert all(meta == {"invariant": True} for _, _, meta in flow.iter_links())


def test_earlier_items_provide_for_later_ones_only():
    provider, consumer = item("provider", "x"), item("consumer", None, ["x"])
    assert LinearFlow("f").add(provider, consumer).requires == frozenset()
    assert LinearFlow("f").add(consumer, provider).requires == {"x"}


def test_an_item_does_not_provide_for_itself():
    assert LinearFlow("f").add(item("a", "x", ["x"])).requires == {"x"}
