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
    """Answer GET /health while something runs: 200 if it is well, 503 if it is not.

    Args:
        address: host and port.
        ask: tells how it is; "ok" says whether it is well.

    Yields:
        The port.

    Raises:
        BadParameter: nobody can listen there.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer."""
            known = self.path == "/health"
            told = dict(ask()) if known else {"error": "only /health is here"}
            status = HTTPStatus.OK if told.get("ok") else HTTPStatus.SERVICE_UNAVAILABLE
            body = json.dumps(told).encode()
            self.send_response(status if known else HTTPStatus.NOT_FOUND)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing: probes come every few seconds."""

    try:
        server = ThreadingHTTPServer(address, Handler)
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
