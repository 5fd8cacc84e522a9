"""Jobs on the command line: post, list, run by a conductor, trash and requeue."""

import json
import signal
import subprocess
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.cli import shop

SHOP = "tests.cli.shop"
ORDER = f"{SHOP}:order"


@pytest.fixture
def board(tmp_path):
    return str(tmp_path / "jobs.db")


@pytest.fixture
def on_board(invoke, board):
    """Run a command with the board in the environment."""

    def on_board(*arguments):
        return invoke(*arguments, STACKL_FLOW_BOARD=board)

    return on_board


def post(on_board, *arguments):
    result = on_board("post", *arguments, "--json")
    assert result.code == 0, result.err
    return result.data["uuid"]


def get(url, path, parse=json.loads):
    connection = HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    result = response.status, parse(response.read().decode())
    connection.close()
    return result


def test_a_posted_flow_is_run_by_a_conductor(on_board):
    uuid = post(on_board, ORDER, "--store", "order=17", "--name", "mine")
    (listed,) = on_board("jobs", "list", "--json").data
    assert (listed["uuid"], listed["name"], listed["state"], listed["owner"]) == (
        uuid,
        "mine",
        "waiting",
        None,
    )
    ran = on_board("conduct", "--max-dispatches", "1", "--name", "conductor-1")
    assert ran.code == 0
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert [each["event"] for each in events][-1] == "job_consumed"
    assert {(each["job"], each["name"], each["conductor"]) for each in events} == {
        (uuid, "mine", "conductor-1")
    }
    assert on_board("jobs", "list", "--json").data == []
    shown = on_board("jobs", "show", uuid, "--json").data
    assert (shown["state"], shown["outcome"]["state"]) == ("succeeded", "SUCCESS")
    assert on_board("list", "--json").data[0]["state"] == "SUCCESS"


def test_the_order_in_which_jobs_are_claimed(on_board):
    for name, priority in (("low", "low"), ("first", "NORMAL"), ("urgent", "VERY_HIGH")):
        post(on_board, ORDER, "--store", "order=1", "--name", name, "--priority", priority)
    post(on_board, ORDER, "--store", "order=1", "--name", "tomorrow", "--not-before", "2999-01-01")
    jobs = on_board("jobs", "list", "--json").data
    assert [(job["name"], job["state"]) for job in jobs] == [
        ("urgent", "waiting"),
        ("first", "waiting"),
        ("low", "waiting"),
        ("tomorrow", "scheduled"),
    ]
    assert jobs[-1]["not_before"] == "2999-01-01T00:00:00.000000+00:00"
    table = on_board("jobs", "list", "--limit", "2").out
    assert "urgent" in table
    assert "low" not in table


def test_a_key_posts_once(on_board):
    assert post(on_board, ORDER, "--store", "order=1", "--key", "k") == post(
        on_board, ORDER, "--store", "order=1", "--key", "k"
    )


def test_a_conductor_claims_only_jobs_whose_requirements_it_meets(on_board):
    post(on_board, ORDER, "--store", "order=1", "--name", "gpu", "--requires", "gpu")
    post(on_board, ORDER, "--store", "order=1", "--name", "plain")
    on_board("conduct", "--max-dispatches", "1", "--capability", "disk")
    assert [job["name"] for job in on_board("jobs", "list", "--json").data] == ["gpu"]
    on_board("conduct", "--max-dispatches", "1", "--capability", "gpu")
    assert on_board("jobs", "list", "--json").data == []


def test_a_job_is_trashed_and_requeued(on_board):
    uuid = post(on_board, ORDER, "--store", "order=1", "--name", "mine")
    assert on_board("jobs", "trash", "mine", "--reason", "by mistake").code == 0
    assert on_board("jobs", "list").err.strip() == "no jobs on board 'default'"
    (trashed,) = on_board("jobs", "list", "--state", "dead", "--json").data
    assert (trashed["uuid"], trashed["reason"]) == (uuid, "by mistake")
    assert "by mistake" in on_board("jobs", "show", "mine").out
    assert on_board("jobs", "requeue", uuid[:8]).code == 0
    again = on_board("jobs", "requeue", uuid[:8])
    assert (again.code, "is waiting, not dead" in again.err) == (7, True)


