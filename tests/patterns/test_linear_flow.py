"""The linear flow."""

from stackl_flow import LinearFlow
from tests.patterns.items import item


def test_items_are_linked_in_the_order_in_which_they_were_added():
    a, b, c = (item(name) for name in "cab")
    flow = LinearFlow("f").add(a).add(b, c)
    assert [(u, v) for u, v, _ in flow.iter_links()] == [(a, b), (b, c)]
    assert all(meta == {"invariant": True} for _, _, meta in flow.iter_links())


def test_an_earlier_item_provides_for_a_later_one_and_not_the_other_way_round():
    giver, taker = item("giver", "x"), item("taker", None, ["x"])
    assert LinearFlow("f").add(giver, taker).requires == frozenset()
    assert LinearFlow("f").add(taker, giver).requires == {"x"}


def test_an_item_does_not_provide_for_itself():
    assert LinearFlow("f").add(item("a", "x", ["x"])).requires == {"x"}
