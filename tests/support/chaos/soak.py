"""A soak: chaos rounds one after the other, for minutes or hours (``scripts/soak``)."""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from scripts.servers.definitions import KINDS as SERVER_KINDS
from scripts.servers.server import Server
from tests.support.chaos.plan import Plan, Scale, make_plan
from tests.support.chaos.resources import Resources
from tests.support.chaos.round import Report, Round
from tests.support.chaos.targets import FLOWS_OF, make_target
from tests.support.chaos.workers import Workers

#: Conductors of a round; the last one is never killed, so that its memory can be watched.
_CONDUCTORS: Final = 3
_STEADY: Final = 1
#: Seconds of lease: long enough for a machine with busy processors.
_TTL: Final = 3.0

_DESCRIPTION: Final = """\
Run conductors under faults for a long time, and check every job against the guarantees of the
library.

A soak is a series of rounds, each on another board. In a round, conductors in processes of their
own run random flows: some succeed, some fail and are reverted, some are retried, some have large
values. Meanwhile conductors, their heartbeat processes, the servers and the connections between
them are killed, stopped, hung, restarted, cut and delayed. After the faults all jobs must end. Then
the effects of every task, the history of every flow and the outcome of every job are compared: no
job is lost or run twice at once, recorded work is not repeated, no rollback is lost, every outcome
is stored.

The memory, the open files and the threads of the conductors that are never killed, and of this
process, are watched over the whole soak.
"""
_EPILOG: Final = """\
examples:
  scripts/soak --minutes 20                        all boards whose servers are installed
  scripts/soak --minutes 5 --boards sqlite,redis   two boards in turn
  scripts/soak --minutes 2 --seed 7                the rounds of a soak that printed seed 7, again
  scripts/soak --minutes 600 --jobs 10 --keep logs overnight, ten jobs a second, failed rounds kept

Two processors are enough for the default load. Processes have their own timing, so a seed repeats
what is done, not what comes of it: repeat a failed round several times.

exit status: 0 if everything held, 1 after a violation, 2 for wrong options.
"""


def main() -> int:
    """Run a soak; return 1 after a violation."""
    options = parse_arguments()
    logging.getLogger("stackl_flow").setLevel(logging.ERROR)  # outages of stores are what it makes
    soak = Soak(options.boards, options.seed, options.round, options.jobs, options.keep)
    return soak.run(options.minutes * 60)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/soak",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--minutes", type=float, required=True, metavar="N", help="how long; the last round is finished"
    )
    parser.add_argument(
        "--boards", metavar="NAMES", help=f"boards, joined by commas, of {', '.join(FLOWS_OF)}"
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="seed of the first round; default: a random one"
    )
    parser.add_argument(
        "--round", type=float, default=40.0, metavar="SECONDS", help="seconds with faults in a round (40)"
    )
    parser.add_argument("--jobs", type=float, default=2.0, metavar="RATE", help="jobs a second (2)")
    parser.add_argument(
        "--keep", type=Path, metavar="DIRECTORY", help="keep the logs and stores of failed rounds there"
    )
    options = parser.parse_args()
    if options.minutes <= 0 or options.round <= 0 or options.jobs <= 0:
        parser.error("--minutes, --round and --jobs must be more than 0")
    boards = options.boards.split(",") if options.boards else list(FLOWS_OF)
    if unknown := sorted(set(boards) - set(FLOWS_OF)):
        parser.error(f"unknown board {', '.join(unknown)}: choose from {', '.join(FLOWS_OF)}")
    missing = {kind for kind in SERVER_KINDS if SERVER_KINDS[kind].missing}
    usable = [board for board in boards if not missing & {board, FLOWS_OF[board]}]
    if options.boards and len(usable) < len(boards):
        parser.error(f"not installed: {', '.join(sorted(missing))}; see scripts/services install --help")
    options.boards = usable
    options.seed = random.randrange(1_000_000) if options.seed is None else options.seed
    return options


