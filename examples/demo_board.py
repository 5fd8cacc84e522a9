"""The part of the demonstration with a jobboard: twenty sites, three conductors, one killed, one stopped."""

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

from examples.demo_stage import Stage, serves
from examples.website_place import HOLD, STOP, started
from stackl_flow import states
from stackl_flow.cli.tables import state_text
from stackl_flow.conductors import post_flow
from stackl_flow.control import boards, flows
from stackl_flow.jobboards.base import JobBoard
from stackl_flow.jobboards.job import Job

REPOSITORY = Path(__file__).resolve().parents[1]
PRIORITIES = ("LOW", "NORMAL", "HIGH", "VERY_HIGH")
SITES = 20
#: Every seventh site has no articles: its health check fails, and it is rolled back.
EMPTY_EVERY = 7
LEASE = 2.0
#: What each conductor's tasks do to it: one holds until it is killed, one stops itself as SIGSTOP does.
CONDUCTORS: dict[str, dict[str, str]] = {
    "ann": {HOLD: "execute start_server"},
    "bob": {STOP: "execute create_database"},
    "cat": {},
}
SECONDS = 90.0
BEGUN = {states.RUNNING, states.REVERTING}


def board_of_sites(stage: Stage) -> None:
    """Post twenty sites as jobs; three conductors run them, of whom one is killed and one is stopped."""
    stage.title("4. Twenty sites on a jobboard, three conductors, one killed and one stopped")
    place = f"sqlite:///{stage.root}/jobs.db"
    with boards.open_board(place, books=stage.backend, ttl=LEASE) as board:
        jobs: dict[str, Job] = {}
        with ExitStack() as stack:
            crew = {name: stack.enter_context(conductor(stage, place, name)) for name in CONDUCTORS}
            wait_until(lambda: len(board.presence.here("conductor")) == len(crew))
            stage.say(f"{', '.join(crew)} are waiting for jobs")
            watch = stack.enter_context(watching(stage, board))
            jobs |= {f"site-{number:02}": post(stage, board, number) for number in range(1, SITES + 1)}
            watch(f"{len(jobs)} jobs are posted")
            wait_until(lambda: holds(stage, "ann"))
            watch(f"kill -9 {crew['ann'].pid}: ann is dead", "bold red")
            crew["ann"].kill()
            crew["ann"].wait()
            at_work = under_way(stage, board, "ann")
            wait_until(lambda: stopped(crew["bob"]))
            watch(f"bob ({crew['bob'].pid}) is stopped", "bold red")
            at_work |= under_way(stage, board, "bob")
            ended = all(job.wait(SECONDS) for job in jobs.values())
            crew["bob"].send_signal(signal.SIGCONT)
            watch("bob goes on, finds that his jobs were taken over, and writes nothing", "bold")
            for name in ("bob", "cat"):
                crew[name].send_signal(signal.SIGTERM)
            exits = {name: process.wait(SECONDS) for name, process in crew.items()}
        stage.check("every job ended", ended and board.job_count == 0)
        stage.check("ann was killed, bob and cat stopped in order", exits == {"ann": -9, "bob": 0, "cat": 0})
        look(stage, jobs, {process.pid: name for name, process in crew.items()}, at_work)


def post(stage: Stage, board: JobBoard, number: int) -> Job:
    """Post one site."""
    store: dict[str, Any] = {"site": f"site-{number:02}", "root": str(stage.root)}
    if number % EMPTY_EVERY == 0:
        store["articles"] = []
    priority = PRIORITIES[number % len(PRIORITIES)]
    return post_flow(
        board, stage.backend, "examples.website.website", name=store["site"], store=store, priority=priority
    )