def test_dead_letters_are_requeued_by_their_reason(on_board):
    reasons = {"a": "no module 'shop'", "b": "by mistake", "c": "No module 'x'"}
    for name, reason in reasons.items():
        post(on_board, ORDER, "--store", "order=1", "--name", name)
        assert on_board("jobs", "trash", name, "--reason", reason).code == 0
    requeued = on_board("jobs", "requeue", "--all", "--reason", "no module", "--json").data
    assert [(each["name"], each["reason"]) for each in requeued] == [
        ("a", reasons["a"]),
        ("c", reasons["c"]),
    ]
    assert sorted(each["name"] for each in on_board("jobs", "list", "--json").data) == ["a", "c"]
    shown = on_board("jobs", "requeue", "--all")
    assert (shown.code, "requeued b " in shown.out, "by mistake" in shown.out) == (0, True, True)
    assert "requeued 1 dead letters on board 'default'" in shown.err
    assert "requeued 0 dead letters" in on_board("jobs", "requeue", "--all").err
    for wrong, hint in (((), "use --all"), (("a", "--all"), "use --all"), (("a", "--reason", "x"), "--all")):
        refused = on_board("jobs", "requeue", *wrong)
        assert (refused.code, hint in refused.err) == (2, True)


def test_the_reasons_of_claims_are_shown_and_counted(on_board, monkeypatch):
    uuid = post(on_board, ORDER, "--store", "order=1")
    monkeypatch.setattr(shop, "order", None)
    assert on_board("conduct", "--max-dispatches", "1", "--max-claims", "2").code == 0
    (claim,) = on_board("jobs", "show", uuid, "--json").data["claims"]
    assert (claim["ended"], claim["reason"][:15]) == ("declined", "FactoryNotFound")
    assert "FactoryNotFound" in on_board("jobs", "show", uuid).out
    assert on_board("conduct", "--max-dispatches", "1", "--max-claims", "2").code == 0
    dead = on_board("jobs", "show", uuid, "--json").data
    assert (dead["state"], dead["reason"][:16]) == ("dead", "2 claims failed:")


@pytest.fixture
def hangups():
    """Let SIGHUP end processes that are started, also if the tests run under nohup."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, previous)


@pytest.mark.usefixtures("hangups")
@pytest.mark.parametrize("signum", [signal.SIGHUP, signal.SIGTERM])
@pytest.mark.parametrize("jobs", ["1", "3"])
def test_a_signal_drains_a_conductor(jobs, signum, on_board, start, board, tmp_path):
    """It ends its running tasks, claims no more jobs, releases those that it has, and exits with 0."""
    first, second = (
        post(on_board, f"{SHOP}:gated", "--arg", f"folder={tmp_path}", "--store", "order=1") for _ in range(2)
    )
    conductor = start("conduct", "--jobs", jobs, "--name", "c", STACKL_FLOW_BOARD=board)
    until = time.monotonic() + 30
    while not list(tmp_path.glob("*.begun")):
        assert time.monotonic() < until
        time.sleep(0.01)
    conductor.send_signal(signum)
    assert "stopping after the running tasks" in conductor.stderr.readline() + conductor.stderr.readline()
    (tmp_path / "open").touch()
    assert conductor.wait(30) == 0
    assert on_board("conductors", "list", "--json").data == []
    for uuid in (first, second):
        job = on_board("jobs", "show", uuid, "--json").data
        assert job["state"] in {"waiting", "succeeded"}
        assert {claim["ended"] for claim in job["claims"]} <= {"released"}


@pytest.mark.usefixtures("hangups")
def test_repeated_hangups_do_not_abort(start, board):
    conductor = start("conduct", "--name", "c", STACKL_FLOW_BOARD=board)
    assert "waiting for jobs" in conductor.stderr.readline()
    for _ in range(3):
        conductor.send_signal(signal.SIGHUP)
    assert conductor.wait(30) == 0


def test_an_ignored_hangup_stays_ignored(start, board):
    """As under nohup."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        conductor = start("conduct", "--name", "c", STACKL_FLOW_BOARD=board)
    finally:
        signal.signal(signal.SIGHUP, previous)
    assert "waiting for jobs" in conductor.stderr.readline()
    conductor.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        conductor.wait(1)
    conductor.send_signal(signal.SIGTERM)
    assert conductor.wait(30) == 0


