"""Real servers for tests: started on a free port of this machine with data to throw away.

A server that is not installed skips the tests that need it at somebody's desk, and fails them in CI. An
address in the environment, such as STACKL_FLOW_REDIS=redis://localhost:6379/5, is used instead.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time

import pytest


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def needed(program, package):
    """Find a server's program, or skip the test; in CI fail it."""
    path = shutil.which(program) or shutil.which(f"/usr/sbin/{program}")
    if path is None:
        message = f"{program} is not installed: scripts/services install (or apt install {package})"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


class Redis:
    """A Redis server in a process of its own.

    Args:
        folder: where it keeps its data; None for none.
        port: where it listens; a free one if left out.
    """

    def __init__(self, folder=None, port=None):
        self.port = port or free_port()
        self._folder = folder
        self._process = None

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *options):
        command = [needed("redis-server", "redis-server"), "--port", str(self.port), "--bind", "127.0.0.1"]
        if self._folder is None:
            command += ["--save", "", "--appendonly", "no"]
        else:
            command += ["--dir", str(self._folder), "--appendonly", "yes", "--appendfsync", "always"]
        self._process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
        self._wait()
        return self

    def _wait(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as talk:
                talk.sendall(b"PING\r\n")
                if talk.recv(100):
                    return
            time.sleep(0.02)  # there is no other way to learn that a server is ready
        raise RuntimeError(f"the server on port {self.port} did not start")

    def kill(self):
        self._process.kill()
        self._process.wait()

    def stop(self):
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(20)


@contextlib.contextmanager
def redis_url():
    """Give the address of a Redis server for the time of a ``with``."""
    given = os.environ.get("STACKL_FLOW_REDIS")
    if given:
        yield given
        return
    server = Redis().start()
    try:
        yield server.url
    finally:
        server.stop()
