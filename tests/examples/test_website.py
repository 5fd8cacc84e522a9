"""The site is deployed, rolled back and resumed for real: processes, ports and files are looked at."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from examples.website import AllocatePort, CreateDatabase, RegisterRoute, StartServer, WriteFiles
from examples.website_place import HOLD, SERVER, Place, ask, started
from stackl_flow import engines

REPOSITORY = Path(__file__).parents[2]
TASKS = [
    "check_name",
    "allocate_port",
    "write_files",
    "create_database",
    "start_server",
    "check_health",
    "register_route",
]


@pytest.fixture
def root(tmp_path):
    yield tmp_path / "websites"
    for folder in (tmp_path / "websites" / "sites").glob("*"):
        Place(str(tmp_path / "websites"), folder.name).stop_server()


@pytest.fixture
def no_articles(tmp_path):
    path = tmp_path / "none.json"
    path.write_text("[]")
    return path


def website(root, *words):
    argv = [sys.executable, "examples/website.py", "--root", str(root), *map(str, words)]
    return subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)


def website_killed(root, hold, *words):
    """Run a command that is killed after the work named by `hold`; return the process's id."""
    argv = [sys.executable, "examples/website.py", "--root", str(root), *map(str, words)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = {**os.environ, HOLD: hold}
    with subprocess.Popen(argv, cwd=REPOSITORY, env=environment, text=True, **pipes) as process:
        for line in process.stdout:
            if line.startswith("holding after"):
                break
        process.kill()
    assert process.returncode == -signal.SIGKILL
    return process.pid


def done(root, verb):
    lines = map(json.loads, (root / "ledger.jsonl").read_text().splitlines())
    return Counter(line["atom"] for line in lines if line["did"] == verb)


def is_served(port):
    return ask(port, "/articles")[0] == 200


def is_closed(port):
    try:
        ask(port, "/")
    except ConnectionRefusedError:
        return True
    return False


def test_a_site_is_deployed_and_removed(root):
    found = website(root, "deploy", "hello")
    assert (found.returncode, found.stderr) == (0, "")
    place = Place(str(root), "hello")
    port = place.port()
    assert f"hello is up at http://127.0.0.1:{port}/" in found.stdout
    assert "<h1>hello</h1>" in ask(port, "/")[1]
    assert "A flow deployed this page." in ask(port, "/articles")[1]
    assert ask(port, "/site.db")[0] == 404
    assert place.routes() == {"hello": f"http://127.0.0.1:{port}/"}
    assert website(root, "list").stdout.split() == ["hello", f"http://127.0.0.1:{port}/", "up"]

    assert website(root, "remove", "hello").returncode == 0
    assert is_closed(port)
    assert (place.port(), place.routes(), place.folder.exists()) == (None, {}, False)


def test_articles_are_shown_and_escaped(root, tmp_path):
    (tmp_path / "articles.json").write_text(json.dumps([["<b>", "one & two"]]))
    assert website(root, "deploy", "hello", "--articles", tmp_path / "articles.json").returncode == 0
    assert "<h2>&lt;b&gt;</h2><p>one &amp; two" in ask(Place(str(root), "hello").port(), "/articles")[1]


def test_a_failing_health_check_undoes_everything(root, no_articles):
    found = website(root, "deploy", "empty", "--articles", no_articles)
    assert found.returncode == 1
    assert found.stderr == "error: empty is not well: there is not one article to show (HTTP 503)\n"
    place = Place(str(root), "empty")
    assert (place.port(), place.routes(), place.folder.exists(), place.server()) == (None, {}, False, None)
    assert done(root, "execute")["start_server"] == 2  # The retry gave it a second chance.
    made = {name: times for name, times in done(root, "execute").items() if not name.startswith("check_")}
    assert done(root, "revert") == made


def test_a_second_deployment_of_the_same_name_is_refused_and_harms_nothing(root, no_articles):
    assert website(root, "deploy", "hello").returncode == 0
    found = website(root, "deploy", "hello", "--articles", no_articles)
    assert found.returncode == 1
    assert "hello is deployed already" in found.stderr
    assert is_served(Place(str(root), "hello").port())


@pytest.mark.parametrize("killed", TASKS)
def test_killed_after_any_task_a_deployment_goes_on(root, killed):
    dead = website_killed(root, f"execute {killed}", "deploy", "hello")
    server = Place(str(root), "hello").server()
    found = website(root, "resume")
    assert (found.returncode, found.stderr) == (0, "")
    assert "hello: SUCCESS" in found.stdout
    assert started(dead) is None
    place = Place(str(root), "hello")
    assert is_served(place.port())
    assert server in (None, place.server())  # A server that was running is kept.
    assert done(root, "execute") == {name: 2 if name == killed else 1 for name in TASKS}


@pytest.mark.parametrize("killed", ["start_server", "create_database", "write_files", "allocate_port"])
def test_killed_in_the_middle_of_its_rollback_a_deployment_is_undone_to_the_end(root, killed, no_articles):
    website_killed(root, f"revert {killed}", "deploy", "empty", "--articles", no_articles)
    found = website(root, "resume")
    assert found.returncode == 1
    assert "empty is not well" in found.stderr
    place = Place(str(root), "empty")
    assert (place.port(), place.routes(), place.folder.exists(), place.server()) == (None, {}, False, None)


def test_every_task_may_run_and_be_undone_twice(root):
    where = {"site": "hello", "root": str(root)}
    port = AllocatePort().execute(**where)
    assert AllocatePort().execute(**where) == port
    assert WriteFiles().execute(**where) == WriteFiles().execute(**where)
    CreateDatabase().execute(**where)
    CreateDatabase().execute(**where)
    pid = StartServer().execute(**where, port=port)
    assert StartServer().execute(**where, port=port) == pid
    assert RegisterRoute().execute(**where, port=port) == RegisterRoute().execute(**where, port=port)
    for part in (RegisterRoute(), StartServer(), CreateDatabase(), WriteFiles(), AllocatePort()):
        part.revert(**where, result=None, flow_failures={})
        part.revert(**where, result=None, flow_failures={})
    assert started(pid) is None
    assert sorted(path.name for path in root.iterdir()) == [
        "ledger.jsonl",
        "ports",
        "routes.json",
        "routes.lock",
        "sites",
    ]
    assert [*(root / "ports").iterdir(), *(root / "sites").iterdir()] == []


def test_a_process_that_got_the_id_of_a_dead_server_is_left_alone(root):
    place = Place(str(root), "hello")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        place.folder.mkdir(parents=True)
        (place.folder / "server.json").write_text(json.dumps({"pid": stranger.pid, "started": "long ago"}))
        place.stop_server()
        assert stranger.poll() is None


def test_a_server_that_nobody_wrote_down_does_not_serve(root):
    argv = [sys.executable, str(SERVER), "hello", str(root), "1"]
    assert subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=30, check=False).returncode == 1


