"""Backend URLs and settings parse into one frozen value, or raise one clear error."""

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import urls


@pytest.mark.parametrize(
    ("conf", "backend", "location", "options"),
    [
        ("memory", "memory", "", {}),
        ("memory?a=1", "memory", "", {"a": "1"}),
        ("memory://name", "memory", "name", {}),
        ("sqlite:///rel.db", "sqlite", "/rel.db", {}),
        ("sqlite:////abs/x.db?timeout=5&a=", "sqlite", "//abs/x.db", {"timeout": "5", "a": ""}),
        ("postgresql+psycopg://u:p@h:1/db", "postgresql", "u:p@h:1/db", {}),
        ("dir:///abs/x", "dir", "/abs/x", {}),
        ("flows.db", "sqlite", "/flows.db", {}),
        ("./flows?timeout=3", "sqlite", "/./flows", {"timeout": "3"}),
        ({"connection": "/var/flows.db"}, "sqlite", "//var/flows.db", {}),
        ({"connection": "dir:", "path": "/x"}, "dir", "", {"path": "/x"}),
        ({"connection": " memory ", "timeout": 3}, "memory", "", {"timeout": 3}),
    ],
)
def test_parse(conf, backend, location, options):
    url = urls.parse(conf)
    assert (url.backend, url.location, dict(url.options)) == (backend, location, options)


@pytest.mark.parametrize(
    "conf", [None, 3, "", {}, {"connection": None}, {"connection": ""}, "redis:/host", "a b://c"]
)
def test_invalid_urls(conf):
    with pytest.raises(exc.InvalidFormat, match="URL"):
        urls.parse(conf)


def test_the_password_is_masked():
    url = urls.parse("postgresql://me:secret@host/db?x=1")
    assert url.masked_url == "postgresql://me:***@host/db"
    assert "secret" not in repr(url)
    with pytest.raises(exc.InvalidFormat) as caught:
        url.read_options()
    assert "secret" not in str(caught.value)


def test_options_are_converted():
    url = urls.parse({"connection": "memory?a=1.5&b=yes", "c": 7})
    options = url.read_options(a=float, b=bool, c=int, d=str)
    assert dict(options.values) == {"a": 1.5, "b": True, "c": 7}


@pytest.mark.parametrize(
    ("query", "text"), [("a=x", "float"), ("b=perhaps", "bool"), ("z=1", "known options are a, b")]
)
def test_invalid_options(query, text):
    with pytest.raises(exc.InvalidFormat, match=text):
        urls.parse(f"memory?{query}").read_options(a=float, b=bool)


def test_an_option_of_none_counts_as_not_given():
    assert dict(urls.parse({"connection": "memory", "a": None}).read_options(a=int).values) == {}
