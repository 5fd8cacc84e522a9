"""Addresses and settings become one frozen value, or one clear error."""

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import urls


@pytest.mark.parametrize(
    ("conf", "plug", "location", "options"),
    [
        ("memory", "memory", "", {}),
        ("memory?a=1", "memory", "", {"a": "1"}),
        ("memory://name", "memory", "name", {}),
        ("sqlite:///rel.db", "sqlite", "/rel.db", {}),
        ("sqlite:////abs/x.db?timeout=5&a=", "sqlite", "//abs/x.db", {"timeout": "5", "a": ""}),
        ("postgresql+psycopg://u:p@h:1/db", "postgresql", "u:p@h:1/db", {}),
        ("dir:///abs/x", "dir", "/abs/x", {}),
        ({"connection": "dir:", "path": "/x"}, "dir", "", {"path": "/x"}),
        ({"connection": " memory ", "timeout": 3}, "memory", "", {"timeout": 3}),
    ],
)
def test_addresses(conf, plug, location, options):
    place = urls.parse(conf)
    assert (place.backend, place.location, dict(place.options)) == (plug, location, options)


@pytest.mark.parametrize(
    "conf", [None, 3, "", {}, {"connection": None}, {"connection": ""}, "/x.db", "a b://c"]
)
def test_no_address(conf):
    with pytest.raises(exc.InvalidFormat, match=r"address"):
        urls.parse(conf)


def test_password_is_not_shown():
    place = urls.parse("postgresql://me:secret@host/db?x=1")
    assert place.masked_url == "postgresql://me:***@host/db"
    assert "secret" not in repr(place)
    with pytest.raises(exc.InvalidFormat) as caught:
        place.read_options()
    assert "secret" not in str(caught.value)


def test_options_are_typed():
    place = urls.parse({"connection": "memory?a=1.5&b=yes", "c": 7})
    given = place.read_options(a=float, b=bool, c=int, d=str).values
    assert dict(given) == {"a": 1.5, "b": True, "c": 7}


@pytest.mark.parametrize(
    ("query", "word"), [("a=x", "float"), ("b=perhaps", "bool"), ("z=1", "known are a, b")]
)
def test_bad_options(query, word):
    with pytest.raises(exc.InvalidFormat, match=word):
        urls.parse(f"memory?{query}").read_options(a=float, b=bool)


def test_an_option_of_none_was_not_given():
    assert dict(urls.parse({"connection": "memory", "a": None}).read_options(a=int).values) == {}