def test_sites_are_deployed_at_the_same_time_into_one_database(root):
    words = [sys.executable, "examples/website.py", "--root", str(root), "deploy"]
    started_together = [
        subprocess.Popen([*words, f"site-{number}"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        for number in range(3)
    ]
    told = [process.communicate(timeout=60)[0] for process in started_together]
    assert [process.returncode for process in started_together] == [0, 0, 0], told
    assert sorted(Place(str(root), "any").routes()) == ["site-0", "site-1", "site-2"]
    assert all(is_served(Place(str(root), f"site-{number}").port()) for number in range(3))


@pytest.mark.parametrize(("articles", "state"), [([["a", "b"]], "SUCCESS"), ([], "REVERTED")])
def test_on_the_parallel_engine_it_comes_to_the_same_end(root, articles, state):
    store = {"site": "hello", "root": str(root), "articles": articles}
    engine = engines.load_from_factory(
        "examples.website.website", store=store, engine="parallel", max_workers=3
    )
    with suppress(RuntimeError):
        engine.run()
    assert engine.storage.get_flow_state() == state
    place = Place(str(root), "hello")
    assert (place.server() is not None, place.folder.exists()) == (bool(articles), bool(articles))


def test_the_command_line_of_the_library_deploys_it_too(root):
    options = ["--store", "site=hello", "--store", f"root={root}", "--db", f"sqlite:///{root}/flows.db"]
    root.mkdir()
    argv = [str(Path(sys.executable).with_name("stackl-flow")), "run", "examples.website:website", *options]
    found = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stderr
    assert is_served(Place(str(root), "hello").port())
    # A flow that it has stored is one that the example's own commands understand.
    assert website(root, "resume").returncode == 0


def test_two_sites_never_get_the_same_port(root):
    ports = [AllocatePort().execute(site=f"site-{number}", root=str(root)) for number in range(20)]
    assert len(set(ports)) == 20


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["deploy", "../etc"], "the site's name '../etc' must be"),
        (["remove", "nobody"], "there is no site nobody"),
        (["deploy", "hello", "--articles", "nothing.json"], "nothing.json"),
    ],
)
def test_bad_words_end_in_one_clear_line(root, words, told):
    found = website(root, *words)
    assert found.returncode == 1
    assert found.stderr.startswith("error: ")
    assert told in found.stderr
    assert "Traceback" not in found.stderr
