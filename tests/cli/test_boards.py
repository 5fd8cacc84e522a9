"""Jobs from the command line: posted, looked at, run by a conductor, trashed and put back."""

import json
import signal
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

SHOP = "tests.cli.shop"
ORDER = f"{SHOP}:order"


@pytest.fixture
def board(tmp_path):
    return str(tmp_path / "jobs.db")


@pytest.fixture
def tell(give, board):
    """Give a command with the board in the environment."""

    def tell(*words):
        return give(*words, STACKL_FLOW_BOARD=board)

    return tell


def post(tell, *words):
    answer = tell("post", *words, "--json")
    assert answer.code == 0, answer.err
    return answer.data["uuid"]


def ask(url, path, read=json.loads):
    connection = HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    answer = response.status, read(response.read().decode())
    connection.close()
    return answer


def test_a_posted_flow_is_run_by_a_conductor(tell):
    uuid = post(tell, ORDER, "--store", "order=17", "--name", "mine")
    (listed,) = tell("jobs", "list", "--json").data
    assert (listed["uuid"], listed["name"], listed["state"], listed["owner"]) == (
        uuid,
        "mine",
        "waiting",
        None,
    )
    ran = tell("conduct", "--max-dispatches", "1", "--name", "worker")
    assert ran.code == 0
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert [each["event"] for each in events][-1] == "job_consumed"
    assert {(each["job"], each["name"], each["conductor"]) for each in events} == {(uuid, "mine", "worker")}
    assert tell("jobs", "list", "--json").data == []
    shown = tell("jobs", "show", uuid, "--json").data
    assert (shown["state"], shown["outcome"]["state"]) == ("succeeded", "SUCCESS")
    assert tell("list", "--json").data[0]["state"] == "SUCCESS"


def test_the_order_in_which_jobs_are_claimed(tell):
    for name, priority in (("low", "low"), ("first", "NORMAL"), ("urgent", "VERY_HIGH")):
        post(tell, ORDER, "--store", "order=1", "--name", name, "--priority", priority)
    post(tell, ORDER, "--store", "order=1", "--name", "tomorrow", "--not-before", "2999-01-01")
    jobs = tell("jobs", "list", "--json").data
    assert [(job["name"], job["state"]) for job in jobs] == [
        ("urgent", "waiting"),
        ("first", "waiting"),
        ("low", "waiting"),
        ("tomorrow", "scheduled"),
    ]
    assert jobs[-1]["not_before"] == "2999-01-01T00:00:00.000000+00:00"
    table = tell("jobs", "list", "--limit", "2").out
    assert "urgent" in table
    assert "low" not in table


def test_a_key_posts_once(tell):
    assert post(tell, ORDER, "--store", "order=1", "--key", "k") == post(
        tell, ORDER, "--store", "order=1", "--key", "k"
    )


def test_only_what_it_can_do(tell):
    post(tell, ORDER, "--store", "order=1", "--name", "gpu", "--requires", "gpu")
    post(tell, ORDER, "--store", "order=1", "--name", "plain")
    tell("conduct", "--max-dispatches", "1", "--capability", "disk")
    assert [job["name"] for job in tell("jobs", "list", "--json").data] == ["gpu"]
    tell("conduct", "--max-dispatches", "1", "--capability", "gpu")
    assert tell("jobs", "list", "--json").data == []


def test_trashed_and_put_back(tell):
    uuid = post(tell, ORDER, "--store", "order=1", "--name", "mine")
    assert tell("jobs", "trash", "mine", "--reason", "by mistake").code == 0
    assert tell("jobs", "list").err.strip() == "no jobs on board 'default'"
    (trashed,) = tell("jobs", "list", "--state", "dead", "--json").data
    assert (trashed["uuid"], trashed["reason"]) == (uuid, "by mistake")
    assert "by mistake" in tell("jobs", "show", "mine").out
    assert tell("jobs", "requeue", uuid[:8]).code == 0
    again = tell("jobs", "requeue", uuid[:8])
    assert (again.code, "is waiting, not dead" in again.err) == (7, True)


