"""How the example programs of TaskFlow's wheel are run, and how their output is compared."""

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

#: Programs of features that are not implemented yet.
NOT_IMPLEMENTED = {
    "wbe_event_sender": "runs on TaskFlow's workers",
    "wbe_mandelbrot": "runs on TaskFlow's workers",
    "wbe_simple_linear": "runs on TaskFlow's workers",
}

#: Modules that the programs import.
HELPERS = {"example_utils"}

#: The timeout of a program in seconds.
TIMEOUT = 60

#: Run in each process before the program. Fixes the random numbers of the programs.
_SITE = """\
import random
random.seed(2)
"""

#: For programs that use the default port of ZooKeeper: redirects them to the server of this run. One program
#: starts a kazoo client in several threads at once, which fails sometimes, on TaskFlow, too.
_ZOOKEEPER = """
import os, socket, threading
import kazoo.client

connect, start, lock = socket.create_connection, kazoo.client.KazooClient.start, threading.Lock()

def redirect(address, *args, **kwargs):
    if address[1] == 2181:
        address = (address[0], int(os.environ["ZOOKEEPER_PORT"]))
    return connect(address, *args, **kwargs)

def start_once(*args, **kwargs):
    with lock:
        return start(*args, **kwargs)

socket.create_connection = redirect
kazoo.client.KazooClient.start = start_once
"""

#: Programs that need ZooKeeper, with their arguments.
ON_ZOOKEEPER = {
    "99_bottles": (),
    "jobboard_produce_consume_colors": (),
    "tox_conductor": (),
    "resume_from_backend@zookeeper": ("zookeeper://localhost:2181/taskflow/{path}",),
}

#: Edits of programs: they end sooner and use no files of other runs.
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

#: Programs whose expected output in the wheel is older than TaskFlow 6.5.
STALE = {"resume_from_backend", "resume_many_flows"}

#: For programs that start others, which must run on stackl_flow, too.
_INSTALLED = """
from stackl_flow import compat
compat.install()
"""

#: For a program that imports TaskFlow's tests.
_TESTS = """
import sys
from tests.compat import wheel
from tests.compat.work_pool import POOL
sys.meta_path.insert(0, wheel.WheelFinder())
"""

SITES = {"resume_many_flows": _SITE + _INSTALLED, "wrapped_exception": _SITE + _INSTALLED + _TESTS}

Normalizer = Callable[[str], object]


def unchanged(output: str) -> object:
    """Compare the text."""
    return output


def sorted_lines(output: str) -> object:
    """Compare the lines in any order."""
    return sorted(output.splitlines())


def pieces(pattern: str) -> Normalizer:
    """Compare the matches in any order: threads print into each other's lines."""
    return lambda output: sorted(re.findall(pattern, output))


def values(output: str) -> object:
    """Compare dictionaries."""
    return [ast.literal_eval(line[line.index("{") :]) for line in output.splitlines()]


def first_review(output: str) -> object:
    """Compare the work on the first review; the number of others depends on time."""
    folder = re.search(r"Cloning review '0' into (\S+)", output)
    path = folder[1] if folder else "nowhere"
    return [
        line.replace(path, "FOLDER") for line in output.splitlines() if "review '0'" in line or path in line
    ]


def iterations(output: str) -> object:
    """Compare the states of an engine, with any number of iterations."""
    return re.sub(r"((SCHEDULING\n)?WAITING\nANALYZING\n)+", "ITERATIONS\n", output)


def without_numbers(output: str) -> object:
    """Compare everything except numbers."""
    return re.sub(r"\d+(\.\d+)?", "N", output)


def without_frames(output: str) -> object:
    """Compare everything except times and traceback frames, which differ between the libraries."""
    output = re.sub(r"Traceback \(most recent call last\):\n(?: +.*\n)+?(?=\S)", "", output)
    return re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.+]+", "TIME", output)


_ENGINE = (
    r"<taskflow[^>]*> has moved .*? into state '\w+' from state '\w+'(?: with result '\w*' \(failure=\w+\))?"
)

_JOB = r"'ZookeeperJob: P-\d-\d \(priority=[\w.]+, uuid=<uuid>, details={'color': '\w+'}\)'"

