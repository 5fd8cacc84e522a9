"""The part of the demonstration with jobs: twenty sites, three conductors, one killed, one stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Table
from rich.text import Text

from examples.demo_support import Demo, is_served
from examples.website_deployment import HOLD, STOP, start_time
from stackl_flow import states
from stackl_flow.cli.tables import state_text
from stackl_flow.control import boards, flows
from stackl_flow.jobboards.base import Job, JobBoard
from stackl_flow.submission import post_flow

REPOSITORY = Path(__file__).resolve().parents[1]
PRIORITIES = ("LOW", "NORMAL", "HIGH", "VERY_HIGH")
SITES = 20
#: Every seventh site has no articles, so its health check fails and it is rolled back.
EMPTY_EVERY = 7
LEASE = 2.0
#: Faults by environment variable: the first waits to be killed, the second stops itself with SIGSTOP.
CONDUCTORS: dict[str, dict[str, str]] = {
    "conductor-1": {HOLD: "execute start_server"},
    "conductor-2": {STOP: "execute create_database"},
    "conductor-3": {},
}
SECONDS = 90.0
IN_PROGRESS = {states.RUNNING, states.REVERTING}


def sites_as_jobs(demo: Demo) -> None:
    """Post twenty sites as jobs for three conductors, of which one is killed and one is stopped."""
    demo.title("4. Twenty sites as jobs, three conductors, one killed and one stopped")
    url = f"sqlite:///{demo.root}/jobs.db"
    with boards.open_board(url, persistence=demo.backend, ttl=LEASE) as board:
        jobs: dict[str, Job] = {}
        with ExitStack() as stack:
            processes = {name: stack.enter_context(conductor(demo, url, name)) for name in CONDUCTORS}
            wait_until(lambda: len(board.membership.members("conductor")) == len(processes))
            demo.say(f"{', '.join(processes)} wait for jobs")
            watch = stack.enter_context(watching(demo, board))
            jobs |= {f"site-{number:02}": post(demo, board, number) for number in range(1, SITES + 1)}
            watch(f"{len(jobs)} jobs are posted")
            wait_until(lambda: is_holding(demo, "conductor-1"))
            watch(f"kill -9 {processes['conductor-1'].pid}: conductor-1 is killed", "bold red")
            processes["conductor-1"].kill()
            processes["conductor-1"].wait()
            in_progress = tasks_in_progress(demo, board, "conductor-1")
            wait_until(lambda: is_stopped(processes["conductor-2"]))
            watch(f"conductor-2 ({processes['conductor-2'].pid}) is stopped", "bold red")
            in_progress |= tasks_in_progress(demo, board, "conductor-2")
            ended = all(job.wait(SECONDS) for job in jobs.values())
            processes["conductor-2"].send_signal(signal.SIGCONT)
            watch("conductor-2 continues, finds that its jobs were taken over, and writes nothing", "bold")
            for name in ("conductor-2", "conductor-3"):
                processes[name].send_signal(signal.SIGTERM)
            exits = {name: process.wait(SECONDS) for name, process in processes.items()}
        demo.check("every job ended", ended and board.job_count == 0)
        expected = {"conductor-1": -9, "conductor-2": 0, "conductor-3": 0}
        demo.check("conductor-1 was killed, the others shut down gracefully", exits == expected)
        check_results(demo, jobs, {process.pid: name for name, process in processes.items()}, in_progress)


def post(demo: Demo, board: JobBoard, number: int) -> Job:
    """Post one site."""
    store: dict[str, Any] = {"site": f"site-{number:02}", "root": str(demo.root)}
    if number % EMPTY_EVERY == 0:
        store["articles"] = []
    priority = PRIORITIES[number % len(PRIORITIES)]
    return post_flow(
        board, demo.backend, "examples.website.website", name=store["site"], store=store, priority=priority
    )


@contextmanager
def conductor(demo: Demo, board: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a conductor in a process of its own, and kill it at the end."""
    # A process stopped in the middle of a write keeps the lock of the file. The second conductor stops
    # between two writes, so it must not run another job at the same time.
    concurrency = "1" if STOP in CONDUCTORS[name] else "2"
    arguments = ["conduct", "--name", name, "--jobs", concurrency, "--lease-ttl", str(LEASE), "--json"]
    arguments += ["--board", board, "--db", f"sqlite:///{demo.root}/flows.db"]
    with log_of(demo, name).open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "stackl_flow.cli", *arguments],
            cwd=REPOSITORY,
            env={**os.environ, **CONDUCTORS[name]},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def log_of(demo: Demo, name: str) -> Path:
    """Return the path of a conductor's log."""
    return demo.root / f"{name}.log"


