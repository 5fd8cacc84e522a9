"""The heartbeat process must not outlive its parent, nor extend leases after the parent's death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stackl_flow.kv import backends

ROOT = Path(__file__).resolve().parents[2]
TTL = 1.0
LONG = 30.0

#: Holds a lease with a heartbeat process; a child keeps the pipes to that process open.
PARENT = """
import os, sys, time
from stackl_flow.jobboards import backends

board = backends.fetch("work", {"connection": sys.argv[1], "ttl": float(sys.argv[2])})
board.connect()
board.use_heartbeat_process()
board.post("one")
board.claim(next(board.iterjobs()), "me")
while not board._leases._process.is_running:
    time.sleep(0.01)
child = os.fork()
if child == 0:
    time.sleep(300)
    os._exit(0)
print(child, board._leases._process._process.pid, flush=True)
time.sleep(300)
"""


@pytest.mark.parametrize("reaped", [True, False])
def test_leases_expire_when_the_parent_was_killed(reaped: bool, tmp_path: Path) -> None:
    """The pipe to the heartbeat process stays open: another process has inherited its end."""
    url = f"dir://{tmp_path}/kv"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, url, str(TTL)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child, heartbeat = map(int, parent.stdout.readline().split())
    try:
        process = psutil.Process(heartbeat)
        with backends.fetch(url) as kv:
            assert kv.list("work/owner/")
            os.kill(parent.pid, signal.SIGKILL)
            if reaped:
                parent.wait()
            until = time.monotonic() + LONG
            while kv.list("work/owner/"):
                assert time.monotonic() < until, "the lease of a dead process is extended"
                time.sleep(TTL / 10)  # the expiry of a lease
        assert process.wait(LONG) in {0, None}
    finally:
        os.kill(child, signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
