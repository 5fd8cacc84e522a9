"""Shows on a real web site what a flow does: it finishes, it is undone, it survives its process.

Run by `scripts/demo`. Nothing that is shown is taken on trust: each claim is checked against the ports, files
and processes themselves, and one that does not hold makes the exit status 1.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # Run as a file, it must find its neighbours.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.text import Text

from examples.demo_board import board_of_sites
from examples.demo_stage import Stage, all_are, closed, serves, state_of, workshop
from examples.website_place import HOLD, started
from stackl_flow import engines, states
from stackl_flow.cli.output import make_console
from stackl_flow.control import flows
from stackl_flow.persistence import backends

REPOSITORY = Path(__file__).resolve().parents[1]
KILLED_AFTER = "start_server"
SECONDS_TO_KILL = 60.0
# The tasks that leave nothing behind, so that there is nothing to undo in them.
LOOKERS = {"check_name", "check_health"}
TASKS = {
    "check_name",
    "allocate_port",
    "write_files",
    "create_database",
    "start_server",
    "check_health",
    "register_route",
}


def site_succeeds(stage: Stage) -> None:
    """Deploy one site and fetch its pages."""
    stage.title("1. A site is deployed")
    engine = stage.load("examples.website.website", site="hello")
    engine.run()
    view = stage.show(engine.storage.flow_uuid, "deployed")
    port, pid, url = (engine.storage.fetch(name) for name in ("port", "pid", "url"))
    stage.check("the flow and every atom are SUCCESS", all_are(view, states.SUCCESS))
    stage.check(f"{url} serves the site's page", serves(port, "/", "<h1>hello</h1>"))
    stage.check(f"{url}articles serves its database", serves(port, "/articles", "A flow deployed this page."))
    stage.check(f"its server is a process of its own, {pid}", pid != os.getpid() and started(pid) is not None)
    stage.check("the routes file has its address", stage.place("hello").routes() == {"hello": url})
    stage.check("each task ran once", stage.times("hello", "execute") == dict.fromkeys(TASKS, 1))


def site_fails(stage: Stage) -> None:
    """Deploy a site without articles: its health check fails twice, and then everything is undone."""
    stage.title("2. A site whose health check fails is rolled back")
    engine = stage.load("examples.website.website", site="empty", articles=[])
    made: dict[str, list[int]] = {"start_server": [], "allocate_port": []}

    def remember(_state: str, details: Mapping[str, Any]) -> None:
        if details.get("task_name") in made:
            made[details["task_name"]].append(details["result"])

    engine.atom_notifier.register(states.SUCCESS, remember)
    try:
        engine.run()
    except RuntimeError as error:
        stage.say(f"the run raised: {error}", "red")
    view = stage.show(engine.storage.flow_uuid, "rolled-back")
    pids, ports = made["start_server"], made["allocate_port"]
    ran = [atom for atom in view.atoms if atom.name != "register_route"]
    stage.check("the flow is REVERTED", view.flow.state == states.REVERTED)
    stage.check("every atom that ran is REVERTED", all(atom.state == states.REVERTED for atom in ran))
    stage.check("register_route never ran", state_of(view, "register_route") == states.PENDING)
    stage.check("the server was started twice: the retry allows two attempts", len(set(pids)) == len("12"))
    stage.check("both server processes have ended", all(started(pid) is None for pid in pids))
    stage.check(f"port {ports} is closed", bool(ports) and all(closed(port) for port in ports))
    nothing_left(stage, "empty")
    executed = {name: n for name, n in stage.times("empty", "execute").items() if name not in LOOKERS}
    stage.check("all that was done was undone, as often", stage.times("empty", "revert") == executed)
    stage.check("the first site is served as before", serves(stage.place("hello").port() or 0, "/", "hello"))


def nothing_left(stage: Stage, site: str) -> None:
    """Check that nothing of a site is on the disk."""
    place = stage.place(site)
    stage.check("its folder with all its files is gone", not place.folder.exists())
    stage.check("its port is not reserved any more", place.port() is None)
    stage.check("the routes file does not know it", site not in place.routes())


def site_survives(stage: Stage) -> None:
    """Kill a deployment with SIGKILL while it works, and go on from the database."""
    stage.title("3. A deployment is killed half-way and resumed")
    dead, status = deploy_and_kill(stage, "phoenix")
    stage.check("the process was ended by SIGKILL", status == -signal.SIGKILL)
    uuid = flows.flows(stage.backend, limit=1)[0].uuid
    before = stage.show(uuid, "killed")
    server = stage.place("phoenix").server()
    finished = {atom.name for atom in before.atoms if atom.state == states.SUCCESS}
    stage.check(f"{KILLED_AFTER} is stored as RUNNING", state_of(before, KILLED_AFTER) == states.RUNNING)
    stage.check(f"the server that the dead process started lives, {server}", server is not None)

    stage.say("another process, this one, goes on from the SQLite file:")
    with stage.backend.get_connection() as connection:
        flow_detail = connection.get_flow_details(uuid)
    engine = stage.watched(engines.load_from_detail(flow_detail, backend=stage.backend))
    engine.run()
    after = stage.show(uuid, "resumed")
    did = {
        pid: {line["atom"] for line in stage.ledger("phoenix") if line["pid"] == pid}
        for pid in (dead, os.getpid())
    }
    twice = did[dead] & did[os.getpid()]
    stage.check("the flow and every atom are SUCCESS", all_are(after, states.SUCCESS))
    stage.check(
        "no task that was stored as SUCCESS ran again", bool(finished) and not did[os.getpid()] & finished
    )
    stage.check(f"only {KILLED_AFTER} ran again, as its end was not stored", twice == {KILLED_AFTER})
    stage.check("it found its server and started no other", engine.storage.fetch("pid") == server)
    stage.check("the site is served", serves(engine.storage.fetch("port"), "/articles", "A flow deployed"))
    stage.check("the routes file has its address", "phoenix" in stage.place("phoenix").routes())


def deploy_and_kill(stage: Stage, site: str) -> tuple[int, int]:
    """Deploy a site in another process, and kill that when the server has been started.

    Args:
        stage: where to work.
        site: the site's name.

    Returns:
        The id of the process, and how it ended.
    """
    words = ["--root", str(stage.root), "deploy", site]
    child = subprocess.Popen(  # noqa: S603 - our own file
        [sys.executable, "-m", "examples.website", *words],
        cwd=REPOSITORY,
        env={**os.environ, HOLD: f"execute {KILLED_AFTER}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        watchdog = threading.Timer(SECONDS_TO_KILL, child.kill)
        watchdog.start()
        try:
            for line in child.stdout or ():
                stage.say(f"process {child.pid}: {line.rstrip()}")
                if line.startswith("holding after"):
                    stage.say(f"kill -9 {child.pid}", "bold red")
                    break
        finally:
            watchdog.cancel()
            child.kill()
    return child.pid, child.wait()


def clean_up(stage: Stage) -> None:
    """Remove the sites by flows of their own, and look whether they are gone."""
    stage.title("5. The sites are removed, by flows too")
    ports = {site: stage.place(site).port() for site in stage.place("any").routes()}
    for site, port in ports.items():
        stage.load("examples.website.removal", quiet=site.startswith("site-"), site=site).run()
        stage.check(f"{site}: port {port} is closed", port is not None and closed(port))
        nothing_left(stage, site)


PARTS: tuple[Callable[[Stage], None], ...] = (
    site_succeeds,
    site_fails,
    site_survives,
    board_of_sites,
    clean_up,
)


def run(shown: Path, console: Console, parts: Sequence[Callable[[Stage], None]] = PARTS) -> int:
    """Show everything.

    Args:
        shown: the folder for the pictures, which must be there; they are all that stays.
        console: where to print.
        parts: what to show, in order.

    Returns:
        0, or 1 when a claim did not hold.
    """
    with workshop() as root, backends.backend(f"sqlite:///{root}/flows.db") as backend:
        stage = Stage(root, shown, backend, console)
        stage.say(f"everything is made in {root}")
        for part in parts:
            part(stage)
    stage.check(f"{root} is gone", not root.exists())
    console.print()
    if stage.wrong:
        console.print(Text(f"{len(stage.wrong)} claims do not hold: {'; '.join(stage.wrong)}", "bold red"))
        return 1
    console.print(Text("All of it holds.", "bold green"), f"The pictures are in {shown}", soft_wrap=True)
    return 0


def main() -> int:
    """Read the command line and show everything."""
    parser = argparse.ArgumentParser(description="Deploy, roll back, kill and resume small web sites.")
    parser.add_argument(
        "--pictures", type=Path, default=REPOSITORY / "demo-out", help="folder for the pictures (%(default)s)"
    )
    options = parser.parse_args()
    try:
        options.pictures.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"the pictures cannot go there: {error}")
    # An end by SIGTERM cleans up as an end by Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    return run(options.pictures.absolute(), make_console())


if __name__ == "__main__":
    sys.exit(main())
