"""A codec that encrypts is used for all that is stored of a flow, and can be named in the address."""

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.conductors import Conductor
from stackl_flow.jobboards import backends as boards
from stackl_flow.persistence import backends as stores
from stackl_flow.submission import post_flow
from tests.cli import sealed, vault

SEALED = "codec=tests.cli.sealed:codec"


@pytest.fixture(params=["sqlite:///{}/flows.db", "dir://{}/flows"])
def place(request, tmp_path):
    return request.param.format(tmp_path)


def everything(tmp_path):
    return b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_what_a_flow_is_given_and_gives_is_stored_encrypted(place, tmp_path):
    address = f"{place}?{SEALED}"
    with (
        stores.backend(address) as backend,
        boards.backend("jobs", f"sqlite:///{tmp_path}/jobs.db", persistence=backend) as board,
    ):
        jobs = [
            post_flow(board, backend, f"tests.cli.vault.{name}", store=vault.STORE, secrets=vault.SECRETS)
            for name in ("good", "bad")
        ]
        Conductor("ann", board, backend).run(max_dispatches=2)
        assert jobs[0].result(0)["page"]["size"] == 3
        with backend.get_connection() as connection:
            flow = connection.get_flow_details(jobs[0].details["flow_uuid"])
        assert flow.meta["injected"] == vault.STORE
    stored = everything(tmp_path)
    assert not [part for part in vault.PARTS if part.encode() in stored]


def test_the_commands_read_it_with_the_address(give, tmp_path):
    db = f"sqlite:///{tmp_path}/flows.db?{SEALED}"
    words = ["run", "tests.cli.shop:order", "--store", "order=4711471147114711"]
    assert give(*words, "--db", db).code == 0
    assert b"4711471147114711" not in everything(tmp_path)
    shown = give("show", "order", "--results", "--db", db)
    assert "4711471147114711" in shown.out
    without = give("show", "order", "--db", f"sqlite:///{tmp_path}/flows.db")
    assert without.code == 5
    assert "?codec=module:name" in without.err


def test_settings_may_name_it(tmp_path):
    conf = {"connection": f"sqlite:///{tmp_path}/flows.db?timeout=3", "codec": "tests.cli.sealed:Sealed"}
    with stores.backend(conf) as backend:
        assert isinstance(backend.codec, sealed.Sealed)
    with stores.backend(conf["connection"], codec=sealed.codec) as backend:
        assert backend.codec is sealed.codec


@pytest.mark.parametrize(
    ("name", "error", "word"),
    [
        ("nowhere:codec", exc.NotFound, "No module named 'nowhere'"),
        ("tests.cli.sealed:lost", exc.NotFound, "lost"),
        ("tests.cli.sealed", exc.InvalidFormat, "module:name"),
    ],
)
def test_a_codec_that_is_not_there_is_named(name, error, word, give, tmp_path):
    address = f"sqlite:///{tmp_path}/flows.db?codec={name}"
    with pytest.raises(error, match=word):
        stores.fetch(address)
    answer = give("db", "upgrade", "--db", address)
    assert answer.code == 5
    assert word in answer.err