EXITS = "tests.conductors.exits"


@pytest.mark.parametrize("jobs", ["1", "4"])
@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt"])
def test_a_task_that_exits_does_not_end_the_conductor(kind, jobs, on_board, start, board, tmp_path):
    inputs = ("--store", f"log_file={tmp_path / 'log'}")
    bad = post(on_board, f"{EXITS}:raising", *inputs, "--arg", f"kind={kind}", "--priority", "HIGH")
    good = post(on_board, f"{EXITS}:plain", *inputs)
    conductor = start("conduct", "--jobs", jobs, "--lease-ttl", "2", STACKL_FLOW_BOARD=board)
    until = time.monotonic() + 30
    while on_board("jobs", "show", good, "--json").data["state"] != "succeeded":
        assert time.monotonic() < until
        time.sleep(0.1)
    assert conductor.poll() is None
    assert on_board("jobs", "show", bad, "--json").data["state"] != "claimed"
    conductor.send_signal(signal.SIGTERM)
    assert conductor.wait(30) == 0


def test_post_with_wait_returns_the_result_or_the_failure(on_board, start, board):
    conductor = start("conduct", "--max-dispatches", "2", STACKL_FLOW_BOARD=board)
    good = on_board("post", ORDER, "--store", "order=17", "--wait", "--timeout", "30", "--json")
    assert (good.code, good.data["result"]["reservation"]) == (0, {"order": 17})
    bad = on_board("post", ORDER, "--store", "order=18", "--arg", "fail=true", "--wait", "--timeout", "30")
    assert (bad.code, "no stock for order 18" in bad.out) == (1, True)
    assert conductor.wait(30) == 0
    late = on_board("post", ORDER, "--store", "order=19", "--wait", "--timeout", "0.1")
    assert (late.code, "has not ended within 0.1 s" in late.out) == (4, True)


def test_a_conductor_is_listed_serves_its_health_and_is_drained(on_board, start, board, tmp_path):
    conductor = start(
        "conduct", "--name", "conductor-1", "--jobs", "2", "--listen", "127.0.0.1:0", STACKL_FLOW_BOARD=board
    )
    url = conductor.stderr.readline().split()[-1]
    assert "is waiting for jobs" in conductor.stderr.readline()
    uuid = post(
        on_board, f"{SHOP}:gated", "--arg", f"folder={tmp_path}", "--store", "order=1", "--name", "held"
    )
    stages = ("compilation", "preparation", "validation")
    wanted = [f"{stage}_{end}" for stage in stages for end in ("start", "end")] + ["running_start"]
    assert [json.loads(conductor.stdout.readline())["event"] for _ in wanted] == wanted
    (conductor_view,) = on_board("conductors", "list", "--json").data
    assert (conductor_view["name"], conductor_view["slots"], conductor_view["jobs"]) == (
        "conductor-1",
        2,
        ["held"],
    )
    assert "conductor-1" in on_board("conductors", "list").out
    status, report = get(url, "/health")
    metrics = get(url, "/metrics", parse=str)
    assert metrics[0] == 200
    assert 'stackl_flow_conductor_up{conductor="ann"} 1\n' in metrics[1].replace(report["name"], "ann")
    assert 'disposition="consumed"} ' in metrics[1]
    assert (status, report["ok"], report["name"], report["running"]) == (200, True, "conductor-1", ["held"])
    assert get(url, "/nothing")[0] == 404
    busy = on_board("jobs", "trash", uuid)
    assert (busy.code, "already claimed by 'conductor-1'" in busy.err) == (6, True)
    assert on_board("conductors", "drain", "conductor-1").code == 0
    while get(url, "/health")[0] != 503:
        time.sleep(0.01)  # it checks for drain requests every half second
    (tmp_path / "open").touch()  # the running task ends, and no other starts
    assert conductor.wait(30) == 0
    assert on_board("jobs", "show", uuid, "--json").data["state"] == "waiting"
    on_board("conduct", "--max-dispatches", "1")
    assert on_board("jobs", "show", uuid, "--json").data["outcome"]["state"] == "SUCCESS"


