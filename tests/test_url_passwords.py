"""No message shows a password, whichever special characters it has, quoted or not."""

import io
import json
import logging
import subprocess
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackl_flow import exceptions as exc
from stackl_flow import urls
from stackl_flow.kv import backends as stores
from stackl_flow.kv.items import Put
from stackl_flow.persistence import backends as flows

SCHEMES = ["redis", "rediss", "unix", "postgresql", "mysql", "mariadb", "etcd", "zookeeper"]
SPECIAL = "?@/#:%&= +"
#: Parts that no message has by chance.
PARTS = ("Qxvj", "Wkzp", "Ygfh")

passwords = st.lists(st.sampled_from(SPECIAL), min_size=1, max_size=2).map(
    lambda characters: "".join(f"{part}{c}" for part, c in zip(PARTS, characters, strict=False)) + PARTS[2]
)


def make_url(scheme, password, options=""):
    place = {"unix": "/nonexistent/socket", "postgresql": "127.0.0.1:1/db", "mysql": "127.0.0.1:1/db"}
    return f"{scheme}://me:{password}@{place.get(scheme, '127.0.0.1:1/0')}{options}"


def check(text, password):
    for part in PARTS:
        assert part not in text, (text, password)


def shown_by(action):
    """Return everything that an action shows: output, logs, the error, its repr, causes and traceback."""
    out, log = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger().addHandler(handler)
    error = None
    try:
        with redirect_stdout(out), redirect_stderr(out):
            action()
    except exc.StacklFlowError as caught:
        error = caught
    finally:
        logging.getLogger().removeHandler(handler)
    text = out.getvalue() + log.getvalue()
    while error is not None:
        text += f"{error} {error!r} {error.args}"
        text += "".join(traceback.format_exception(error))
        error = error.__cause__ or error.__context__
    return text


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=15, deadline=None)
@given(password=passwords, options=st.sampled_from(["", "?timeout=1", "?colour=red", "?timeout=never"]))
def test_passwords_are_not_shown(scheme, password, options):
    url = make_url(scheme, password, options)

    def use_store():
        with stores.fetch(url) as kv:
            print(kv, kv.name)  # noqa: T201
            if "timeout=1" in options and scheme in {"unix", "redis"}:
                kv.commit(puts=[Put("a", "1")])

    def use_flows():
        with flows.fetch(url) as backend:
            print(backend, backend.name)  # noqa: T201

    check(shown_by(use_store), password)
    check(shown_by(use_flows), password)
    parsed = urls.parse(url)
    check(f"{parsed} {parsed!r} {parsed.masked_url}", password)
    if not any(character in password for character in "%+ "):
        assert parsed.login == ("me", password)
    assert urls.parse(make_url(scheme, quote(password, safe=""))).login == ("me", password)


@pytest.mark.parametrize("character", SPECIAL)
@pytest.mark.parametrize("scheme", ["redis", "postgresql", "mysql", "etcd", "zookeeper"])
def test_errors_of_connections_do_not_show_it(scheme, character):
    password = f"Qxvj{character}Wkzp"
    url = make_url(scheme, password)

    def use():
        with stores.fetch({"connection": url, "timeout": 1}) as kv:
            kv.commit(puts=[Put("a", "1")])

    text = shown_by(use)
    assert "StorageFailure" in text
    check(text, password)


@pytest.mark.parametrize(
    "text", ["redis:me:{}@host/0", "redis:/me:{}@host/0", "me:{}@host/db", "re dis://me:{}@host"]
)
@pytest.mark.parametrize("character", SPECIAL)
def test_malformed_urls_do_not_show_it(text, character):
    password = f"Qxvj{character}Wkzp"
    with pytest.raises(exc.InvalidFormat) as caught:
        stores.fetch(text.format(password))
    check(f"{caught.value} {caught.value!r}", password)


@pytest.mark.parametrize("character", "?@/#")
@pytest.mark.parametrize("scheme", ["redis", "postgresql", "etcd"])
def test_the_command_line_does_not_show_it(scheme, character):
    url = make_url(scheme, f"Qxvj{character}Wkzp", "?timeout=1")
    for arguments in (["flows", "list", "--db", url], ["jobs", "list", "--board", url, "--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "stackl_flow.cli", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode != 0
        check(done.stdout + done.stderr, url)


@pytest.mark.parametrize(
    ("url", "login", "options"),
    [
        (
            "redis://host:6379/0?sentinel_kwargs=" + json.dumps({"password": "a@b"}),
            ("", ""),
            {"sentinel_kwargs"},
        ),
        ("postgresql://u:p@h:1/db?options=-c@x", ("u", "p"), {"options"}),
        ("redis://[::1]:6379/0?password=a@b", ("", ""), {"password"}),
        ("postgresql://u@h/db", ("u", ""), set()),
        ("zookeeper://u:p@h:1,h:2/x?timeout=3", ("u", "p"), {"timeout"}),
        ("unix:///run/a@b.sock", ("", ""), set()),
        ("dir:///a@b/c", ("", ""), set()),
        ("sqlite:////a:b@c/d.db", ("", ""), set()),
        ("redis://u:1?x=2@h/0?timeout=1", ("u", "1?x=2"), {"timeout"}),
    ],
)
def test_logins(url, login, options):
    parsed = urls.parse(url)
    assert parsed.login == login
    assert set(parsed.options) == options
    if login == ("", ""):
        assert parsed.conf["connection"] == url
