"""The programs in the wheel's `taskflow/examples`, through compat: they print what they print on TaskFlow.

What is expected is what the wheel ships beside a program, or else what the program prints on TaskFlow itself
in this very run.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.compat import wheel

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = wheel.package() / "examples"

#: Programs that follow with their rooms.
LATER = {
    "99_bottles": "runs conductors on a board in ZooKeeper, which has no room yet, until it is stopped",
    "jobboard_produce_consume_colors": "its board is in ZooKeeper, which has no room yet",
    "tox_conductor": "its board is in ZooKeeper, which has no room yet",
    "wbe_event_sender": "runs on TaskFlow's own workers",
    "wbe_mandelbrot": "runs on TaskFlow's own workers",
    "wbe_simple_linear": "runs on TaskFlow's own workers",
}

#: Not a program, but what the programs import.
HELPERS = {"example_utils"}

#: A program that takes longer has hung; seconds.
PATIENCE = 60

#: Run in each process before the program. Chance is taken out of the programs, not out of the libraries.
_SITE = """\
import random
random.seed(2)
"""

#: What the wheel ships beside these is older than TaskFlow 6.5, which no longer prints it.
STALE = {"resume_from_backend", "resume_many_flows"}

#: For programs that start others: those are to run on us, too.
_INSTALLED = """
from stackl_flow import compat
compat.install()
"""

#: For a program that imports TaskFlow's own tests, which nobody but the wheel has.
_TESTS = """
import sys
from tests.compat import wheel
sys.meta_path.insert(0, wheel.WheelFinder())
"""

SITES = {"resume_many_flows": _SITE + _INSTALLED, "wrapped_exception": _SITE + _INSTALLED + _TESTS}

Shape = Callable[[str], object]


def as_it_is(said: str) -> object:
    """Compare the text."""
    return said


def sorted_lines(said: str) -> object:
    """Compare the lines, in whatever order they came."""
    return sorted(said.splitlines())


def pieces(pattern: str) -> Shape:
    """Compare what matches, in whatever order it came: threads print into each other's lines."""
    return lambda said: sorted(re.findall(pattern, said))


def values(said: str) -> object:
    """Compare dictionaries as such."""
    return [ast.literal_eval(line[line.index("{") :]) for line in said.splitlines()]


def rounds(said: str) -> object:
    """Compare rounds of an engine, however many there were."""
    return re.sub(r"((SCHEDULING\n)?WAITING\nANALYZING\n)+", "ROUNDS\n", said)


def without_numbers(said: str) -> object:
    """Compare all but the numbers."""
    return re.sub(r"\d+(\.\d+)?", "N", said)


def without_frames(said: str) -> object:
    """Compare all but the times, and the code that an error came through, which is the library's own."""
    said = re.sub(r"Traceback \(most recent call last\):\n(?: +.*\n)+?(?=\S)", "", said)
    return re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.+]+", "TIME", said)


_ENGINE = (
    r"<taskflow[^>]*> has moved .*? into state '\w+' from state '\w+'(?: with result '\w*' \(failure=\w+\))?"
)

#: Programs whose output is not the same in each run of TaskFlow itself: how to compare it, and why.
VARYING: dict[str, tuple[Shape, str]] = {
    "build_a_car": (sorted_lines, "which of several free atoms TaskFlow runs first depends on addresses"),
    "buildsystem": (sorted_lines, "which of several free atoms TaskFlow runs first depends on addresses"),
    "create_parallel_volume": (pieces(rf"{_ENGINE}|(?:M|Finished m)aking volume vol-\d"), "runs on threads"),
    "graph_flow": (values, "the order of names in fetch_all is nobody's promise"),
    "hello_world": (sorted_lines, "runs on threads"),
    "parallel_table_multiply": (rounds, "how many rows are done at one look is chance"),
    "persistence_example": (without_frames, "prints times and a traceback"),
    "share_engine_thread": (
        pieces(r"Running '[\w-]+' in thread"),
        "runs on threads and prints their numbers",
    ),
    "wrapped_exception": (sorted_lines, "runs on threads"),
    "timing_listener": (without_numbers, "prints how long things took"),
}


def programs() -> list[str]:
    """List the programs of the wheel that can run here."""
    found = {path.stem for path in EXAMPLES.glob("*.py")}
    return sorted(found - HELPERS - LATER.keys())


@dataclass(frozen=True)
class Ending:
    """How a program ended."""

    code: int
    out: str
    err: str


def run(name: str, *, ours: bool) -> Ending:
    """Run a program in a folder of its own; what it leaves behind is not found by its next run."""
    with tempfile.TemporaryDirectory() as folder:
        site = SITES.get(name, _SITE) if ours else _SITE
        (Path(folder) / "sitecustomize.py").write_text(site)
        path = os.pathsep.join((folder, str(ROOT)))
        through = ["-m", "stackl_flow.compat"] if ours else []
        done = subprocess.run(
            [sys.executable, *through, str(EXAMPLES / f"{name}.py")],
            cwd=folder, env={**os.environ, "PYTHONPATH": path, "TMPDIR": folder},
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        return Ending(done.returncode, done.stdout, done.stderr)


def expected_of(name: str) -> Ending:
    """Find out what a program prints on TaskFlow."""
    shipped = EXAMPLES / f"{name}.out.txt"
    if shipped.exists() and name not in STALE:
        return Ending(0, shipped.read_text(), "")
    return run(name, ours=False)


def plain(said: str) -> str:
    """Take out identities and addresses, which are new in each run."""
    said = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uuid>", said)
    return re.sub(r"0x[0-9a-f]+", "<address>", said)


@pytest.fixture(scope="module")
def endings(request):
    """Run the programs that are asked for, on us and on TaskFlow, two at a time: they mostly sleep."""
    names = [item.callspec.params["name"] for item in request.session.items if hasattr(item, "callspec")
             and item.path == Path(__file__) and "name" in item.callspec.params]  # fmt: skip
    with futures.ThreadPoolExecutor(2) as pool:
        yield {name: (pool.submit(run, name, ours=True), pool.submit(expected_of, name)) for name in names}


@pytest.mark.timeout(10 * PATIENCE)
@pytest.mark.parametrize("name", programs())
def test_it_prints_what_it_prints_on_taskflow(name, endings):
    came, expected = (future.result() for future in endings[name])
    shape, _ = VARYING.get(name, (as_it_is, ""))

    assert came.code == expected.code, came.err
    assert shape(plain(came.out)) == shape(plain(expected.out)), came.err


def test_only_programs_that_exist_are_named():
    there = {path.stem for path in EXAMPLES.glob("*.py")}

    assert there >= {*LATER, *HELPERS, *VARYING, *SITES, *STALE}