def test_a_conductor_works_and_stops_gracefully_with_its_output_closed(start, board, on_board):
    """As in a pipe to `head`."""
    conductor = start("conduct", STACKL_FLOW_BOARD=board)
    assert "is waiting for jobs" in conductor.stderr.readline()
    conductor.stdout.close()
    conductor.stderr.close()
    job = post(on_board, ORDER, "--store", "order=1")
    while on_board("jobs", "show", job, "--json").data["state"] != "succeeded":
        time.sleep(0.05)
    conductor.send_signal(signal.SIGTERM)
    assert conductor.wait(30) in {0, 1}
    conductor.stdout = conductor.stderr = None  # closed above


def test_a_second_conductor_of_the_same_name_gets_a_warning(on_board, start, board):
    first = start("conduct", "--name", "ann", STACKL_FLOW_BOARD=board)
    assert "is waiting for jobs" in first.stderr.readline()
    other = start("conduct", "--name", "ann", STACKL_FLOW_BOARD=board)
    assert f"named ann is already registered on this board (process {first.pid} of" in other.stderr.readline()
    for process in (first, other):
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_sigterm_stops_a_conductor_gracefully(start, board):
    conductor = start("conduct", STACKL_FLOW_BOARD=board)
    assert "is waiting for jobs" in conductor.stderr.readline()
    conductor.send_signal(signal.SIGTERM)
    assert conductor.wait(30) == 0


