"""A conductor whose connections are dead, and not closed, reacts to SIGTERM."""

import signal
import time

import pytest

from tests.support.lossy_proxy import LossyProxy


@pytest.mark.parametrize("kind", ["postgresql", "mysql", "redis", "etcd", "zookeeper"])
def test_a_conductor_on_a_dead_connection_stops(kind, new_server, start, db):
    server = new_server(kind)
    proxy = LossyProxy(server.port)
    board = server.url.replace(f":{server.port}", f":{proxy.port}")
    process = start("conduct", "--board", board, "--db", board if kind in {"postgresql", "mysql"} else db)
    for line in process.stderr:
        if "waiting for jobs" in line:
            break
    time.sleep(1)  # it waits for jobs by now
    proxy.is_silent = True
    time.sleep(1)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    assert time.monotonic() - begun < 30
    proxy.close()
