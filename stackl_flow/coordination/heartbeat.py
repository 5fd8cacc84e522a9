"""A heart outside the body: a process of its own that keeps leases up while its parent is alive.

A thread cannot keep a lease while a task holds the interpreter, in a long call of a C library for instance.
So claims that must not be lost for that are kept from here: ``python -m stackl_flow.coordination.heartbeat``
is told on its input which leases to keep, and says on its output which were lost. It must not outlive its
owner: it ends when its parent does, and it lets the leases run out while the parent is stopped.
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

#: Seconds until another process takes the place of one that ended.
_PAUSE: Final = 0.1
#: Seconds within which it has to end when it is told to.
_GRACE: Final = 1.0
#: What it says once it has extended all that it was told of; every other word is a lost lease.
_READY: Final = "ready"


class Heart:
    """The parent's side: starts the process and tells it what to keep.

    Should that process end before it is asked to, another one takes its place and is told all again.

    Args:
        conf: settings of the place whose leases are kept.
        on_lost: called with the identity of a lease that ran out; from a thread.
    """

    def __init__(self, conf: dict[str, Any], on_lost: Callable[[str], None]) -> None:
        self._conf = conf
        self._on_lost = on_lost
        self._kept: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._beating = threading.Event()
        self._process = self._start()
        self._reader = threading.Thread(target=self._read, name="jobboard-heart", daemon=True)
        self._reader.start()

    @property
    def is_beating(self) -> bool:
        """Whether the process is at work; on a busy machine its start may take longer than a lease lasts."""
        return self._beating.is_set()

    def keep(self, lease: Lease) -> None:
        """Have a lease kept up.

        Args:
            lease: the lease.
        """
        with self._lock:
            self._kept[lease.id] = lease.ttl
            _tell(self._process, {"keep": lease.id, "ttl": lease.ttl})

    def leave(self, lease: Lease) -> None:
        """Have a lease left alone.

        Args:
            lease: the lease.
        """
        with self._lock:
            self._kept.pop(lease.id, None)
            _tell(self._process, {"leave": lease.id})

    def stop(self) -> None:
        """End the process."""
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
            # A stop from the terminal is for the parent, who hands his jobs over first.
            start_new_session=True,
        )
        _tell(process, {"conf": self._conf, "parent": os.getpid()})
        for lease, ttl in self._kept.items():
            _tell(process, {"keep": lease, "ttl": ttl})
        return process

    def _read(self) -> None:
        while not self._stopping.is_set():
            for line in _pipe(self._process.stdout):
                lease = line.strip()
                if lease == _READY:
                    self._beating.set()
                    continue
                with self._lock:
                    self._kept.pop(lease, None)
                self._on_lost(lease)
            self._beating.clear()
            # Whatever ends it at once is not to keep this processor busy.
            if not self._stopping.wait(_PAUSE):
                self._replace()
        _pipe(self._process.stdout).close()

    def _replace(self) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            _end(self._process)
            _pipe(self._process.stdout).close()
            _LOG.warning("the process that keeps leases up ended (exit %s)", self._process.returncode)
            self._process = self._start()


def _tell(process: subprocess.Popen[str], words: dict[str, Any]) -> None:
    pipe = _pipe(process.stdin)
    with contextlib.suppress(BrokenPipeError):  # it has ended, and the next one is told all
        pipe.write(json.dumps(words) + "\n")
        pipe.flush()


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the same, with words that it has not heard
        _pipe(process.stdin).close()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:  # the place does not answer it: it has nothing to hand over
        process.kill()
        process.wait()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None  # noqa: S101  opened above
    return pipe


class Beat:
    """The other side: extends what it was told to keep, as long as the parent runs.

    Args:
        kv: the place.
        parent: process id of the parent.
        say: tells the parent of a lost lease.
    """

    def __init__(self, kv: KV, parent: int, say: Callable[[str], None]) -> None:
        self._kv = kv
        self._parent = psutil.Process(parent)
        self._say = say
        self._leases: dict[str, Lease] = {}

    @property
    def alive(self) -> bool:
        """Whether the parent is there: a pipe that others inherited would not tell."""
        try:
            return bool(self._parent.is_running()) and self._parent.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    @property
    def pause(self) -> float:
        """How many seconds between two beats: three beats in the shortest lease's life."""
        return min((lease.ttl for lease in self._leases.values()), default=3.0) / 3

    def told(self, words: dict[str, Any]) -> None:
        """Hear the parent.

        Args:
            words: which lease to keep, or to leave.
        """
        if "keep" in words:
            self._leases[words["keep"]] = Lease(words["keep"], words["ttl"])
        else:
            self._leases.pop(words["leave"], None)

    def beat(self) -> None:
        """Extend every lease, unless the parent is stopped: then others are to have its jobs."""
        if self._parent.status() in {psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP}:
            return
        for lease in list(self._leases.values()):
            try:
                self._kv.extend(lease)
            except exc.LeaseLost:
                del self._leases[lease.id]
                self._say(lease.id)
            except exc.StorageFailure as error:
                # The lease may yet outlive the trouble: the next beat tries again.
                sys.stderr.write(f"a lease could not be extended: {error}\n")


def main() -> None:
    """Keep leases up until the input ends, or the parent does."""
    words = json.loads(sys.stdin.readline())
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    with backends.fetch(words["conf"]) as kv:
        try:
            beat = Beat(kv, words["parent"], lambda lease: print(lease, flush=True))  # noqa: T201  the answer
        except psutil.NoSuchProcess:
            return  # killed before we were here
        due, ready = time.monotonic(), False
        while beat.alive:
            try:
                line = lines.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                beat.beat()
                due = time.monotonic() + beat.pause
                if not ready:
                    ready = True
                    print(_READY, flush=True)  # noqa: T201  the same
                continue
            if not line:
                return
            beat.told(json.loads(line))
            due = time.monotonic()  # a lease that is new to us may be near its end


def _listen(lines: queue.Queue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    lines.put("")


if __name__ == "__main__":
    main()