def test_who_waits_gets_the_result_or_the_failure(tell, start, board):
    conductor = start("conduct", "--max-dispatches", "2", STACKL_FLOW_BOARD=board)
    good = tell("post", ORDER, "--store", "order=17", "--wait", "--timeout", "30", "--json")
    assert (good.code, good.data["result"]["place"]) == (0, {"order": 17})
    bad = tell("post", ORDER, "--store", "order=18", "--arg", "fail=true", "--wait", "--timeout", "30")
    assert (bad.code, "no stock for order 18" in bad.out) == (1, True)
    assert conductor.wait(30) == 0
    late = tell("post", ORDER, "--store", "order=19", "--wait", "--timeout", "0.1")
    assert (late.code, "has not ended within 0.1 s" in late.out) == (4, True)


def test_a_conductor_is_seen_asked_for_its_health_and_drained(tell, start, board, tmp_path):
    conductor = start(
        "conduct", "--name", "worker", "--jobs", "2", "--listen", "127.0.0.1:0", STACKL_FLOW_BOARD=board
    )
    url = conductor.stderr.readline().split()[-1]
    assert "waits for jobs" in conductor.stderr.readline()
    uuid = post(tell, f"{SHOP}:gated", "--arg", f"folder={tmp_path}", "--store", "order=1", "--name", "held")
    stages = ("compilation", "preparation", "validation")
    wanted = [f"{stage}_{end}" for stage in stages for end in ("start", "end")] + ["running_start"]
    assert [json.loads(conductor.stdout.readline())["event"] for _ in wanted] == wanted
    (worker,) = tell("conductors", "list", "--json").data
    assert (worker["name"], worker["slots"], worker["jobs"]) == ("worker", 2, ["held"])
    assert "worker" in tell("conductors", "list").out
    status, told = ask(url, "/health")
    numbers = ask(url, "/metrics", read=str)
    assert numbers[0] == 200
    assert 'stackl_flow_conductor_up{conductor="ann"} 1\n' in numbers[1].replace(told["name"], "ann")
    assert 'end="consumed"} ' in numbers[1]
    assert (status, told["ok"], told["name"], told["running"]) == (200, True, "worker", ["held"])
    assert ask(url, "/nothing")[0] == 404
    busy = tell("jobs", "trash", uuid)
    assert (busy.code, "already claimed by 'worker'" in busy.err) == (6, True)
    assert tell("conductors", "drain", "worker").code == 0
    while ask(url, "/health")[0] != 503:
        time.sleep(0.01)  # it looks for such orders every half second
    (tmp_path / "open").touch()  # the task at work ends, and nothing after it begins
    assert conductor.wait(30) == 0
    assert tell("jobs", "show", uuid, "--json").data["state"] == "waiting"
    tell("conduct", "--max-dispatches", "1")
    assert tell("jobs", "show", uuid, "--json").data["outcome"]["state"] == "SUCCESS"


def test_it_stops_in_order_when_nobody_reads_what_it_says(start, board, tell):
    """As behind `| head`: what it says is lost, and it works and stops all the same."""
    conductor = start("conduct", STACKL_FLOW_BOARD=board)
    assert "waits for jobs" in conductor.stderr.readline()
    conductor.stdout.close()
    conductor.stderr.close()
    job = post(tell, ORDER, "--store", "order=1")
    while tell("jobs", "show", job, "--json").data["state"] != "succeeded":
        time.sleep(0.05)  # the board wakes who waits in Python; a command is asked again
    conductor.send_signal(signal.SIGTERM)
    assert conductor.wait(30) in {0, 1}
    conductor.stdout = conductor.stderr = None  # there is nothing to be read at the end


def test_two_of_one_name_are_told_of(tell, start, board):
    first = start("conduct", "--name", "ann", STACKL_FLOW_BOARD=board)
    assert "waits for jobs" in first.stderr.readline()
    other = start("conduct", "--name", "ann", STACKL_FLOW_BOARD=board)
    assert f"called ann is at this board already (process {first.pid} of" in other.stderr.readline()
    for process in (first, other):
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_sigterm_stops_it_in_order(start, board):
    conductor = start("conduct", STACKL_FLOW_BOARD=board)
    assert "waits for jobs" in conductor.stderr.readline()
    conductor.send_signal(signal.SIGTERM)
    assert conductor.wait(30) == 0


