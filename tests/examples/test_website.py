"""The site is deployed, rolled back and resumed; the tests check processes, ports and files."""

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
from examples.website_deployment import HOLD, SERVER, Deployment, http_get, start_time
from stackl_flow import engines

pytestmark = pytest.mark.slow

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
        Deployment(str(tmp_path / "websites"), folder.name).stop_server()


@pytest.fixture
def no_articles(tmp_path):
    path = tmp_path / "none.json"
    path.write_text("[]")
    return path


def website(root, *arguments):
    argv = [sys.executable, "examples/website.py", "--root", str(root), *map(str, arguments)]
    return subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=180, check=False)


def website_killed(root, hold, *arguments):
    """Run a command, kill it after the action `hold`, and return its process ID."""
    argv = [sys.executable, "examples/website.py", "--root", str(root), *map(str, arguments)]
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
    lines = map(json.loads, (root / "actions.jsonl").read_text().splitlines())
    return Counter(line["atom"] for line in lines if line["did"] == verb)


def is_served(port):
    return http_get(port, "/articles")[0] == 200


def is_closed(port):
    try:
        http_get(port, "/")
    except ConnectionRefusedError:
        return True
    return False


def test_a_site_is_deployed_and_removed(root):
    found = website(root, "deploy", "hello")
    assert (found.returncode, found.stderr) == (0, "")
    deployment = Deployment(str(root), "hello")
    port = deployment.port()
    assert f"hello is up at http://127.0.0.1:{port}/" in found.stdout
    assert "<h1>hello</h1>" in http_get(port, "/")[1]
    assert "A flow deployed this page." in http_get(port, "/articles")[1]
    assert http_get(port, "/site.db")[0] == 404
    assert deployment.routes() == {"hello": f"http://127.0.0.1:{port}/"}
    assert website(root, "list").stdout.split() == ["hello", f"http://127.0.0.1:{port}/", "up"]

    assert website(root, "remove", "hello").returncode == 0
    assert is_closed(port)
    assert (deployment.port(), deployment.routes(), deployment.folder.exists()) == (None, {}, False)


def test_articles_are_served_and_escaped(root, tmp_path):
    (tmp_path / "articles.json").write_text(json.dumps([["<b>", "one & two"]]))
    assert website(root, "deploy", "hello", "--articles", tmp_path / "articles.json").returncode == 0
    assert (
        "<h2>&lt;b&gt;</h2><p>one &amp; two"
        in http_get(Deployment(str(root), "hello").port(), "/articles")[1]
    )


def test_a_failing_health_check_rolls_everything_back(root, no_articles):
    found = website(root, "deploy", "empty", "--articles", no_articles)
    assert found.returncode == 1
    assert found.stderr == "error: empty is not healthy: the site has no articles (HTTP 503)\n"
    deployment = Deployment(str(root), "empty")
    assert (deployment.port(), deployment.routes(), deployment.folder.exists(), deployment.server()) == (
        None,
        {},
        False,
        None,
    )
    assert done(root, "execute")["start_server"] == 2  # the retry policy allows two attempts
    made = {name: times for name, times in done(root, "execute").items() if not name.startswith("check_")}
    assert done(root, "revert") == made


def test_a_second_deployment_of_the_same_name_is_refused_without_effect(root, no_articles):
    assert website(root, "deploy", "hello").returncode == 0
    found = website(root, "deploy", "hello", "--articles", no_articles)
    assert found.returncode == 1
    assert "hello is deployed already" in found.stderr
    assert is_served(Deployment(str(root), "hello").port())


@pytest.mark.parametrize("killed", TASKS)
def test_a_deployment_killed_after_any_task_is_resumed(root, killed):
    dead = website_killed(root, f"execute {killed}", "deploy", "hello")
    server = Deployment(str(root), "hello").server()
    found = website(root, "resume")
    assert (found.returncode, found.stderr) == (0, "")
    assert "hello: SUCCESS" in found.stdout
    assert start_time(dead) is None
    deployment = Deployment(str(root), "hello")
    assert is_served(deployment.port())
    assert server in (None, deployment.server())  # a running server is kept
    assert done(root, "execute") == {name: 2 if name == killed else 1 for name in TASKS}


