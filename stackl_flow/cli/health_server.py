"""An HTTP server for a conductor's health and metrics, for systemd, Kubernetes or a load balancer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import typer

from stackl_flow.control.health import prometheus_metrics


@contextmanager
def serve_health(address: tuple[str, int], get_report: Callable[[], Mapping[str, Any]]) -> Iterator[int]:
    """Serve GET /health (200 if the report's "ok" is true, else 503) and GET /metrics.

    Args:
        address: host and port.
        get_report: returns what `control.health.health` returns.

    Yields:
        The port.

    Raises:
        typer.BadParameter: the address cannot be listened on.
    """
    try:
        server = ThreadingHTTPServer(address, _make_handler(get_report))
    except OSError as error:
        raise typer.BadParameter(
            f"cannot listen on {address[0]}:{address[1]}: {error.strerror}; port 0 uses any free port",
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


def _make_handler(get_report: Callable[[], Mapping[str, Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            report, path = dict(get_report()), self.path.partition("?")[0]
            if path == "/metrics":
                self._send(HTTPStatus.OK, "text/plain; version=0.0.4", prometheus_metrics(report))
            elif path == "/health":
                status = HTTPStatus.OK if report.get("ok") else HTTPStatus.SERVICE_UNAVAILABLE
                self._send(status, "application/json", json.dumps(report))
            else:
                error = json.dumps({"error": "not found: use /health or /metrics"})
                self._send(HTTPStatus.NOT_FOUND, "application/json", error)

        def _send(self, status: HTTPStatus, content_type: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Log nothing: probes arrive every few seconds."""

    return Handler
