"""One-task jobs with DBOS and procrastinate, each in a process of its own: see ``posting``.

DBOS keeps the result of each step, as this library does; procrastinate keeps no steps.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time

from benchmarks.engine import require
from benchmarks.programs import step

#: Seconds between two looks of DBOS for new workflows; its default is 1.
_DBOS_POLLING = 0.01


def dbos_jobs(url: str, jobs: int) -> dict[str, float]:
    """Enqueue workflows of one step to a queue without a worker, then to one with a worker.

    Returns:
        Seconds a workflow: "post" to enqueue, "all" to enqueue and run.
    """
    from dbos import DBOS, DBOSClient  # noqa: PLC0415  a peer is imported only where it is measured

    logging.disable()
    do_step = DBOS.step()(step)

    values: list[int] = []
    finished = threading.Event()

    def flow(value: int) -> int:
        values.append(do_step(value))
        if len(values) == jobs:
            finished.set()
        return values[-1]

    DBOS.workflow(name="flow")(flow)
    DBOS(
        config={
            "name": "bench",
            "system_database_url": url,
            "run_admin_server": False,
            "log_level": "CRITICAL",
        }
    )
    DBOS.launch()
    DBOS.register_queue("served", polling_interval_sec=_DBOS_POLLING)
    client = DBOSClient(system_database_url=url)

    def enqueue(queue: str) -> None:
        for _ in range(jobs):
            client.enqueue({"workflow_name": "flow", "queue_name": queue}, 0)

    start = time.perf_counter()
    enqueue("not served")
    posted = time.perf_counter()
    enqueue("served")
    finished.wait()
    ended = time.perf_counter()
    require(sum(values), jobs)
    client.destroy()
    DBOS.destroy(workflow_completion_timeout_sec=0)
    return {"post": (posted - start) / jobs, "all": (ended - posted) / jobs}


def procrastinate_jobs(url: str, jobs: int) -> dict[str, float]:
    """Defer jobs, then run them with one worker.

    Returns:
        Seconds a job: "post", "run", and "all", their sum.
    """
    from procrastinate import App, PsycopgConnector  # noqa: PLC0415  as above

    logging.disable()
    done: list[int] = []
    app = App(connector=PsycopgConnector(conninfo=url))

    @app.task(name="step")  # type: ignore[untyped-decorator]  # of a package that may not be installed
    def do_step(value: int) -> None:
        done.append(step(value))

    with app.open():
        app.schema_manager.apply_schema()
        defer = do_step.defer
        start = time.perf_counter()
        for _ in range(jobs):
            defer(value=0)
        posted = time.perf_counter() - start

    async def run() -> float:
        async with app.open_async():
            start = time.perf_counter()
            await app.run_worker_async(wait=False, install_signal_handlers=False)
            return time.perf_counter() - start

    ran = asyncio.run(run())
    require(sum(done), jobs)
    return {"post": posted / jobs, "run": ran / jobs, "all": (posted + ran) / jobs}