def test_what_happens_is_told_as_it_happens(tell, start, board):
    watching = start("jobs", "watch", "--json", STACKL_FLOW_BOARD=board)
    assert "watching" in watching.stderr.readline()
    uuid = post(tell, ORDER, "--store", "order=1", "--name", "mine")
    tell("jobs", "trash", uuid)
    heard = [json.loads(watching.stdout.readline()) for _ in range(3)]
    assert [(each["event"], each["job"], each["owner"]) for each in heard] == [
        ("POSTED", uuid, ""),
        ("CLAIMED", uuid, "operator"),
        ("REMOVAL", uuid, "operator"),
    ]
    watching.send_signal(signal.SIGINT)
    assert watching.wait(30) == 0


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("post", f"{SHOP}:nowhere"), 2, "module 'tests.cli.shop' has no 'nowhere'"),
        (("post", ORDER, "--store", "order"), 2, "order"),
        (("post", ORDER), 8, "order"),
        (("post", ORDER, "--priority", "urgent"), 2, "VERY_HIGH"),
        (("post", ORDER, "--not-before", "soon"), 2, "'soon' is no point in time: write +90"),
        (("jobs", "show", "nobody"), 7, "no job 'nobody' on board 'default'"),
        (("jobs", "list", "--state", "lost"), 2, "waiting, scheduled, claimed, dead"),
        (("conductors", "drain", "nobody"), 7, "no member 'nobody' is registered"),
        (("conduct", "--listen", "here"), 2, "127.0.0.1:8080"),
        (("conduct", "--max-workers", "2"), 2, "--engine parallel"),
        (("jobs", "list", "--board", "carrier://pigeon"), 5, "carrier"),
        (("jobs", "list", "--board", "reddis://host"), 5, "did you mean 'redis'?"),
        (("jobs", "list", "--board", "redis:/host"), 5, "such as redis://host"),
        (("jobs", "list", "--board", "nowhere.db"), 5, "check --board and where you are"),
        (("jobs", "list", "--board", "dir:///no/such"), 5, "no directory '/no/such'"),
        (("conductors", "list", "--board", "/tmp"), 5, "write dir:///tmp"),  # noqa: S108  it is not written
        (("post", ORDER, "--board", "memory"), 5, "gone with it: give --board"),
        (("conduct", "--db", "sqlite://"), 5, "gone with it: give --db"),
        (("conduct", "--listen", "127.0.0.1:99999"), 2, "127.0.0.1:8080"),
        (("post", ORDER, "--store", "ordr=1"), 8, "from here: --store order=VALUE"),
        (("post", "tests.cli.shop.order"), 2, "such as tests.cli.shop:order"),
        (("post", "./tests/cli/shop.py:order"), 2, "such as tests.cli.shop:order"),
        (("post", ORDER, "--arg", "fst=1"), 2, "it takes (fail=False, block=None)\n"),
    ],
)
def test_mistakes_are_told_with_what_to_do(tell, words, code, says):
    post(tell, ORDER, "--store", "order=1")
    answer = tell(*words)
    assert (answer.code, says in answer.err) == (code, True), answer.err


def test_whoever_only_looks_makes_no_board(tell, board):
    for words in (["jobs", "list"], ["jobs", "show", "x"], ["jobs", "trash", "x"], ["conductors", "list"]):
        assert tell(*words).code == 5
        assert not Path(board).exists()


def test_a_conductor_on_another_database_says_so(tell, tmp_path):
    uuid = post(tell, ORDER, "--store", "order=1")
    other = f"sqlite:///{tmp_path}/other.db"
    assert tell("conduct", "--max-dispatches", "1", "--db", other).code == 0
    shown = tell("jobs", "show", uuid, "--json").data
    assert shown["state"] == "dead"
    assert f"in '{other}': start conductors with the database that the job was posted" in shown["reason"]
    assert tell("jobs", "requeue", uuid).code == 0
    assert tell("conduct", "--max-dispatches", "1").code == 0
    assert tell("jobs", "show", uuid, "--json").data["outcome"]["state"] == "SUCCESS"


def test_without_a_board(give, db):
    for command in (
        ("jobs", "list"),
        ("post", ORDER),
        ("conduct",),
        ("conductors", "list"),
        ("jobs", "watch"),
    ):
        answer = give(*command)
        assert (answer.code, "--board URL, or STACKL_FLOW_BOARD=URL" in answer.err) == (2, True)
    assert not Path(db).exists()
