"""A heart outside the body: a process of its own that keeps leases up while its parent is alive.

A thread cannot keep a lease while a task holds the interpreter, in a long call of a C library for instance.
So claims that must not be lost for that are kept from here: ``python -m stackl_flow.jobboards.heartbeat`` is
told on its input which leases to keep, and says on its output which were lost. It must not outlive its owner:
it ends when its parent does, and it lets the leases run out while the parent is stopped.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any

import psutil

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends
from stackl_flow.kv.base import KV
from stackl_flow.kv.items import Lease


class Heart:
    """The parent's side: starts the process and tells it what to keep.

    Args:
        conf: settings of the place whose leases are kept.
        on_lost: called with the identity of a lease that ran out; from a thread.
    """

    def __init__(self, conf: dict[str, Any], on_lost: Callable[[str], None]) -> None:
        self._on_lost = on_lost
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stackl_flow.jobboards.heartbeat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # A stop from the terminal is for the parent, who hands his jobs over first.
            start_new_session=True,
        )
        self._tell({"conf": conf, "parent": os.getpid()})
        self._reader = threading.Thread(target=self._read, name="jobboard-heart", daemon=True)
        self._reader.start()

    def keep(self, lease: Lease) -> None:
        """Have a lease kept up.

        Args:
            lease: the lease.
        """
        self._tell({"keep": lease.id, "ttl": lease.ttl})

    def leave(self, lease: Lease) -> None:
        """Have a lease left alone.

        Args:
            lease: the lease.
        """
        self._tell({"leave": lease.id})

    def stop(self) -> None:
        """End the process."""
        process = self._process
        _pipe(process.stdin).close()
        process.wait()
        self._reader.join()
        _pipe(process.stdout).close()

    def _tell(self, words: dict[str, Any]) -> None:
        pipe = _pipe(self._process.stdin)
        try:
            pipe.write(json.dumps(words) + "\n")
            pipe.flush()
        except BrokenPipeError as error:
            raise exc.StorageFailure(
                f"the process that keeps leases up has ended (exit {self._process.poll()}): "
                "close this board and open it again",
                cause=error,
            ) from error

    def _read(self) -> None:
        for line in _pipe(self._process.stdout):
            self._on_lost(line.strip())


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
        beat = Beat(kv, words["parent"], lambda lease: print(lease, flush=True))  # noqa: T201  the answer
        due = time.monotonic() + beat.pause
        while beat.alive:
            try:
                line = lines.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                beat.beat()
                due = time.monotonic() + beat.pause
                continue
            if not line:
                return
            beat.told(json.loads(line))
            due = min(due, time.monotonic() + beat.pause)


def _listen(lines: queue.Queue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    lines.put("")


if __name__ == "__main__":
    main()
