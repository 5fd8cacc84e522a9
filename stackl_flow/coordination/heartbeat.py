"""A heartbeat process: it extends leases while its parent is alive.

A thread cannot extend a lease while a task holds the GIL, for instance in a long call of a C library. So
leases that must survive that are extended by ``python -m stackl_flow.coordination.heartbeat``, which reads
from its standard input which leases to extend and writes to its standard output which of them have expired.
It must not outlive the leases' owner: it ends when its parent ends, and it lets the leases expire while the
parent is stopped.

Protocol, one JSON object a line: first ``{"conf": ..., "parent": pid}``, then ``{"add": lease, "ttl":
seconds}`` and ``{"remove": lease}``. Replies, one a line: ``ready`` after the first extension, and ids of
expired leases.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any, Final

import psutil

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.kv import backends
from stackl_flow.kv.items import Lease
from stackl_flow.kv.store import KV

_LOG = redaction.get_logger(__name__)

#: Seconds before a process that ended is replaced.
_RESTART_DELAY: Final = 0.1
#: Seconds within which the process must end once its input is closed.
_STOP_TIMEOUT: Final = 1.0
#: What the process writes after the first extension; every other line is the id of an expired lease.
_READY: Final = "ready"


class HeartbeatProcess:
    """The parent's side: starts the process, and restarts it with the same leases if it ends.

    Args:
        conf: settings of the store that granted the leases.
        on_lost: called with the id of a lease that expired, from a thread.
    """

    def __init__(self, conf: dict[str, Any], on_lost: Callable[[str], None]) -> None:
        self._conf = conf
        self._on_lost = on_lost
        self._ttls: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._process = self._start()
        self._reader = threading.Thread(target=self._read, name="heartbeat-reader", daemon=True)
        self._reader.start()

    @property
    def is_running(self) -> bool:
        """Whether the process extends leases; on a busy machine it may start slower than a lease expires."""
        return self._ready.is_set()

    def add(self, lease: Lease) -> None:
        """Extend a lease from now on."""
        with self._lock:
            self._ttls[lease.id] = lease.ttl
            _send(self._process, {"add": lease.id, "ttl": lease.ttl})

    def remove(self, lease: Lease) -> None:
        """Extend a lease no longer."""
        with self._lock:
            self._ttls.pop(lease.id, None)
            _send(self._process, {"remove": lease.id})

    def stop(self) -> None:
        """End the process, and wait for that."""
        with self._lock:
            self._stopping.set()
            _end(self._process)
        self._reader.join()

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "stackl_flow.coordination.heartbeat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C in a terminal must reach the parent only, which hands over its jobs first.
            start_new_session=True,
        )
        _send(process, {"conf": self._conf, "parent": os.getpid()})
        for lease, ttl in self._ttls.items():
            _send(process, {"add": lease, "ttl": ttl})
        return process

    def _read(self) -> None:
        while not self._stopping.is_set():
            for line in _pipe(self._process.stdout):
                reply = line.strip()
                if reply == _READY:
                    self._ready.set()
                    continue
                with self._lock:
                    self._ttls.pop(reply, None)
                self._on_lost(reply)
            self._ready.clear()
            # The delay keeps a process that always ends at once from using up the processor.
            if not self._stopping.wait(_RESTART_DELAY):
                self._restart()
        _pipe(self._process.stdout).close()

    def _restart(self) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            _end(self._process)
            _pipe(self._process.stdout).close()
            _LOG.warning(
                "the heartbeat process ended (exit code %s); restarting it", self._process.returncode
            )
            self._process = self._start()


def _send(process: subprocess.Popen[str], message: dict[str, Any]) -> None:
    pipe = _pipe(process.stdin)
    with contextlib.suppress(BrokenPipeError):  # it has ended; the next one gets all leases
        pipe.write(json.dumps(message) + "\n")
        pipe.flush()


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(BrokenPipeError):  # it has ended before it read everything
        _pipe(process.stdin).close()
    try:
        process.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:  # the store does not answer it; there is nothing to hand over
        process.kill()
        process.wait()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None  # noqa: S101  opened above
    return pipe


class Heartbeat:
    """The process's side: extends leases while the parent runs.

    Args:
        kv: the store that granted the leases.
        parent: process id of the parent.
        reply: called with the id of a lease that has expired.
    """

    def __init__(self, kv: KV, parent: int, reply: Callable[[str], None]) -> None:
        self._kv = kv
        self._parent = psutil.Process(parent)
        self._reply = reply
        self._leases: dict[str, Lease] = {}

    @property
    def is_parent_alive(self) -> bool:
        """Whether the parent exists; a closed pipe would not tell, as others may have inherited its end."""
        try:
            return bool(self._parent.is_running()) and self._parent.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    @property
    def interval(self) -> float:
        """Seconds between two beats: a third of the shortest lease."""
        return min((lease.ttl for lease in self._leases.values()), default=3.0) / 3

    def handle(self, message: dict[str, Any]) -> None:
        """Add or remove a lease, as the parent says."""
        if "add" in message:
            self._leases[message["add"]] = Lease(message["add"], message["ttl"])
        else:
            self._leases.pop(message["remove"], None)

    def beat(self) -> None:
        """Extend every lease, unless the parent is stopped: then others should take over its jobs."""
        if self._parent.status() in {psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP}:
            return
        for lease in list(self._leases.values()):
            try:
                self._kv.extend(lease)
            except exc.LeaseLost:
                del self._leases[lease.id]
                self._reply(lease.id)
            except exc.StorageFailure as error:
                # The lease may outlive the failure: the next beat tries again.
                sys.stderr.write(f"cannot extend a lease: {error}\n")


def main() -> None:
    """Extend leases until the input or the parent ends."""
    config = json.loads(sys.stdin.readline())
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read_input, args=(lines,), daemon=True).start()
    with backends.fetch(config["conf"]) as kv:
        try:
            heartbeat = Heartbeat(kv, config["parent"], lambda lease: print(lease, flush=True))  # noqa: T201  the reply
        except psutil.NoSuchProcess:
            return  # the parent was killed while this process started
        due, is_ready = time.monotonic(), False
        while heartbeat.is_parent_alive:
            try:
                line = lines.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                heartbeat.beat()
                due = time.monotonic() + heartbeat.interval
                if not is_ready:
                    is_ready = True
                    print(_READY, flush=True)  # noqa: T201  the reply
                continue
            if not line:
                return
            heartbeat.handle(json.loads(line))
            due = time.monotonic()  # a lease that was just added may be about to expire


def _read_input(lines: queue.Queue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    lines.put("")


if __name__ == "__main__":
    main()
