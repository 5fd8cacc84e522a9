"""What is marked as secret is in no log, no listener's output and no answer of any command."""

import json
import subprocess
import sys

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.jobboards import backends as boards
from stackl_flow.persistence import backends as stores
from stackl_flow.persistence.models import FlowDetail, LogBook, new_uuid
from stackl_flow.submission import post_flow
from tests.cli import vault
from tests.cli.conftest import ROOT, environment

VAULT = "tests.cli.vault"


@pytest.fixture
def places(tmp_path):
    return f"sqlite:///{tmp_path}/flows.db", f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def opened(places):
    with (
        stores.backend(places[0]) as backend,
        boards.backend("default", places[1], persistence=backend) as board,
    ):
        yield board, backend


def tells_nothing(text):
    found = [part for part in vault.PARTS if part in text]
    assert not found, [line for line in text.splitlines() if any(part in line for part in found)][:5]


def post(opened, factory, **kwargs):
    return post_flow(*opened, f"{VAULT}.{factory}", store=vault.STORE, secrets=vault.SECRETS, **kwargs)


def conduct(places, dispatches):
    """Run a conductor in a process of its own, and return all that it printed and logged."""
    done = subprocess.run(
        [sys.executable, "-m", VAULT, *places, str(dispatches)],
        cwd=ROOT,
        env=environment(PYTHONIOENCODING="utf-8"),
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_nothing_tells_a_secret(opened, places, give):
    board, _ = opened
    jobs = {
        "good": post(opened, "good"),
        "bad": post(opened, "bad"),
        "parked": post(opened, "bad", factory_kwargs={"block": True}),
    }
    by_hand = {"store": vault.STORE, "secrets": vault.SECRETS}
    _, backend = opened
    plain = post_flow(board, backend, f"{VAULT}.good", store={})  # its flow is given to the job below
    details = {**by_hand, "flow_uuid": plain.details["flow_uuid"]}
    board.trash(board.claim(plain, "me"), "me")
    jobs["by hand"] = board.post("by hand", plain.book, details)
    said = conduct(places, len(jobs))
    assert said.count("with result") > 10  # the listeners have spoken
    assert "***" in said
    assert "cannot log in with" in said
    assert "a listener said" in said
    tells_nothing(said)

    def ask(*words):
        answer = give(*words, STACKL_FLOW_DB=places[0], STACKL_FLOW_BOARD=places[1])
        tells_nothing(answer.out + answer.err)
        return answer

    for name, job in jobs.items():
        told = ask("jobs", "show", job.uuid, "--json").data["outcome"]
        assert told["state"] == {"bad": "REVERTED", "parked": "REVERT_FAILURE"}.get(name, "SUCCESS")
        ask("jobs", "show", job.uuid)
        flow = job.details["flow_uuid"]
        for words in (["show", flow], ["show", flow, "--results"], ["history", flow], ["graph", flow]):
            ask(*words)
            ask(*words, "--json")
        ask("--debug", "show", flow, "--results", "--json")
        ask("resume", flow, "--results")
    shown = ask("show", jobs["good"].details["flow_uuid"], "--results", "--json").data
    assert [atom["result"] for atom in shown["atoms"]] == [
        {"$tuple": ["***", "ann:***"]},
        {"url": "https://ann:***@example", "size": 3},
    ]
    ask("jobs", "list", "--state", "dead", "--json")


def test_who_posted_is_told_without_the_secrets(opened, places):
    good, bad = post(opened, "good"), post(opened, "bad")
    conduct(places, 2)
    result = good.result(0)
    assert {result[name] for name in ("password", "token", "key")} == {"***"}
    assert result["account"] == {"pin": "***", "name": "ann"}
    assert result["page"] == {"url": "https://ann:***@example", "size": 3}
    with pytest.raises(exc.WrappedFailure, match=r"cannot log in with .{0,4}\*\*\*") as caught:
        bad.result(0)
    tells_nothing(f"{caught.value} {caught.value!r} {list(caught.value)} {good!r}")


def test_a_job_on_the_board_is_shown_without_its_secrets(opened, places, give):
    board, _ = opened
    job = board.post("waits", details={"store": vault.STORE, "secrets": vault.SECRETS, "size": 3})
    assert job.details["store"] == vault.STORE
    for words in (["jobs", "list"], ["jobs", "show", job.uuid]):
        for form in ([], ["--json"]):
            answer = give(*words, *form, STACKL_FLOW_BOARD=places[1])
            assert answer.code == 0
            tells_nothing(answer.out + answer.err)
    tells_nothing(f"{job!r} {board.get_snapshot(job)!r}")
    told = give("jobs", "show", job.uuid, "--json", STACKL_FLOW_BOARD=places[1]).data["details"]
    assert told["size"] == 3
    assert told["store"]["account"] == {"name": "ann", "pin": "***"}


def test_a_factory_that_tells_its_argument_is_trashed_without_it(opened, places, give):
    board, backend = opened
    book = LogBook("broken")
    with backend.get_connection() as connection:
        flow = kept_flow(book)
        connection.save_logbook(book)
    job = board.post("broken", book, {"flow_uuid": flow.uuid})
    tells_nothing(conduct(places, 1))
    (trashed,) = board.dead_letters
    assert trashed.uuid == job.uuid
    assert trashed.reason == "Printed: printed ***"
    answer = give("resume", flow.uuid, STACKL_FLOW_DB=places[0])
    assert answer.code == 2
    tells_nothing(answer.out + answer.err)


def kept_flow(book):
    """Put a flow into a book whose factory shows what it is given."""
    flow = FlowDetail("broken", new_uuid())
    flow.meta = {
        "factory": {"name": f"{VAULT}.broken", "args": [], "kwargs": {"password": vault.PASSWORD}},
        "secrets": ["password"],
    }
    book.add(flow)
    return flow


def test_a_secret_is_read_from_a_file(give, tmp_path, db):
    (tmp_path / "password").write_text(vault.PASSWORD + "\n", encoding="utf-8")
    (tmp_path / "key").write_text(vault.KEY + "\n", encoding="utf-8")
    words = [f"{VAULT}:bad", "--secret", f"password=@{tmp_path}/password", "--secret", f"key=@{tmp_path}/key"]
    account = json.dumps(vault.STORE["account"])
    for first in ([], ["--debug"]):
        answer = give(*first, "run", *words, "--store", f"account={account}", "--results", "--db", db)
        assert answer.code == 1
        assert "cannot log in with" in answer.out
        hidden = [part for part in vault.PARTS if part not in {"739102", "5e1f0a77"}]  # not marked here
        assert not [part for part in hidden if part in answer.out + answer.err]
    flow = give("list", "--db", db, "--json").data[0]["uuid"]
    shown = give("show", flow, "--db", db, "--results")
    assert "tr0ub4dor" not in shown.out


def test_a_wrong_secret_is_told_of_without_its_value(give, tmp_path):
    for given in ("=hush-hush", "a b=hush-hush", "password=hush-hush"):
        words = ["--store", "password=1"] if given.startswith("password") else []
        answer = give("run", f"{VAULT}:good", *words, "--secret", given)
        assert answer.code == 2
        assert "hush" not in answer.out + answer.err
    answer = give("run", f"{VAULT}:good", "--secret", f"password=@{tmp_path}/nowhere")
    assert answer.code == 2
    assert "cannot read 'password'" in answer.err
    answer = give("run", f"{VAULT}:good", "--secret", "password")
    assert answer.code == 2
    assert "password=@FILE" in answer.err