@contextmanager
def conductor(stage: Stage, board: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a conductor in a process of its own; at the end it is gone."""
    # Whoever is stopped in the middle of a write keeps the file's lock. So bob, who stops between two writes,
    # has nothing else in hand.
    at_once = "1" if STOP in CONDUCTORS[name] else "2"
    words = ["conduct", "--name", name, "--jobs", at_once, "--lease-ttl", str(LEASE), "--json"]
    words += ["--board", board, "--db", f"sqlite:///{stage.root}/flows.db"]
    with log_of(stage, name).open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "stackl_flow.cli", *words],
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


def log_of(stage: Stage, name: str) -> Path:
    """Where a conductor's output goes."""
    return stage.root / f"{name}.log"


def holds(stage: Stage, name: str) -> bool:
    """Say whether a conductor holds, as its own output tells."""
    return "holding after" in log_of(stage, name).read_text()


def stopped(process: subprocess.Popen[bytes]) -> bool:
    """Say whether a process is stopped."""
    found, status = os.waitpid(process.pid, os.WNOHANG | os.WUNTRACED)
    return found == process.pid and os.WIFSTOPPED(status)


def under_way(stage: Stage, board: JobBoard, name: str) -> set[tuple[str, str]]:
    """Name the tasks that are recorded as begun in the jobs that a conductor claims."""
    mine = [job for job in board.iterjobs() if job.claims and job.claims[-1].who == name]
    views = [(job.name, flows.show(stage.backend, job.details["flow_uuid"])) for job in mine]
    return {(site, atom.name) for site, view in views for atom in view.atoms if atom.state in BEGUN}


def wait_until(so: Callable[[], bool]) -> None:
    """Wait until something is so, and say so if it never is."""
    end = time.monotonic() + SECONDS
    while not so():
        if time.monotonic() > end:
            raise RuntimeError("the conductors never came to that point")
        time.sleep(0.05)


@contextmanager
def watching(stage: Stage, board: JobBoard) -> Iterator[Any]:
    """Show who claims what: as a live table on a terminal, as lines in a pipe."""
    claims: dict[str, tuple[str, str, str]] = {}

    def table() -> Table:
        shown = Table.grid(padding=(0, 2))
        for name in sorted(claims):
            shown.add_row(f"  {name}", *claims[name])
        return shown

    live = Live(table(), console=stage.console, transient=True, refresh_per_second=8)

    def told(event: str, details: Mapping[str, Any]) -> None:
        job = details["job"]
        who = job.claims[-1].who if job.claims else ""
        if event == "POSTED":
            return
        claims[job.name] = (job.priority.value, event.lower(), who)
        if stage.console.is_terminal:
            live.update(table())
        else:
            stage.say(f"{job.name} {event.lower()} {who}".rstrip())

    board.notifier.register("*", told)
    try:
        with live if stage.console.is_terminal else nullcontext():
            yield stage.say
    finally:
        board.notifier.deregister("*", told)


def look(
    stage: Stage, jobs: Mapping[str, Job], names: Mapping[int, str], at_work: set[tuple[str, str]]
) -> None:
    """Check what the conductors have left behind, and show who ran what."""
    table = Table.grid(padding=(0, 2))
    table.add_row(*(Text(word, "bold") for word in ("  site", "priority", "state", "ran by", "done twice")))
    good: list[str] = []
    twice: set[tuple[str, str]] = set()
    for site, job in jobs.items():
        state = flows.show(stage.backend, job.details["flow_uuid"]).flow.state
        ran = list(dict.fromkeys(line["pid"] for line in stage.ledger(site)))
        repeated = done_by_several(stage, site)
        twice |= {(site, atom) for atom in repeated}
        good += [site] * is_as_wanted(stage, site, state)
        who = " then ".join(names.get(pid, "?") for pid in ran)
        table.add_row(
            f"  {site}", job.priority.value, state_text(state), who, ", ".join(sorted(repeated)) or "-"
        )
    stage.console.print()
    stage.console.print(table)
    stage.console.print()
    wrong = ", ".join(sorted(set(jobs) - set(good)))
    stage.check(f"each of the {SITES} sites is up and served, or rolled back {wrong}".strip(), not wrong)
    stage.check("ann and bob had work in hand, which others finished", bool(at_work))
    stage.check("nothing was done twice but what was in ann's and bob's hands", twice <= at_work)


def done_by_several(stage: Stage, site: str) -> set[str]:
    """Name the tasks of a site that more than one conductor executed; a retry's second attempt is none."""
    lines = {(line["atom"], line["pid"]) for line in stage.ledger(site) if line["did"] == "execute"}
    tried_again = {"start_server", "check_health"} if is_empty(site) else set()
    counts = Counter(atom for atom, _ in lines if atom not in tried_again)
    return {atom for atom, count in counts.items() if count > 1}


def is_empty(site: str) -> bool:
    """Say whether a site has no articles, so that its health check fails."""
    return int(site.rpartition("-")[2]) % EMPTY_EVERY == 0


def is_as_wanted(stage: Stage, site: str, state: str) -> bool:
    """Say whether a site is up and served, or gone without a trace."""
    place = stage.place(site)
    if is_empty(site):
        return state == states.REVERTED and not place.folder.exists() and place.port() is None
    pid, port = place.server(), place.port()
    alive = pid is not None and started(pid) is not None
    return state == states.SUCCESS and alive and port is not None and serves(port, "/", f"<h1>{site}</h1>")