def test_watch_shows_events_as_they_happen(on_board, start, board):
    watching = start("jobs", "watch", "--json", STACKL_FLOW_BOARD=board)
    assert "watching" in watching.stderr.readline()
    uuid = post(on_board, ORDER, "--store", "order=1", "--name", "mine")
    on_board("jobs", "trash", uuid)
    events = [json.loads(watching.stdout.readline()) for _ in range(3)]
    assert [(each["event"], each["job"], each["owner"]) for each in events] == [
        ("POSTED", uuid, ""),
        ("CLAIMED", uuid, "operator"),
        ("REMOVAL", uuid, "operator"),
    ]
    watching.send_signal(signal.SIGINT)
    assert watching.wait(30) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("post", f"{SHOP}:nowhere"), 2, "module 'tests.cli.shop' has no 'nowhere'"),
        (("post", ORDER, "--store", "order"), 2, "order"),
        (("post", ORDER), 8, "order"),
        (("post", ORDER, "--priority", "urgent"), 2, "VERY_HIGH"),
        (("post", ORDER, "--not-before", "soon"), 2, "invalid time 'soon': write +90"),
        (("jobs", "show", "missing"), 7, "no job 'missing' on board 'default'"),
        (("jobs", "list", "--state", "lost"), 2, "claimed, succeeded, failed, dead"),
        (("conductors", "drain", "missing"), 7, "no conductor 'missing' is registered on board 'default'"),
        (("conduct", "--listen", "here"), 2, "127.0.0.1:8080"),
        (("conduct", "--max-workers", "2"), 2, "--engine parallel"),
        (("jobs", "list", "--board", "carrier://pigeon"), 5, "carrier"),
        (("jobs", "list", "--board", "reddis://host"), 5, "did you mean 'redis'?"),
        (("jobs", "list", "--board", "redis:/host"), 5, "such as redis://host"),
        (("jobs", "list", "--board", "nowhere.db"), 5, "check --board and the current directory"),
        (("jobs", "list", "--board", "dir:///no/such"), 5, "directory '/no/such' does not exist"),
        (("conductors", "list", "--board", "/tmp"), 5, "write dir:///tmp"),  # noqa: S108  nothing is written
        (("post", ORDER, "--board", "memory"), 5, "lost when it ends: pass --board"),
        (("conduct", "--db", "sqlite://"), 5, "lost when it ends: pass --db"),
        (("conduct", "--listen", "127.0.0.1:99999"), 2, "127.0.0.1:8080"),
        (("post", ORDER, "--store", "ordr=1"), 8, "pass them with --store order=VALUE"),
        (("post", "tests.cli.shop.order"), 2, "such as tests.cli.shop:order"),
        (("post", "./tests/cli/shop.py:order"), 2, "such as tests.cli.shop:order"),
        (("post", ORDER, "--arg", "fst=1"), 2, "its signature is (fail=False, block=None)\n"),
    ],
)
def test_errors_say_what_to_do(on_board, arguments, code, message):
    post(on_board, ORDER, "--store", "order=1")
    result = on_board(*arguments)
    assert (result.code, message in result.err) == (code, True), result.err


def test_read_only_commands_create_no_board(on_board, board):
    for arguments in (
        ["jobs", "list"],
        ["jobs", "show", "x"],
        ["jobs", "trash", "x"],
        ["conductors", "list"],
    ):
        assert on_board(*arguments).code == 5
        assert not Path(board).exists()


def test_a_conductor_with_another_database_moves_the_job_to_the_dead_letters(on_board, tmp_path):
    uuid = post(on_board, ORDER, "--store", "order=1")
    other = f"sqlite:///{tmp_path}/other.db"
    assert on_board("conduct", "--max-dispatches", "1", "--db", other).code == 0
    shown = on_board("jobs", "show", uuid, "--json").data
    assert shown["state"] == "dead"
    assert f"in '{other}': start conductors with the database that the job was posted with" in shown["reason"]
    assert on_board("jobs", "requeue", uuid).code == 0
    assert on_board("conduct", "--max-dispatches", "1").code == 0
    assert on_board("jobs", "show", uuid, "--json").data["outcome"]["state"] == "SUCCESS"


def test_without_a_board(invoke, db):
    for command in (
        ("jobs", "list"),
        ("post", ORDER),
        ("conduct",),
        ("conductors", "list"),
        ("jobs", "watch"),
    ):
        result = invoke(*command)
        assert (result.code, "pass --board URL or set STACKL_FLOW_BOARD" in result.err) == (2, True)
    assert not Path(db).exists()


def test_commands_that_find_no_job_name_the_other_boards_of_the_store(on_board):
    post(on_board, ORDER, "--store", "order=1", "--board-name", "reports")
    post(on_board, ORDER, "--store", "order=1", "--board-name", "a/b")
    hint = "; other boards in this store: 'a/b', 'reports' (choose one with --board-name)"
    assert on_board("jobs", "list").err.strip() == f"no jobs on board 'default'{hint}"
    assert on_board("jobs", "list", "--state", "dead").err.strip() == f"no dead jobs on board 'default'{hint}"
    assert on_board("conductors", "list").err.strip() == f"no conductors on board 'default'{hint}"
    for command in ("show", "trash", "requeue"):
        result = on_board("jobs", command, "missing")
        assert (result.code, hint in result.err) == (7, True)
    assert len(on_board("jobs", "list", "--board-name", "a/b", "--json").data) == 1
