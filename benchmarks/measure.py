"""Interleaved repetitions, fresh processes and resident memory."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.rows import Samples

Work = Callable[[], float]
"""Does the work once and returns its cost: seconds or bytes a task."""

ROOT = Path(__file__).resolve().parent.parent


def interleave(repeats: int, works: Mapping[str, Work]) -> tuple[Samples, ...]:
    """Run the works alternately, so that a slow phase of the machine affects all of them.

    Returns:
        The samples of each work, in the order given.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}
    for repeat in range(repeats):
        for name in list(works) if repeat % 2 == 0 else reversed(list(works)):
            gc.collect()
            taken[name].append(works[name]())
    return tuple(Samples(name, values) for name, values in taken.items())


def fresh(probe: str, **arguments: Any) -> dict[str, Any]:
    """Call ``module:function`` of this package in a fresh interpreter, with JSON arguments.

    Returns:
        The JSON object that the function returned.

    Raises:
        RuntimeError: the process failed; the message has its standard error.
    """
    command = [sys.executable, "-m", "benchmarks.probe", probe, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"probe {probe} exited with status {done.returncode}:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def resident_bytes() -> tuple[int, int]:
    """Return the memory of this process, as counted by the kernel (Linux).

    Returns:
        The resident size now and its peak so far, in bytes. The peak is that of this program alone;
        ``ru_maxrss`` would also count the process it was forked from.
    """
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    now, peak = (int(fields[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM"))
    return now, peak
