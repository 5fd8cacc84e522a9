"""Count the files of the library that a few typical operations pass through.

Counted are distinct source files of which at least one function body runs during the operation, in any
thread of this process. Module and class bodies do not count, and each operation is done once before, so that
imports and caches exist. Flows, jobs and boards are in memory, save for ``jobs list``, which reads a SQLite
file.

Usage: walks.py [--files]
"""

from __future__ import annotations

import contextlib
import inspect
import io
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import stackl_flow  # noqa: E402  from this clone, whatever is installed
from stackl_flow import engines, task  # noqa: E402
from stackl_flow.cli import main as command_line  # noqa: E402
from stackl_flow.conductors import backends as conductors  # noqa: E402
from stackl_flow.jobboards import backends as boards  # noqa: E402
from stackl_flow.patterns import linear_flow  # noqa: E402
from stackl_flow.persistence import backends as stores  # noqa: E402
from stackl_flow.submission import post_flow  # noqa: E402

PACKAGE = f"{Path(stackl_flow.__file__).parent}/"
#: Conductors import it, so it must not be that of `__main__`.
FACTORY = "scripts.walks.make_flow"
STEPS = 20


class Step(task.Task):
    """Does nothing."""

    def execute(self) -> None:
        """Do nothing."""


def make_flow() -> linear_flow.Flow:
    """Make a chain."""
    return linear_flow.Flow("chain").add(*(Step(f"step-{number}") for number in range(STEPS)))


@contextlib.contextmanager
def counting() -> Iterator[set[str]]:
    """Collect the files passed while the context is open."""
    codes: set[CodeType] = set()
    files: set[str] = set()

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            codes.add(frame.f_code)

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield files
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        files.update(
            code.co_filename.removeprefix(PACKAGE)
            for code in codes
            if code.co_flags & inspect.CO_OPTIMIZED and code.co_filename.startswith(PACKAGE)
        )


def run_flow() -> set[str]:
    """``engine.run`` of a chain, stored in memory."""
    with stores.backend("memory") as store:
        engine = engines.load(make_flow(), backend=store)
        with counting() as files:
            engine.run()
    return files


def run_step() -> set[str]:
    """One step in the middle of that chain: one task comes back, the next one starts."""
    with stores.backend("memory") as store:
        steps = engines.load(make_flow(), backend=store).run_iter()
        for _ in range(STEPS):
            next(steps)
        with counting() as files:
            next(steps)
    return files


def run_job() -> set[str]:
    """``Conductor.run`` of one job whose flow is that chain, board and flow in memory."""
    with stores.backend("memory") as store, boards.backend("work", "memory", persistence=store) as board:
        conductor = conductors.fetch("blocking", "me", board, persistence=store)
        post_flow(board, store, FACTORY)
        with counting() as files:
            conductor.run(max_dispatches=1)
    return files


def list_jobs() -> set[str]:
    """``stackl-flow jobs list`` of one job, in SQLite."""
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/flows.db"
        with stores.backend(url) as store, boards.backend("default", url, persistence=store) as board:
            post_flow(board, store, FACTORY)
        arguments, sys.argv = sys.argv, ["stackl-flow", "jobs", "list", "--board", url]
        try:
            with (
                contextlib.redirect_stdout(io.StringIO()) as printed,
                contextlib.suppress(SystemExit),
                counting() as files,
            ):
                command_line()
        finally:
            sys.argv = arguments
    if "chain" not in printed.getvalue():
        raise RuntimeError(f"jobs list printed: {printed.getvalue()!r}")
    return files


WALKS: dict[str, Callable[[], set[str]]] = {
    "engine.run": run_flow,
    "one engine step": run_step,
    "Conductor.run of one job": run_job,
    "jobs list": list_jobs,
}


def main() -> None:
    """Print the number of files, and with ``--files`` their names."""
    for name, walk in WALKS.items():
        walk()
        files = walk()
        print(f"files passed by {name:<24} {len(files):>7}")
        if "--files" in sys.argv:
            for file in sorted(files):
                print(f"    {file}")


if __name__ == "__main__":
    main()
