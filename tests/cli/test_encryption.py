"""An encrypting codec is used for everything that is stored of a flow, and can be named in the URL."""

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.conductors import Conductor
from stackl_flow.jobboards import backends as boards
from stackl_flow.persistence import backends as stores
from stackl_flow.submission import post_flow
from tests.cli import encrypted, secret_flows

ENCRYPTED = "codec=tests.cli.encrypted:codec"


@pytest.fixture(params=["sqlite:///{}/flows.db", "dir://{}/flows"])
def url(request, tmp_path):
    return request.param.format(tmp_path)


def stored_bytes(tmp_path):
    return b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_inputs_and_results_are_stored_encrypted(url, tmp_path):
    full_url = f"{url}?{ENCRYPTED}"
    with (
        stores.backend(full_url) as backend,
        boards.backend("jobs", f"sqlite:///{tmp_path}/jobs.db", persistence=backend) as board,
    ):
        jobs = [
            post_flow(
                board,
                backend,
                f"tests.cli.secret_flows.{name}",
                store=secret_flows.STORE,
                secrets=secret_flows.SECRETS,
            )
            for name in ("good", "bad")
        ]
        Conductor("ann", board, backend).run(max_dispatches=2)
        assert jobs[0].result(0)["page"]["size"] == 3
        with backend.get_connection() as connection:
            flow = connection.get_flow_details(jobs[0].details["flow_uuid"])
        assert flow.meta["injected"] == secret_flows.STORE
    stored = stored_bytes(tmp_path)
    assert not [part for part in secret_flows.PARTS if part.encode() in stored]


def test_commands_use_the_codec_of_the_url(invoke, tmp_path):
    db = f"sqlite:///{tmp_path}/flows.db?{ENCRYPTED}"
    arguments = ["run", "tests.cli.shop:order", "--store", "order=4711471147114711"]
    assert invoke(*arguments, "--db", db).code == 0
    assert b"4711471147114711" not in stored_bytes(tmp_path)
    shown = invoke("show", "order", "--results", "--db", db)
    assert "4711471147114711" in shown.out
    without = invoke("show", "order", "--db", f"sqlite:///{tmp_path}/flows.db")
    assert without.code == 5
    assert "?codec=module:name" in without.err


def test_settings_can_name_the_codec(tmp_path):
    conf = {
        "connection": f"sqlite:///{tmp_path}/flows.db?timeout=3",
        "codec": "tests.cli.encrypted:EncryptingCodec",
    }
    with stores.backend(conf) as backend:
        assert isinstance(backend.codec, encrypted.EncryptingCodec)
    with stores.backend(conf["connection"], codec=encrypted.codec) as backend:
        assert backend.codec is encrypted.codec


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nowhere:codec", exc.NotFound, "No module named 'nowhere'"),
        ("tests.cli.encrypted:lost", exc.NotFound, "lost"),
        ("tests.cli.encrypted", exc.InvalidFormat, "module:attribute"),
    ],
)
def test_a_missing_codec_is_named_in_the_error(name, error, message, invoke, tmp_path):
    url = f"sqlite:///{tmp_path}/flows.db?codec={name}"
    with pytest.raises(error, match=message):
        stores.fetch(url)
    result = invoke("db", "upgrade", "--db", url)
    assert result.code == 5
    assert message in result.err