@pytest.mark.parametrize("killed", ["start_server", "create_database", "write_files", "allocate_port"])
def test_a_deployment_killed_during_its_rollback_is_rolled_back_completely(root, killed, no_articles):
    website_killed(root, f"revert {killed}", "deploy", "empty", "--articles", no_articles)
    found = website(root, "resume")
    assert found.returncode == 1
    assert "empty is not healthy" in found.stderr
    deployment = Deployment(str(root), "empty")
    assert (deployment.port(), deployment.routes(), deployment.folder.exists(), deployment.server()) == (
        None,
        {},
        False,
        None,
    )


def test_execute_and_revert_of_every_task_are_idempotent(root):
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
    assert start_time(pid) is None
    assert sorted(path.name for path in root.iterdir()) == [
        "actions.jsonl",
        "ports",
        "routes.json",
        "routes.lock",
        "sites",
    ]
    assert [*(root / "ports").iterdir(), *(root / "sites").iterdir()] == []


def test_a_process_with_the_reused_id_of_a_dead_server_is_not_stopped(root):
    deployment = Deployment(str(root), "hello")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        deployment.folder.mkdir(parents=True)
        (deployment.folder / "server.json").write_text(
            json.dumps({"pid": stranger.pid, "started": "long ago"})
        )
        deployment.stop_server()
        assert stranger.poll() is None


def test_a_server_whose_process_id_was_not_stored_exits(root):
    argv = [sys.executable, str(SERVER), "hello", str(root), "1"]
    assert subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=180, check=False).returncode == 1


def test_sites_are_deployed_concurrently_with_one_database(root):
    arguments = [sys.executable, "examples/website.py", "--root", str(root), "deploy"]
    started_together = [
        subprocess.Popen([*arguments, f"site-{number}"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        for number in range(3)
    ]
    outputs = [process.communicate(timeout=180)[0] for process in started_together]
    assert [process.returncode for process in started_together] == [0, 0, 0], outputs
    assert sorted(Deployment(str(root), "any").routes()) == ["site-0", "site-1", "site-2"]
    assert all(is_served(Deployment(str(root), f"site-{number}").port()) for number in range(3))


@pytest.mark.parametrize(("articles", "state"), [([["a", "b"]], "SUCCESS"), ([], "REVERTED")])
def test_the_parallel_engine_ends_in_the_same_state(root, articles, state):
    store = {"site": "hello", "root": str(root), "articles": articles}
    engine = engines.load_from_factory(
        "examples.website.website", store=store, engine="parallel", max_workers=3
    )
    with suppress(RuntimeError):
        engine.run()
    assert engine.storage.get_flow_state() == state
    deployment = Deployment(str(root), "hello")
    assert (deployment.server() is not None, deployment.folder.exists()) == (bool(articles), bool(articles))


def test_stackl_flow_run_deploys_the_site(root):
    options = ["--store", "site=hello", "--store", f"root={root}", "--db", f"sqlite:///{root}/flows.db"]
    root.mkdir()
    argv = [str(Path(sys.executable).with_name("stackl-flow")), "run", "examples.website:website", *options]
    found = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=180, check=False)
    assert found.returncode == 0, found.stderr
    assert is_served(Deployment(str(root), "hello").port())
    # The example's own commands can read the stored flow.
    assert website(root, "resume").returncode == 0


def test_two_sites_never_get_the_same_port(root):
    ports = [AllocatePort().execute(site=f"site-{number}", root=str(root)) for number in range(20)]
    assert len(set(ports)) == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["deploy", "../etc"], "the site's name '../etc' must be"),
        (["remove", "missing"], "there is no site missing"),
        (["deploy", "hello", "--articles", "nothing.json"], "nothing.json"),
    ],
)
def test_invalid_arguments_print_one_line(root, arguments, message):
    found = website(root, *arguments)
    assert found.returncode == 1
    assert found.stderr.startswith("error: ")
    assert message in found.stderr
    assert "Traceback" not in found.stderr
