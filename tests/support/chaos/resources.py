"""Watches the memory, the open files and the threads of processes, and finds those that grow."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

import psutil

_MB: Final = 1024 * 1024
#: Samples of a process that are needed to say that it grows; the first quarter is its warm-up.
_ENOUGH: Final = 12


class Sample(NamedTuple):
    """What a process used: bytes of memory, open files, threads."""

    memory: int
    files: int
    threads: int


class Growth(NamedTuple):
    """How much more a process may use at the end than after its warm-up."""

    memory: int = 48 * _MB
    files: int = 25
    threads: int = 10


class Resources:
    """Samples of processes, by name and process id.

    Args:
        interval: seconds between two samples of one process.
        allowed: how much a process may grow.
    """

    def __init__(self, interval: float = 2.0, allowed: Growth = Growth()) -> None:  # noqa: B008  frozen
        self._interval = interval
        self._allowed = allowed
        self._samples: dict[tuple[str, int], list[Sample]] = defaultdict(list)
        self._sampled_at: dict[tuple[str, int], float] = {}

    def sample(self, name: str, pid: int) -> None:
        """Take a sample of a process, unless one was taken just before, or the process has ended."""
        now = time.monotonic()
        if now - self._sampled_at.get((name, pid), -self._interval) < self._interval:
            return
        self._sampled_at[name, pid] = now
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                found = Sample(process.memory_info().rss, process.num_fds(), process.num_threads())
        except psutil.Error:
            return
        self._samples[name, pid].append(found)

    def growth(self) -> Iterator[str]:
        """Yield a line for each process that used more and more."""
        for (name, pid), samples in self._samples.items():
            yield from (f"{name} (process {pid}): {text}" for text in find_growth(samples, self._allowed))

    def summary(self) -> str:
        """Return the largest values of all processes."""
        every = [sample for samples in self._samples.values() for sample in samples]
        if not every:
            return "no samples"
        memory, files, threads = (max(values) for values in zip(*every, strict=True))
        return f"at most {memory / _MB:.0f} MB, {files} files, {threads} threads a process"


def find_growth(samples: list[Sample], allowed: Growth) -> Iterator[str]:
    """Compare the median of the last quarter of the samples with that of the second quarter."""
    if len(samples) < _ENOUGH:
        return
    quarter = len(samples) // 4
    for field, units, unit in (
        ("memory", _MB, " MB"),
        ("files", 1, " open files"),
        ("threads", 1, " threads"),
    ):
        values = [getattr(sample, field) for sample in samples]
        before, after = statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])
        if after - before > getattr(allowed, field):
            yield f"grew from {before / units:.0f} to {after / units:.0f}{unit} in {len(samples)} samples"
