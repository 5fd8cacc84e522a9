"""Secrets are in no log, no output of a listener and no output of any command."""

import json
import subprocess
import sys

import pytest

from stackl_flow import engines
from stackl_flow import exceptions as exc
from stackl_flow.jobboards import backends as boards
from stackl_flow.persistence import backends as stores
from stackl_flow.persistence.models import FlowDetail, LogBook, new_uuid
from stackl_flow.submission import post_flow
from tests.cli import secret_flows
from tests.cli.conftest import ROOT, environment

MODULE = "tests.cli.secret_flows"


@pytest.fixture
def urls(tmp_path):
    return f"sqlite:///{tmp_path}/flows.db", f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def opened(urls):
    with (
        stores.backend(urls[0]) as backend,
        boards.backend("default", urls[1], persistence=backend) as board,
    ):
        yield board, backend


def assert_redacted(text):
    found = [part for part in secret_flows.PARTS if part in text]
    assert not found, [line for line in text.splitlines() if any(part in line for part in found)][:5]


def post(opened, factory, **kwargs):
    return post_flow(
        *opened, f"{MODULE}.{factory}", store=secret_flows.STORE, secrets=secret_flows.SECRETS, **kwargs
    )


def conduct(urls, dispatches, *options):
    """Run a conductor in its own process, and return everything that it printed and logged."""
    done = subprocess.run(
        [sys.executable, "-m", MODULE, *urls, str(dispatches), *options],
        cwd=ROOT,
        env=environment(PYTHONIOENCODING="utf-8"),
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_no_output_contains_a_secret(opened, urls, invoke):
    board, _ = opened
    jobs = {
        "good": post(opened, "good"),
        "bad": post(opened, "bad"),
        "stuck": post(opened, "bad", factory_kwargs={"block": True}),
    }
    job_details = {"store": secret_flows.STORE, "secrets": secret_flows.SECRETS}
    _, backend = opened
    book = LogBook("details")  # of a flow whose inputs are in the job, as TaskFlow's programs post them
    storage = engines.load_from_factory(f"{MODULE}.good", book=book, backend=backend).storage
    jobs["details"] = board.post("details", book, {**job_details, "flow_uuid": storage.flow_uuid})
    output = conduct(urls, len(jobs))
    assert output.count("with result") > 10  # the listeners have written
    assert "***" in output
    assert "cannot log in with" in output
    assert "listener received" in output
    assert_redacted(output)

    def run(*arguments):
        result = invoke(*arguments, STACKL_FLOW_DB=urls[0], STACKL_FLOW_BOARD=urls[1])
        assert_redacted(result.out + result.err)
        return result

    for name, job in jobs.items():
        shown = run("jobs", "show", job.uuid, "--json").data
        if name == "stuck":
            assert shown["state"] == "dead"
        else:
            assert shown["outcome"]["state"] == {"bad": "REVERTED"}.get(name, "SUCCESS")
        run("jobs", "show", job.uuid)
        flow = job.details["flow_uuid"]
        for arguments in (["show", flow], ["show", flow, "--results"], ["history", flow], ["graph", flow]):
            run(*arguments)
            run(*arguments, "--json")
        run("--debug", "show", flow, "--results", "--json")
        run("resume", flow, "--results")
    shown = run("show", jobs["good"].details["flow_uuid"], "--results", "--json").data
    assert [atom["result"] for atom in shown["atoms"]] == [
        {"$tuple": ["***", "ann:***"]},
        {"url": "https://ann:***@example", "size": 3},
    ]
    run("jobs", "list", "--state", "dead", "--json")


def test_results_of_jobs_are_redacted(opened, urls):
    good, bad = post(opened, "good"), post(opened, "bad")
    conduct(urls, 2)
    result = good.result(0)
    assert {result[name] for name in ("password", "token", "key")} == {"***"}
    assert result["account"] == {"pin": "***", "name": "ann"}
    assert result["page"] == {"url": "https://ann:***@example", "size": 3}
    with pytest.raises(exc.WrappedFailure, match=r"cannot log in with .{0,4}\*\*\*") as caught:
        bad.result(0)
    assert_redacted(f"{caught.value} {caught.value!r} {list(caught.value)} {good!r}")


def test_details_of_jobs_are_redacted(opened, urls, invoke):
    board, _ = opened
    job = board.post(
        "waits", details={"store": secret_flows.STORE, "secrets": secret_flows.SECRETS, "size": 3}
    )
    assert job.details["store"] == secret_flows.STORE
    for arguments in (["jobs", "list"], ["jobs", "show", job.uuid]):
        for options in ([], ["--json"]):
            result = invoke(*arguments, *options, STACKL_FLOW_BOARD=urls[1])
            assert result.code == 0
            assert_redacted(result.out + result.err)
    assert_redacted(f"{job!r} {board.get_snapshot(job)!r}")
    details = invoke("jobs", "show", job.uuid, "--json", STACKL_FLOW_BOARD=urls[1]).data["details"]
    assert details["size"] == 3
    assert details["store"]["account"] == {"name": "ann", "pin": "***"}


def test_a_factory_whose_error_contains_its_argument_is_redacted(opened, urls, invoke):
    board, backend = opened
    book = LogBook("broken")
    with backend.get_connection() as connection:
        flow = stored_flow(book)
        connection.save_logbook(book)
    job = board.post("broken", book, {"flow_uuid": flow.uuid})
    assert_redacted(conduct(urls, 1, "1"))
    (dead,) = board.dead_letters
    assert dead.uuid == job.uuid
    assert "PrintedError: printed ***" in dead.reason
    result = invoke("resume", flow.uuid, STACKL_FLOW_DB=urls[0])
    assert result.code == 2
    assert_redacted(result.out + result.err)


def stored_flow(book):
    """Add a flow to a logbook whose factory raises an error that contains its argument."""
    flow = FlowDetail("broken", new_uuid())
    flow.meta = {
        "factory": {"name": f"{MODULE}.broken", "args": [], "kwargs": {"password": secret_flows.PASSWORD}},
        "secrets": ["password"],
    }
    book.add(flow)
    return flow


def test_a_secret_is_read_from_a_file(invoke, tmp_path, db):
    (tmp_path / "password").write_text(secret_flows.PASSWORD + "\n", encoding="utf-8")
    (tmp_path / "key").write_text(secret_flows.KEY + "\n", encoding="utf-8")
    arguments = [
        f"{MODULE}:bad",
        "--secret",
        f"password=@{tmp_path}/password",
        "--secret",
        f"key=@{tmp_path}/key",
    ]
    account = json.dumps(secret_flows.STORE["account"])
    for first in ([], ["--debug"]):
        result = invoke(*first, "run", *arguments, "--store", f"account={account}", "--results", "--db", db)
        assert result.code == 1
        assert "cannot log in with" in result.out
        secrets = [
            part for part in secret_flows.PARTS if part not in {"739102", "5e1f0a77"}
        ]  # no secrets here
        assert not [part for part in secrets if part in result.out + result.err]
    flow = invoke("list", "--db", db, "--json").data[0]["uuid"]
    shown = invoke("show", flow, "--db", db, "--results")
    assert "tr0ub4dor" not in shown.out


def test_errors_about_a_secret_do_not_contain_its_value(invoke, tmp_path):
    for value in ("=hush-hush", "a b=hush-hush", "password=hush-hush"):
        arguments = ["--store", "password=1"] if value.startswith("password") else []
        result = invoke("run", f"{MODULE}:good", *arguments, "--secret", value)
        assert result.code == 2
        assert "hush" not in result.out + result.err
    result = invoke("run", f"{MODULE}:good", "--secret", f"password=@{tmp_path}/nowhere")
    assert result.code == 2
    assert "cannot read 'password'" in result.err
    result = invoke("run", f"{MODULE}:good", "--secret", "password")
    assert result.code == 2
    assert "password=@FILE" in result.err
