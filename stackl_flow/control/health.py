"""The health of a conductor: counters of its jobs, a health report, and Prometheus metrics.

The counters are fed by the conductor's notifier, from several threads. Serving them is up to the caller.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from stackl_flow.conductors.conductor import Conductor
from stackl_flow.conductors.job_runner import EVENT_OF_DISPOSITION

_DISPOSITION_OF_EVENT: Final = {event: event.removeprefix("job_") for event in EVENT_OF_DISPOSITION.values()}
#: What can happen to a job that a conductor ran: "consumed", "abandoned", "released", "trashed", or "lost" if
#: its claim was lost.
DISPOSITIONS: Final = tuple(_DISPOSITION_OF_EVENT.values())
_MAX_RECENT: Final = 8


class RunningJob(NamedTuple):
    """A job that is running, its stage, and when it started (monotonic clock)."""

    name: str
    stage: str
    started: float


class FinishedJob(NamedTuple):
    """A job that has run, what happened to it, and how many seconds it took."""

    name: str
    disposition: str
    seconds: float


class ConductorStats:
    """Counts the jobs of a conductor; register `record` with the conductor's notifier.

    Attributes:
        dispositions: number of jobs by what happened to them.
    """

    def __init__(self) -> None:
        self.dispositions: Counter[str] = Counter()
        self._started = time.monotonic()
        self._running: dict[str, RunningJob] = {}
        self._recent: list[FinishedJob] = []
        self._lock = threading.Lock()

    def record(self, event: str, details: Mapping[str, Any]) -> None:
        """Record an event of the conductor; `details` has its "job"."""
        job, now = details["job"], time.monotonic()
        with self._lock:
            running = self._running.get(job.uuid)
            started = now if running is None else running.started
            disposition = _DISPOSITION_OF_EVENT.get(event)
            if disposition is None:
                self._running[job.uuid] = RunningJob(job.name, event.partition("_")[0], started)
                return
            self.dispositions[disposition] += 1
            self._running.pop(job.uuid, None)
            finished = FinishedJob(job.name, disposition, now - started)
            self._recent = [*self._recent, finished][-_MAX_RECENT:]

    @property
    def uptime(self) -> float:
        """Seconds since the counters were created."""
        return time.monotonic() - self._started

    def snapshot(self) -> tuple[list[RunningJob], list[FinishedJob]]:
        """Return the running jobs, and those that ran last."""
        with self._lock:
            return list(self._running.values()), list(self._recent)


def health(conductor: Conductor, stats: ConductorStats) -> Mapping[str, Any]:
    """Report on a conductor.

    Returns:
        "ok" (false once it is stopping, or if it does not work on a job that it claims), "name", "state"
        ("running", "stopping" or "stopped"), "uptime" in seconds, "running" (names of jobs), "unattended"
        (names of claimed jobs on which it does not work), and the number of jobs for each disposition.
    """
    is_running = conductor.dispatching and not conductor.stopping
    unattended = conductor.unattended
    state = "running" if is_running else "stopping" if conductor.dispatching else "stopped"
    return {
        "ok": is_running and not unattended,
        "name": conductor.name,
        "state": state,
        "uptime": round(stats.uptime, 3),
        "running": [job.name for job in stats.snapshot()[0]],
        "unattended": unattended,
        **{disposition: stats.dispositions[disposition] for disposition in DISPOSITIONS},
    }


def prometheus_metrics(report: Mapping[str, Any]) -> str:
    """Write a health report in the text format of Prometheus."""
    label = f'conductor="{_escape(str(report["name"]))}"'
    lines = [
        "# TYPE stackl_flow_conductor_up gauge",
        f"stackl_flow_conductor_up{{{label}}} {int(bool(report['ok']))}",
        "# TYPE stackl_flow_conductor_uptime_seconds gauge",
        f"stackl_flow_conductor_uptime_seconds{{{label}}} {report['uptime']}",
        "# TYPE stackl_flow_jobs_running gauge",
        f"stackl_flow_jobs_running{{{label}}} {len(report['running'])}",
        "# TYPE stackl_flow_jobs_unattended gauge",
        f"stackl_flow_jobs_unattended{{{label}}} {len(report['unattended'])}",
        "# TYPE stackl_flow_jobs_total counter",
    ]
    lines += [
        f'stackl_flow_jobs_total{{{label},disposition="{disposition}"}} {report[disposition]}'
        for disposition in DISPOSITIONS
    ]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
