"""Demonstrates flows with a real web site: one completes, one is rolled back, one survives a crash.

Run by `scripts/demo`. Every claim is checked against the ports, files and processes themselves; a false one
makes the exit status 1.
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

if __name__ == "__main__":  # Run as a file, it has to find the other examples.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.text import Text

from examples.demo_jobs import sites_as_jobs
from examples.demo_support import Demo, all_in_state, is_closed, is_served, state_of, temporary_root
from examples.website_deployment import HOLD, start_time
from stackl_flow import engines, states
from stackl_flow.cli.output import make_console
from stackl_flow.control import flows
from stackl_flow.persistence import backends

REPOSITORY = Path(__file__).resolve().parents[1]
KILLED_AFTER = "start_server"
SECONDS_TO_KILL = 60.0
# Tasks without side effects have nothing to revert.
READ_ONLY_TASKS = {"check_name", "check_health"}
TASKS = {
    "check_name",
    "allocate_port",
    "write_files",
    "create_database",
    "start_server",
    "check_health",
    "register_route",
}


def site_succeeds(demo: Demo) -> None:
    """Deploy one site and fetch its pages."""
    demo.title("1. A site is deployed")
    engine = demo.load("examples.website.website", site="hello")
    engine.run()
    view = demo.show(engine.storage.flow_uuid, "deployed")
    port, pid, url = (engine.storage.fetch(name) for name in ("port", "pid", "url"))
    demo.check("the flow and every atom are SUCCESS", all_in_state(view, states.SUCCESS))
    demo.check(f"{url} serves the site's page", is_served(port, "/", "<h1>hello</h1>"))
    demo.check(
        f"{url}articles serves its database", is_served(port, "/articles", "A flow deployed this page.")
    )
    demo.check(f"its server is a separate process, {pid}", pid != os.getpid() and start_time(pid) is not None)
    demo.check("its URL is in the routes file", demo.deployment("hello").routes() == {"hello": url})
    demo.check("each task ran once", demo.counts("hello", "execute") == dict.fromkeys(TASKS, 1))


def site_fails(demo: Demo) -> None:
    """Deploy a site without articles: its health check fails twice, then everything is reverted."""
    demo.title("2. A site whose health check fails is rolled back")
    engine = demo.load("examples.website.website", site="empty", articles=[])
    made: dict[str, list[int]] = {"start_server": [], "allocate_port": []}

    def record(_state: str, details: Mapping[str, Any]) -> None:
        if details.get("task_name") in made:
            made[details["task_name"]].append(details["result"])

    engine.atom_notifier.register(states.SUCCESS, record)
    try:
        engine.run()
    except RuntimeError as error:
        demo.say(f"the run raised: {error}", "red")
    view = demo.show(engine.storage.flow_uuid, "rolled-back")
    pids, ports = made["start_server"], made["allocate_port"]
    ran = [atom for atom in view.atoms if atom.name != "register_route"]
    demo.check("the flow is REVERTED", view.flow.state == states.REVERTED)
    demo.check("every atom that ran is REVERTED", all(atom.state == states.REVERTED for atom in ran))
    demo.check("register_route never ran", state_of(view, "register_route") == states.PENDING)
    demo.check("the server was started twice: the retry allows two attempts", len(set(pids)) == len("12"))
    demo.check("both server processes have exited", all(start_time(pid) is None for pid in pids))
    demo.check(f"port {ports} is closed", bool(ports) and all(is_closed(port) for port in ports))
    check_removed(demo, "empty")
    executed = {name: n for name, n in demo.counts("empty", "execute").items() if name not in READ_ONLY_TASKS}
    demo.check("every execution was reverted", demo.counts("empty", "revert") == executed)
    demo.check(
        "the first site is served as before", is_served(demo.deployment("hello").port() or 0, "/", "hello")
    )


def check_removed(demo: Demo, site: str) -> None:
    """Check that no file of a site is left."""
    deployment = demo.deployment(site)
    demo.check("its directory is removed", not deployment.folder.exists())
    demo.check("its port is released", deployment.port() is None)
    demo.check("it is not in the routes file", site not in deployment.routes())


def site_survives(demo: Demo) -> None:
    """Kill a deployment with SIGKILL, and resume it from the database."""
    demo.title("3. A deployment is killed and resumed")
    dead, status = deploy_and_kill(demo, "phoenix")
    demo.check("the process was killed by SIGKILL", status == -signal.SIGKILL)
    uuid = flows.list_flows(demo.backend, limit=1)[0].uuid
    before = demo.show(uuid, "killed")
    server = demo.deployment("phoenix").server()
    finished = {atom.name for atom in before.atoms if atom.state == states.SUCCESS}
    demo.check(f"{KILLED_AFTER} is stored as RUNNING", state_of(before, KILLED_AFTER) == states.RUNNING)
    demo.check(f"the server that it started still runs, process {server}", server is not None)

    demo.say("this process resumes the flow from the SQLite file:")
    with demo.backend.get_connection() as connection:
        flow_detail = connection.get_flow_details(uuid)
    engine = demo.watched(engines.load_from_detail(flow_detail, backend=demo.backend))
    engine.run()
    after = demo.show(uuid, "resumed")
    did = {
        pid: {line["atom"] for line in demo.actions("phoenix") if line["pid"] == pid}
        for pid in (dead, os.getpid())
    }
    twice = did[dead] & did[os.getpid()]
    demo.check("the flow and every atom are SUCCESS", all_in_state(after, states.SUCCESS))
    demo.check("no task recorded as SUCCESS ran again", bool(finished) and not did[os.getpid()] & finished)
    demo.check(f"only {KILLED_AFTER} ran again, since its end was not recorded", twice == {KILLED_AFTER})
    demo.check("it found the running server and did not start another", engine.storage.fetch("pid") == server)
    demo.check("the site is served", is_served(engine.storage.fetch("port"), "/articles", "A flow deployed"))
    demo.check("its URL is in the routes file", "phoenix" in demo.deployment("phoenix").routes())


def deploy_and_kill(demo: Demo, site: str) -> tuple[int, int]:
    """Deploy a site in another process, and kill it when the server has been started.

    Args:
        demo: the demonstration.
        site: the site's name.

    Returns:
        The process ID and the exit status.
    """
    arguments = ["--root", str(demo.root), "deploy", site]
    child = subprocess.Popen(  # noqa: S603 - our own file
        [sys.executable, "-m", "examples.website", *arguments],
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
                demo.say(f"process {child.pid}: {line.rstrip()}")
                if line.startswith("holding after"):
                    demo.say(f"kill -9 {child.pid}", "bold red")
                    break
        finally:
            watchdog.cancel()
            child.kill()
    return child.pid, child.wait()


def clean_up(demo: Demo) -> None:
    """Remove the sites with flows, and check that they are gone."""
    demo.title("5. The sites are removed by flows")
    ports = {site: demo.deployment(site).port() for site in demo.deployment("any").routes()}
    for site, port in ports.items():
        demo.load("examples.website.removal", quiet=site.startswith("site-"), site=site).run()
        demo.check(f"{site}: port {port} is closed", port is not None and is_closed(port))
        check_removed(demo, site)


PARTS: tuple[Callable[[Demo], None], ...] = (
    site_succeeds,
    site_fails,
    site_survives,
    sites_as_jobs,
    clean_up,
)


def run(shown: Path, console: Console, parts: Sequence[Callable[[Demo], None]] = PARTS) -> int:
    """Run the demonstration.

    Args:
        shown: an existing folder for the pictures; everything else is removed.
        console: where to print.
        parts: the parts to run, in order.

    Returns:
        0, or 1 if a claim was false.
    """
    with temporary_root() as root, backends.backend(f"sqlite:///{root}/flows.db") as backend:
        demo = Demo(root, shown, backend, console)
        demo.say(f"temporary files are in {root}")
        for part in parts:
            part(demo)
    demo.check(f"{root} is removed", not root.exists())
    console.print()
    if demo.wrong:
        console.print(Text(f"{len(demo.wrong)} claims are false: {'; '.join(demo.wrong)}", "bold red"))
        return 1
    console.print(Text("All claims hold.", "bold green"), f"The pictures are in {shown}", soft_wrap=True)
    return 0


def main() -> int:
    """Read the command line and run the demonstration."""
    parser = argparse.ArgumentParser(description="Deploy, roll back, kill and resume small web sites.")
    parser.add_argument(
        "--pictures", type=Path, default=REPOSITORY / "demo-out", help="folder for the pictures (%(default)s)"
    )
    options = parser.parse_args()
    try:
        options.pictures.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"cannot create the folder for pictures: {error}")
    # Clean up after SIGTERM as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    return run(options.pictures.absolute(), make_console())


if __name__ == "__main__":
    sys.exit(main())