class Soak:
    """Runs rounds until the time is over, and prints what happens.

    Args:
        boards: kinds of boards, in turn.
        seed: seed of the first round; the others count up from it.
        span: seconds with faults in a round.
        rate: jobs a second.
        keep: where the files of failed rounds are kept; None deletes them.
    """

    def __init__(self, boards: Sequence[str], seed: int, span: float, rate: float, keep: Path | None) -> None:
        self._boards = boards
        self._seed = seed
        self._span = span
        self._rate = rate
        self._keep = keep
        self._own = Resources(interval=5.0)
        self._totals: Counter[str] = Counter()
        self._violations: list[str] = []

    def run(self, seconds: float) -> int:
        """Run for that many seconds at least; return the exit status."""
        until = time.monotonic() + seconds
        say(f"soak of {seconds / 60:.1f} minutes with seed {self._seed} on {', '.join(self._boards)}")
        number = 0
        while time.monotonic() < until or number == 0:
            self._run_round(number, min(self._span, max(10.0, until - time.monotonic())))
            number += 1
        self._violations += self._own.growth()
        say("")
        say(", ".join(f"{count} {what}" for what, count in self._totals.items()))
        say(f"this process: {self._own.summary()}")
        for line in self._violations:
            say(line)
        say(f"{len(self._violations)} violations" if self._violations else "everything held")
        return int(bool(self._violations))

    def _run_round(self, number: int, span: float) -> None:
        board, seed = self._boards[number % len(self._boards)], self._seed + number
        # Every other time around, flows are stored beside their jobs.
        flows = board if number // len(self._boards) % 2 else FLOWS_OF[board]
        begun = time.monotonic()
        with scratch(self._keep) as directory, contextlib.ExitStack() as stack:

            def new_server(kind: str, *options: str) -> Server:
                server = stack.enter_context(contextlib.closing(Server(SERVER_KINDS[kind], options)))
                server.start()
                return server

            target = make_target(board, flows, directory, new_server)
            plan = make_plan(seed, self._scale(span, len(target.servers)))
            watch = Watch(plan, begun)
            self._own.sample("scripts/soak", os.getpid())
            try:
                report = Round(plan, target, directory, watch).run()
            except Exception:  # noqa: BLE001  an error of the round is a violation, too: the soak goes on
                report = Report(plan, (), (), [f"the round failed:\n{traceback.format_exc()}"])
            found = [*report.violations, *watch.resources.growth()]
            self._report(
                f"round {number}: jobs in {board}, flows in {flows}, seed {seed}", plan, report, found
            )
            say(f"    {time.monotonic() - begun:.0f} s, {watch.resources.summary()}")
            if not found:
                remove_files(directory)
        gc.collect()

    def _scale(self, span: float, servers: int) -> Scale:
        return Scale(
            servers=servers,
            jobs=max(5, int(self._rate * span)),
            conductors=_CONDUCTORS,
            span=span,
            ttl=_TTL,
            faults=1.0,
            steady=_STEADY,
        )

    def _report(self, name: str, plan: Plan, report: Report, found: Sequence[str]) -> None:
        ended = Counter(trace.state or "unknown" for trace in report.traces)
        effects = sum(len(trace.effects) for trace in report.traces)
        self._totals.update(rounds=1, jobs=len(plan.jobs), faults=len(plan.faults), effects=effects)
        states = ", ".join(f"{count} {state}" for state, count in sorted(ended.items()))
        say(f"{name}: {len(plan.faults)} faults, {effects} effects, jobs: {states}")
        if found:
            self._violations += [f"{name}: {line}" for line in found]
            say(str(report))
            say("\n".join(found))


class Watch:
    """Watches the conductors of a round and prints a line now and then."""

    def __init__(self, plan: Plan, begun: float) -> None:
        self.resources = Resources()
        self._plan = plan
        self._begun = begun
        self._said_at = begun

    def __call__(self, workers: Workers) -> None:
        """Take samples."""
        for worker in workers:
            if worker.pid:
                self.resources.sample(worker.name, worker.pid)
        now = time.monotonic()
        if now - self._said_at > 15.0:
            self._said_at = now
            say(f"    {now - self._begun:4.0f} s, {self.resources.summary()}")


@contextlib.contextmanager
def scratch(keep: Path | None) -> Iterator[Path]:
    """Yield a directory for a round: a temporary one, or one that is kept."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="stackl-flow-soak-", ignore_cleanup_errors=True) as directory:
            yield Path(directory)
    else:
        keep.mkdir(parents=True, exist_ok=True)
        yield Path(tempfile.mkdtemp(prefix="round-", dir=keep))


def remove_files(directory: Path) -> None:
    """Delete what a round without violations has left."""
    for path in sorted(directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def say(text: Any) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
