"""The unordered flow."""

from stackl_flow import UnorderedFlow, retry
from tests.patterns.items import item


def test_there_are_no_links():
    assert list(UnorderedFlow("f").add(item("a", "x"), item("b", None, ["x"])).iter_links()) == []


def test_items_do_not_provide_for_each_other():
    assert UnorderedFlow("f").add(item("a", "x"), item("b", None, ["x"])).requires == {"x"}


def test_the_retry_provides_for_all():
    flow = UnorderedFlow("f", retry.Times(1, provides="n")).add(
        item("a", None, ["n"]), item("b", None, ["n"])
    )
    assert flow.requires == frozenset()
