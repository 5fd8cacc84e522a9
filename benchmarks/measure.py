"""How things are measured: repetitions taken in turns, and processes that start from nothing."""

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
"""Does the work once and returns what it cost, in seconds a task or bytes a task."""

ROOT = Path(__file__).resolve().parent.parent


def interleave(repeats: int, works: Mapping[str, Work]) -> tuple[Samples, ...]:
    """Run the works in turns, so that a slow minute of the machine falls on all of them.

    Args:
        repeats: how many times each work runs.
        works: the works by the name of what they measure.

    Returns:
        The samples of each work, in the order given.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats):
        for name in list(works) if turn % 2 == 0 else reversed(list(works)):
            gc.collect()
            taken[name].append(works[name]())
    return tuple(Samples(name, values) for name, values in taken.items())


def fresh(probe: str, **arguments: Any) -> dict[str, Any]:
    """Call a probe in a new interpreter, where nothing is imported, allocated or warm.

    Args:
        probe: ``module:function`` inside this package.
        arguments: JSON values for the function.

    Returns:
        The JSON object that the probe told.

    Raises:
        RuntimeError: if the probe ended badly; its standard error is in the message.
    """
    command = [sys.executable, "-m", "benchmarks.probe", probe, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"probe {probe} ended with {done.returncode}:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def resident_bytes() -> tuple[int, int]:
    """What this process has in memory, from the kernel's own account (Linux).

    Returns:
        The resident size now and its peak so far, in bytes. The peak is that of this program alone;
        ``ru_maxrss`` would also count the process it was forked from.
    """
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    now, peak = (int(fields[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM"))
    return now, peak