def is_holding(demo: Demo, name: str) -> bool:
    """Return whether a conductor waits to be killed, by its log."""
    return "holding after" in log_of(demo, name).read_text()


def is_stopped(process: subprocess.Popen[bytes]) -> bool:
    """Return whether a process is stopped."""
    found, status = os.waitpid(process.pid, os.WNOHANG | os.WUNTRACED)
    return found == process.pid and os.WIFSTOPPED(status)


def tasks_in_progress(demo: Demo, board: JobBoard, name: str) -> set[tuple[str, str]]:
    """Return the site and name of tasks in progress in the jobs that a conductor has claimed."""
    mine = [job for job in board.iterjobs() if job.claims and job.claims[-1].owner == name]
    views = [(job.name, flows.get_flow(demo.backend, job.details["flow_uuid"])) for job in mine]
    return {(site, atom.name) for site, view in views for atom in view.atoms if atom.state in IN_PROGRESS}


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; raise an error after a while."""
    end = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError("timed out while waiting for the conductors")
        time.sleep(0.05)


@contextmanager
def watching(demo: Demo, board: JobBoard) -> Iterator[Any]:
    """Show claims: as a live table on a terminal, as lines in a pipe."""
    claims: dict[str, tuple[str, str, str]] = {}

    def table() -> Table:
        shown = Table.grid(padding=(0, 2))
        for name in sorted(claims):
            shown.add_row(f"  {name}", *claims[name])
        return shown

    live = Live(table(), console=demo.console, transient=True, refresh_per_second=8)

    def on_event(event: str, details: Mapping[str, Any]) -> None:
        job = details["job"]
        who = job.claims[-1].owner if job.claims else ""
        if event == "POSTED":
            return
        claims[job.name] = (job.priority.value, event.lower(), who)
        if demo.console.is_terminal:
            live.update(table())
        else:
            demo.say(f"{job.name} {event.lower()} {who}".rstrip())

    board.notifier.register("*", on_event)
    try:
        with live if demo.console.is_terminal else nullcontext():
            yield demo.say
    finally:
        board.notifier.deregister("*", on_event)


def check_results(
    demo: Demo, jobs: Mapping[str, Job], names: Mapping[int, str], in_progress: set[tuple[str, str]]
) -> None:
    """Check the results, and show which conductors ran each site."""
    table = Table.grid(padding=(0, 2))
    table.add_row(*(Text(title, "bold") for title in ("  site", "priority", "state", "ran by", "repeated")))
    good: list[str] = []
    repeated_pairs: set[tuple[str, str]] = set()
    for site, job in jobs.items():
        state = flows.get_flow(demo.backend, job.details["flow_uuid"]).flow.state
        ran = list(dict.fromkeys(line["pid"] for line in demo.actions(site)))
        repeated = repeated_tasks(demo, site)
        repeated_pairs |= {(site, atom) for atom in repeated}
        good += [site] * is_expected(demo, site, state)
        who = " then ".join(names.get(pid, "?") for pid in ran)
        table.add_row(
            f"  {site}", job.priority.value, state_text(state), who, ", ".join(sorted(repeated)) or "-"
        )
    demo.console.print()
    demo.console.print(table)
    demo.console.print()
    wrong = ", ".join(sorted(set(jobs) - set(good)))
    demo.check(f"each of the {SITES} sites is served or rolled back {wrong}".strip(), not wrong)
    demo.check("conductor-1 and conductor-2 had tasks in progress, which others finished", bool(in_progress))
    demo.check(
        "only tasks in progress on conductor-1 and conductor-2 were repeated", repeated_pairs <= in_progress
    )


def repeated_tasks(demo: Demo, site: str) -> set[str]:
    """Return the tasks of a site that several conductors executed, retry attempts aside."""
    lines = {(line["atom"], line["pid"]) for line in demo.actions(site) if line["did"] == "execute"}
    tried_again = {"start_server", "check_health"} if is_empty(site) else set()
    counts = Counter(atom for atom, _ in lines if atom not in tried_again)
    return {atom for atom, count in counts.items() if count > 1}


def is_empty(site: str) -> bool:
    """Return whether a site has no articles, so that its health check fails."""
    return int(site.rpartition("-")[2]) % EMPTY_EVERY == 0


def is_expected(demo: Demo, site: str, state: str) -> bool:
    """Return whether a site is served, or rolled back without a trace."""
    deployment = demo.deployment(site)
    if is_empty(site):
        return state == states.REVERTED and not deployment.folder.exists() and deployment.port() is None
    pid, port = deployment.server(), deployment.port()
    alive = pid is not None and start_time(pid) is not None
    return state == states.SUCCESS and alive and port is not None and is_served(port, "/", f"<h1>{site}</h1>")
