"""Where a site of `website.py` lives: its files, its port, its server process, its line in the routes.

Every method here may be called twice with the same outcome, and copes with things that are gone.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

SERVER = Path(__file__).with_name("website_server.py")
SECONDS_TO_STOP = 3.0
# Such as "execute start_server": the work after which the process waits, so that a demonstration or a test
# can kill it there, when the work is done and not yet recorded.
HOLD = "WEBSITE_HOLD_AFTER"
# The same, but there the process is stopped, once, as by SIGSTOP from outside; it holds no lock there.
STOP = "WEBSITE_STOP_AFTER"


def put(path: Path, text: str, place: Callable[[Path, Path], object] = os.replace) -> None:
    """Write a file that is whole whenever it is seen, even after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        place(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def started(pid: int) -> str | None:
    """When a process started, in words that no other process with the same id shares; None: it is dead."""
    try:
        if not Path("/proc/self/stat").exists():  # No Linux.
            ps = ["ps", "-o", "lstart=", "-p", str(pid)]
            answer = subprocess.run(ps, capture_output=True, text=True, check=False)  # noqa: S603 - no foreign input
            return answer.stdout.strip() or None
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else f"{boot}/{fields[19]}"


def ask(port: int, path: str, seconds: float = 5.0) -> tuple[int, str]:
    """Fetch a page from 127.0.0.1: its HTTP status and its text."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


class Place:
    """Where a site keeps its things, below the root that all sites share."""

    def __init__(self, root: str, site: str) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", site):
            raise ValueError(f"the site's name {site!r} must be 1 to 40 small letters, digits and '-'")
        self.site = site
        self.root = Path(root).absolute()
        self.folder = self.root / "sites" / site
        self.public = self.folder / "public"
        self.database = self.folder / "site.db"
        self.log = self.folder / "server.log"
        self._server = self.folder / "server.json"
        self._ports = self.root / "ports"
        self._routes = self.root / "routes.json"

    def done(self, verb: str, atom: str) -> None:
        """Note in the ledger that a piece of work was really done: one line, in one write."""
        line = {"at": time.time(), "pid": os.getpid(), "site": self.site, "did": verb, "atom": atom}
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "ledger.jsonl").open("a") as ledger:
            ledger.write(json.dumps(line) + "\n")
        if os.environ.get(HOLD) == f"{verb} {atom}":
            print(f"holding after {verb} {atom}", flush=True)
            sys.stdin.read()  # Ends when whoever waits to kill this process has died before.
            os.kill(os.getpid(), signal.SIGKILL)
        if os.environ.get(STOP) == f"{verb} {atom}":
            del os.environ[STOP]
            os.kill(os.getpid(), signal.SIGSTOP)

    def prune(self) -> None:
        """Remove the site's folder if it has become empty; those above are shared with other sites."""
        with suppress(OSError):  # Not empty yet, or not there.
            self.folder.rmdir()

    def port(self) -> int | None:
        """The port that is reserved for this site, if there is one."""
        for path in self._ports.glob("[0-9]*"):
            with suppress(FileNotFoundError):  # Another site has just given its port back.
                if path.read_text() == self.site:
                    return int(path.name)
        return None

    def reserve_port(self) -> int:
        """The port that is reserved for this site, or else a free one, which is then reserved."""
        while (port := self.port()) is None:
            with closing(socket.socket()) as probe:
                probe.bind(("127.0.0.1", 0))
                free = probe.getsockname()[1]
            with suppress(FileExistsError):  # Only one process can make a link: another site was faster.
                put(self._ports / str(free), self.site, os.link)
        return port

    def release_port(self) -> None:
        """Give the port back."""
        if (port := self.port()) is not None:
            (self._ports / str(port)).unlink(missing_ok=True)

    def server(self) -> int | None:
        """The id of the site's own server process, if it lives."""
        if not self._server.exists():
            return None
        note = json.loads(self._server.read_text())
        pid: int = note["pid"]
        with suppress(ChildProcessError):  # A child of ours stays as a zombie until we ask for its end.
            os.waitpid(pid, os.WNOHANG)
        return pid if started(pid) == note["started"] else None

    def start_server(self, port: int) -> int:
        """Start a server that outlives this process; its id is on the disk before it begins to serve."""
        out, go = os.pipe()
        argv = [sys.executable, str(SERVER), self.site, str(self.folder), str(port)]
        streams = [
            (os.POSIX_SPAWN_DUP2, out, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(self.log), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        try:
            pid = os.posix_spawn(sys.executable, argv, os.environ, file_actions=streams)
            put(self._server, json.dumps({"pid": pid, "started": started(pid)}))
            os.write(go, b"go\n")
        finally:
            os.close(out)
            os.close(go)
        return pid

    def stop_server(self) -> None:
        """End the site's own server process, and no other, and forget it."""
        for order in (signal.SIGTERM, signal.SIGKILL):
            end = time.monotonic() + SECONDS_TO_STOP
            if (pid := self.server()) is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, order)
            while self.server() is not None and time.monotonic() < end:
                time.sleep(0.02)
        if pid := self.server():
            raise RuntimeError(f"the server of {self.site} (process {pid}) does not end")
        self._server.unlink(missing_ok=True)
        self.log.unlink(missing_ok=True)

    def routes(self) -> dict[str, str]:
        """The table of routes: the address of each site, by name."""
        routes: dict[str, str] = json.loads(self._routes.read_text()) if self._routes.exists() else {}
        return routes

    @contextmanager
    def changed_routes(self) -> Iterator[dict[str, str]]:
        """Lend the table of routes and then replace the file by it; nobody else writes meanwhile."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "routes.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            routes = self.routes()
            yield routes
            put(self._routes, json.dumps(routes, indent=2, sort_keys=True) + "\n")
