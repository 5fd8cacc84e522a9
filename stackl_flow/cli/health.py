"""The health of a conductor over HTTP, for whoever supervises it: systemd, Kubernetes, a load balancer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import typer


def read_address(text: str) -> tuple[str, int]:
    """Read where to listen.

    Args:
        text: "HOST:PORT", or ":PORT" for this machine only.

    Returns:
        Host and port; port 0 is any that is free.

    Raises:
        BadParameter: it is neither.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > _LAST_PORT:
        raise typer.BadParameter(f"'{text}' is no HOST:PORT, such as 127.0.0.1:8080", param_hint="--listen")
    return host or "127.0.0.1", int(port)


#: The highest port there is.
_LAST_PORT = 65_535


@contextmanager
def answering_health(address: tuple[str, int], ask: Callable[[], Mapping[str, Any]]) -> Iterator[int]:
    """Answer GET /health while something runs: 200 if it is well, 503 if it is not; and GET /metrics.

    Args:
        address: host and port.
        ask: tells how it is: "ok" (whether it is well), "name", "state", "uptime" (seconds), "running" (names
            of jobs), and how many jobs ended in each way.

    Yields:
        The port.

    Raises:
        BadParameter: nobody can listen there.
    """
    try:
        server = ThreadingHTTPServer(address, _handler(ask))
    except OSError as error:
        raise typer.BadParameter(
            f"cannot listen on {address[0]}:{address[1]}: {error.strerror}; port 0 takes any that is free",
            param_hint="--listen",
        ) from None
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(ask: Callable[[], Mapping[str, Any]]) -> type[BaseHTTPRequestHandler]:
    """Make what answers each question."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer."""
            told, path = dict(ask()), self.path.partition("?")[0]
            if path == "/metrics":
                self._send(HTTPStatus.OK, "text/plain; version=0.0.4", metrics(told))
            elif path == "/health":
                status = HTTPStatus.OK if told.get("ok") else HTTPStatus.SERVICE_UNAVAILABLE
                self._send(status, "application/json", json.dumps(told))
            else:
                words = json.dumps({"error": "only /health and /metrics are here"})
                self._send(HTTPStatus.NOT_FOUND, "application/json", words)

        def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing: probes come every few seconds."""

    return Handler


def metrics(told: Mapping[str, Any]) -> str:
    """Write how a conductor is in the text format of Prometheus.

    Args:
        told: as for ``answering_health``.

    Returns:
        The text.
    """
    who = f'conductor="{_label(str(told["name"]))}"'
    ends = {
        end: count for end, count in told.items() if isinstance(count, int) and not isinstance(count, bool)
    }
    lines = [
        "# TYPE stackl_flow_conductor_up gauge",
        f"stackl_flow_conductor_up{{{who}}} {int(bool(told['ok']))}",
        "# TYPE stackl_flow_conductor_uptime_seconds gauge",
        f"stackl_flow_conductor_uptime_seconds{{{who}}} {told['uptime']}",
        "# TYPE stackl_flow_jobs_running gauge",
        f"stackl_flow_jobs_running{{{who}}} {len(told['running'])}",
        "# TYPE stackl_flow_jobs_total counter",
        *(f'stackl_flow_jobs_total{{{who},end="{end}"}} {count}' for end, count in ends.items()),
    ]
    return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
