"""The programs in the wheel's `taskflow/examples`: how they are run, and how what they print is compared."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from tests.compat import wheel
from tests.compat.work_pool import POOL

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = wheel.package() / "examples"

#: Programs that follow with their rooms.
LATER = {
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

#: For programs that look for ZooKeeper at its usual port: they are put through to the server of this run.
#: One starts a client of kazoo's in several threads at once, which fails now and then, on TaskFlow as well.
_ZOOKEEPER = """
import os, socket, threading
import kazoo.client

connect, start, lock = socket.create_connection, kazoo.client.KazooClient.start, threading.Lock()

def put_through(address, *args, **kwargs):
    if address[1] == 2181:
        address = (address[0], int(os.environ["ZOOKEEPER_PORT"]))
    return connect(address, *args, **kwargs)

def start_once(*args, **kwargs):
    with lock:
        return start(*args, **kwargs)

socket.create_connection = put_through
kazoo.client.KazooClient.start = start_once
"""

#: Programs that need a ZooKeeper; each is told where it is, where it asks for that.
ON_ZOOKEEPER = {
    "99_bottles": (),
    "jobboard_produce_consume_colors": (),
    "tox_conductor": (),
    "resume_from_backend@zookeeper": ("zookeeper://localhost:2181/taskflow/{path}",),
}

#: What is changed in programs before they are run: so that they end sooner, and find no file of another run.
EDITS = {
    "99_bottles": {
        "sqlite:////tmp/bottles.db": "sqlite:///bottles.db",
        "HOW_MANY_BOTTLES = 99": "HOW_MANY_BOTTLES = 4",
        "/taskflow/99-bottles-demo": "/taskflow/{path}",
    },
    "jobboard_produce_consume_colors": {
        '"/taskflow/jobs"': '"/taskflow/{path}"',
        "PRODUCER_UNITS = 10": "PRODUCER_UNITS = 4",
        "WORKER_DELAY, PRODUCER_DELAY = (0.5, 0.5)": "WORKER_DELAY, PRODUCER_DELAY = (0.05, 0.05)",
        "time.sleep(1.0)": "time.sleep(0.1)",
    },
    "tox_conductor": {"/taskflow/tox/jobs": "/taskflow/{path}"},
}

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
from tests.compat.work_pool import POOL
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


def first_review(said: str) -> object:
    """Compare what is done with the first review: how many more there are depends on time."""
    folder = re.search(r"Cloning review '0' into (\S+)", said)
    place = folder[1] if folder else "nowhere"
    return [
        line.replace(place, "FOLDER") for line in said.splitlines() if "review '0'" in line or place in line
    ]


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

_JOB = r"'ZookeeperJob: P-\d-\d \(priority=[\w.]+, uuid=<uuid>, details={'color': '\w+'}\)'"

#: Programs whose output is not the same in each run of TaskFlow itself: how to compare it, and why.
VARYING: dict[str, tuple[Shape, str]] = {
    "99_bottles": (
        pieces(r"pass it around, \d bottles of beer|Event '\w+' has been received"),
        "prints addresses and how long things took",
    ),
    "jobboard_produce_consume_colors": (
        lambda said: pieces(rf"{_JOB} \[(?:posted|consumed)\]")(re.sub("red|blue", "COLOR", said)),
        "who does what, and in which color, is chance",
    ),
    "tox_conductor": (first_review, "runs for some seconds and does what it can"),
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
    """List the programs of the wheel that can run here; what follows an @ says on what."""
    found = {path.stem for path in EXAMPLES.glob("*.py")}
    return sorted((found | ON_ZOOKEEPER.keys()) - HELPERS - LATER.keys())


@dataclass(frozen=True)
class Ending:
    """How a program ended."""

    code: int
    out: str
    err: str


def run(name: str, *, ours: bool, zookeeper: int = 0) -> Ending:
    """Run a program in a folder of its own; what it leaves behind is not found by its next run."""
    program = name.partition("@")[0]
    with tempfile.TemporaryDirectory() as folder:
        site = SITES.get(program, _SITE) if ours else _SITE
        (Path(folder) / "sitecustomize.py").write_text(site + (_ZOOKEEPER if name in ON_ZOOKEEPER else ""))
        place = EXAMPLES / f"{program}.py"
        if name in EDITS:
            place = Path(folder) / place.name
            place.write_text(edited(name, Path(folder).name))
        arguments = [told.format(path=Path(folder).name) for told in ON_ZOOKEEPER.get(name, ())]
        path = os.pathsep.join((folder, str(ROOT)))
        through = ["-m", "stackl_flow.compat"] if ours else []
        done = subprocess.run(
            [sys.executable, *through, str(place), *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "TMPDIR": folder, "ZOOKEEPER_PORT": str(zookeeper)},
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        return Ending(done.returncode, done.stdout, done.stderr)


def edited(name: str, path: str) -> str:
    """Read a program, with its edits, each of which must apply."""
    text = (EXAMPLES / f"{name}.py").read_text()
    for old, new in EDITS[name].items():
        assert text.count(old) == 1, f"{name} has changed: {old!r} is there {text.count(old)} times"
        text = text.replace(old, new.format(path=path))
    return text


def expected_of(name: str, zookeeper: int = 0) -> Ending:
    """Find out what a program prints on TaskFlow."""
    shipped = EXAMPLES / f"{name}.out.txt"
    if shipped.exists() and name not in STALE:
        return Ending(0, shipped.read_text(), "")
    return run(name, ours=False, zookeeper=zookeeper)


_BEGUN: dict[str, tuple[Future[Ending], Future[Ending]]] = {}


def begin(name: str, zookeeper: int = 0) -> tuple[Future[Ending], Future[Ending]]:
    """Have a program run, on us and for what is expected of it, unless it runs already."""
    if name not in _BEGUN:
        _BEGUN[name] = (
            POOL.submit(run, name, ours=True, zookeeper=zookeeper),
            POOL.submit(expected_of, name, zookeeper),
        )
    return _BEGUN[name]


def plain(said: str) -> str:
    """Take out identities and addresses, which are new in each run."""
    said = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uuid>", said)
    return re.sub(r"0x[0-9a-f]+", "<address>", said)