#: Programs whose output varies between runs on TaskFlow: how to compare it, and why.
VARYING: dict[str, tuple[Normalizer, str]] = {
    "99_bottles": (
        pieces(r"pass it around, \d bottles of beer|Event '\w+' has been received"),
        "prints addresses and durations",
    ),
    "jobboard_produce_consume_colors": (
        lambda output: pieces(rf"{_JOB} \[(?:posted|consumed)\]")(re.sub("red|blue", "COLOR", output)),
        "random order and colors",
    ),
    "tox_conductor": (first_review, "runs for a fixed time"),
    "build_a_car": (sorted_lines, "the order of independent atoms in TaskFlow depends on addresses"),
    "buildsystem": (sorted_lines, "the order of independent atoms in TaskFlow depends on addresses"),
    "create_parallel_volume": (pieces(rf"{_ENGINE}|(?:M|Finished m)aking volume vol-\d"), "runs on threads"),
    "graph_flow": (values, "the order of names in fetch_all is undefined"),
    "hello_world": (sorted_lines, "runs on threads"),
    "parallel_table_multiply": (iterations, "the number of rows per iteration varies"),
    "persistence_example": (without_frames, "prints times and a traceback"),
    "share_engine_thread": (
        pieces(r"Running '[\w-]+' in thread"),
        "runs on threads and prints their idents",
    ),
    "wrapped_exception": (sorted_lines, "runs on threads"),
    "timing_listener": (without_numbers, "prints durations"),
}


def programs() -> list[str]:
    """List the programs that can run here; a suffix after @ is the backend."""
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    return sorted((names | ON_ZOOKEEPER.keys()) - HELPERS - NOT_IMPLEMENTED.keys())


@dataclass(frozen=True)
class Result:
    """The result of a program."""

    code: int
    out: str
    err: str


def run(name: str, *, compat: bool, zookeeper: int = 0) -> Result:
    """Run a program in a temporary directory."""
    program = name.partition("@")[0]
    with tempfile.TemporaryDirectory() as folder:
        site = SITES.get(program, _SITE) if compat else _SITE
        (Path(folder) / "sitecustomize.py").write_text(site + (_ZOOKEEPER if name in ON_ZOOKEEPER else ""))
        path_of_program = EXAMPLES / f"{program}.py"
        if name in EDITS:
            path_of_program = Path(folder) / path_of_program.name
            path_of_program.write_text(edited(name, Path(folder).name))
        arguments = [argument.format(path=Path(folder).name) for argument in ON_ZOOKEEPER.get(name, ())]
        path = os.pathsep.join((folder, str(ROOT)))
        launcher = ["-m", "stackl_flow.compat"] if compat else []
        process = subprocess.run(
            [sys.executable, *launcher, str(path_of_program), *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "TMPDIR": folder, "ZOOKEEPER_PORT": str(zookeeper)},
            capture_output=True, text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
        return Result(process.returncode, process.stdout, process.stderr)


def edited(name: str, path: str) -> str:
    """Return the source of a program with its edits, each of which must apply."""
    text = (EXAMPLES / f"{name}.py").read_text()
    for old, new in EDITS[name].items():
        assert text.count(old) == 1, f"{name} has changed: {old!r} occurs {text.count(old)} times"
        text = text.replace(old, new.format(path=path))
    return text


def expected_of(name: str, zookeeper: int = 0) -> Result:
    """Return the result of a program on TaskFlow."""
    shipped = EXAMPLES / f"{name}.out.txt"
    if shipped.exists() and name not in STALE:
        return Result(0, shipped.read_text(), "")
    return run(name, compat=False, zookeeper=zookeeper)


_STARTED: dict[str, tuple[Future[Result], Future[Result]]] = {}


def begin(name: str, zookeeper: int = 0) -> tuple[Future[Result], Future[Result]]:
    """Start a program on stackl_flow and on TaskFlow, unless it is running."""
    if name not in _STARTED:
        _STARTED[name] = (
            POOL.submit(run, name, compat=True, zookeeper=zookeeper),
            POOL.submit(expected_of, name, zookeeper),
        )
    return _STARTED[name]


def mask_ids(output: str) -> str:
    """Mask UUIDs and addresses, which differ between runs."""
    output = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uuid>", output)
    return re.sub(r"0x[0-9a-f]+", "<address>", output)
