"""The deployment of a site of `website.py`: its files, its port, its server process, its route.

Every method is idempotent.
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
# Such as "execute start_server": the action after which the process waits to be killed, when the action is
# done but not yet recorded.
HOLD = "WEBSITE_HOLD_AFTER"
# The same, but the process stops itself once with SIGSTOP, at a point where it holds no lock.
STOP = "WEBSITE_STOP_AFTER"


def write_atomically(path: Path, text: str, publish: Callable[[Path, Path], object] = os.replace) -> None:
    """Write a file so that it is complete whenever it exists, even after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def start_time(pid: int) -> str | None:
    """Return text that identifies a process beyond its ID, or None if it is dead."""
    try:
        if not Path("/proc/self/stat").exists():  # not Linux
            ps = ["ps", "-o", "lstart=", "-p", str(pid)]
            answer = subprocess.run(ps, capture_output=True, text=True, check=False)  # noqa: S603 - no foreign input
            return answer.stdout.strip() or None
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else f"{boot}/{fields[19]}"


def http_get(port: int, path: str, seconds: float = 5.0) -> tuple[int, str]:
    """Fetch a page from 127.0.0.1; return its HTTP status and text."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


class Deployment:
    """The files and the server process of a site, below a root that all sites share."""

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

    def log_action(self, verb: str, atom: str) -> None:
        """Append one line to the log of actions; wait or stop here if a test asks for it."""
        line = {"at": time.time(), "pid": os.getpid(), "site": self.site, "did": verb, "atom": atom}
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "actions.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        if os.environ.get(HOLD) == f"{verb} {atom}":
            print(f"holding after {verb} {atom}", flush=True)
            sys.stdin.read()  # ends if the process that is to kill this one has died
            os.kill(os.getpid(), signal.SIGKILL)
        if os.environ.get(STOP) == f"{verb} {atom}":
            del os.environ[STOP]
            os.kill(os.getpid(), signal.SIGSTOP)

    def remove_empty_folder(self) -> None:
        """Remove the folder of the site if it is empty."""
        with suppress(OSError):  # not empty, or missing
            self.folder.rmdir()

    def port(self) -> int | None:
        """Return the port reserved for this site, or None."""
        for path in self._ports.glob("[0-9]*"):
            with suppress(FileNotFoundError):  # another site has just released its port
                if path.read_text() == self.site:
                    return int(path.name)
        return None

    def reserve_port(self) -> int:
        """Return the port reserved for this site; reserve a free one if there is none."""
        while (port := self.port()) is None:
            with closing(socket.socket()) as probe:
                probe.bind(("127.0.0.1", 0))
                free = probe.getsockname()[1]
            with suppress(FileExistsError):  # another site was faster: only one process can create the link
                write_atomically(self._ports / str(free), self.site, os.link)
        return port

    def release_port(self) -> None:
        """Release the port."""
        if (port := self.port()) is not None:
            (self._ports / str(port)).unlink(missing_ok=True)

    def server(self) -> int | None:
        """Return the ID of the server process if it runs."""
        if not self._server.exists():
            return None
        record = json.loads(self._server.read_text())
        pid: int = record["pid"]
        with suppress(ChildProcessError):  # a child process stays a zombie until it is waited for
            os.waitpid(pid, os.WNOHANG)
        return pid if start_time(pid) == record["started"] else None

    def start_server(self, port: int) -> int:
        """Start a server that outlives this process; its process ID is stored before it serves."""
        out, go = os.pipe()
        argv = [sys.executable, str(SERVER), self.site, str(self.folder), str(port)]
        streams = [
            (os.POSIX_SPAWN_DUP2, out, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(self.log), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        try:
            pid = os.posix_spawn(sys.executable, argv, os.environ, file_actions=streams)
            write_atomically(self._server, json.dumps({"pid": pid, "started": start_time(pid)}))
            os.write(go, b"go\n")
        finally:
            os.close(out)
            os.close(go)
        return pid

    def stop_server(self) -> None:
        """Stop the server process of this site."""
        for order in (signal.SIGTERM, signal.SIGKILL):
            end = time.monotonic() + SECONDS_TO_STOP
            if (pid := self.server()) is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, order)
            while self.server() is not None and time.monotonic() < end:
                time.sleep(0.02)
        if pid := self.server():
            raise RuntimeError(f"the server of {self.site} (process {pid}) does not exit")
        self._server.unlink(missing_ok=True)
        self.log.unlink(missing_ok=True)

    def routes(self) -> dict[str, str]:
        """Return the URL of each site, by name."""
        routes: dict[str, str] = json.loads(self._routes.read_text()) if self._routes.exists() else {}
        return routes

    @contextmanager
    def changed_routes(self) -> Iterator[dict[str, str]]:
        """Yield the routes for changes and write them at the end, under a lock."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "routes.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            routes = self.routes()
            yield routes
            write_atomically(self._routes, json.dumps(routes, indent=2, sort_keys=True) + "\n")
