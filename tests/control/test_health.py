"""The health report and the metrics of a conductor."""

from dataclasses import dataclass
from types import SimpleNamespace

from stackl_flow.control.health import ConductorStats, health, prometheus_metrics


@dataclass
class FakeJob:
    uuid: str
    name: str


def stats_of(*events):
    stats = ConductorStats()
    for event, name in events:
        stats.record(event, {"job": FakeJob(f"uuid of {name}", name)})
    return stats


def conductor(dispatching=True, stopping=False, name="ann", unattended=()):
    return SimpleNamespace(name=name, dispatching=dispatching, stopping=stopping, unattended=list(unattended))


def test_running_and_finished_jobs():
    stats = stats_of(("compilation_start", "a"), ("running_start", "a"), ("running_start", "b"))
    running, recent = stats.snapshot()
    assert [(job.name, job.stage) for job in running] == [("a", "running"), ("b", "running")]
    assert recent == []
    stats.record("job_consumed", {"job": FakeJob("uuid of a", "a")})
    running, recent = stats.snapshot()
    assert [job.name for job in running] == ["b"]
    assert [(job.name, job.disposition) for job in recent] == [("a", "consumed")]
    assert recent[0].seconds >= 0


def test_health():
    stats = stats_of(("job_consumed", "a"), ("job_trashed", "b"), ("running_start", "c"))
    report = dict(health(conductor(), stats))
    assert report.pop("uptime") >= 0
    assert report == {
        "ok": True,
        "name": "ann",
        "state": "running",
        "running": ["c"],
        "unattended": [],
        "consumed": 1,
        "abandoned": 0,
        "released": 0,
        "trashed": 1,
        "lost": 0,
    }
    states = [
        health(conductor(dispatching, stopping), stats)["state"]
        for dispatching, stopping in ((True, True), (False, True), (False, False))
    ]
    assert states == ["stopping", "stopped", "stopped"]


def test_a_claimed_job_on_which_nothing_works_is_reported():
    report = health(conductor(unattended=["d"]), stats_of(("running_start", "c")))
    assert (report["ok"], report["state"], report["unattended"]) == (False, "running", ["d"])
    assert 'stackl_flow_jobs_unattended{conductor="ann"} 1' in prometheus_metrics(report).splitlines()


def test_metrics():
    report = health(conductor(name='a"\\\n'), stats_of(("job_released", "a"), ("running_start", "b")))
    lines = prometheus_metrics(report).splitlines()
    label = r'conductor="a\"\\\n"'
    assert f"stackl_flow_conductor_up{{{label}}} 1" in lines
    assert f"stackl_flow_jobs_running{{{label}}} 1" in lines
    assert f'stackl_flow_jobs_total{{{label},disposition="released"}} 1' in lines
    assert f'stackl_flow_jobs_total{{{label},disposition="consumed"}} 0' in lines
