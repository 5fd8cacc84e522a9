"""The server process of one site that `website.py` deploys.

It is a separate program, because the site outlives the process that deploys it. It starts when it reads `go`
from standard input, after the deploying process has stored its process ID, so that no unknown server can
run. If that process dies before, standard input ends and the server exits.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import sqlite3
import sys
from contextlib import closing
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PAGE = "<!doctype html><title>{site}</title><link rel=stylesheet href=/style.css><h1>Articles</h1>{articles}"


class SiteServer(ThreadingHTTPServer):
    """A server that does not share its port, so that two servers of one site cannot both run."""

    allow_reuse_port = False


class SiteHandler(SimpleHTTPRequestHandler):
    """Serves the site's files, one page from its database, and its health."""

    def __init__(self, *args: Any, site: str, folder: Path, **kwargs: Any) -> None:
        self.site = site
        self.database = folder / "site.db"
        super().__init__(*args, directory=str(folder / "public"), **kwargs)

    def do_GET(self) -> None:
        """Handle one request."""
        if self.path == "/articles":
            self._send_articles()
        elif self.path == "/health":
            self._send_health()
        else:
            super().do_GET()

    def _articles(self) -> list[tuple[str, str]]:
        # read-only: the server must not create a missing database
        with closing(sqlite3.connect(f"{self.database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT title, body FROM articles ORDER BY position").fetchall()

    def _send_articles(self) -> None:
        rows = self._articles()
        articles = "".join(f"<h2>{html.escape(title)}</h2><p>{html.escape(body)}" for title, body in rows)
        self._send(HTTPStatus.OK, "text/html", PAGE.format(site=html.escape(self.site), articles=articles))

    def _send_health(self) -> None:
        try:
            count = len(self._articles())
            problem = "" if count else "the site has no articles"
        except sqlite3.Error as error:
            count, problem = 0, str(error)
        status = HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK
        answer = {"site": self.site, "articles": count, "problem": problem}
        self._send(status, "application/json", json.dumps(answer))

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main() -> int:
    """Serve one site until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site")
    parser.add_argument("folder", type=Path, help="the site's own folder: public/ and site.db")
    parser.add_argument("port", type=int)
    options = parser.parse_args()
    if sys.stdin.readline() != "go\n":
        return 1
    os.setsid()  # A Ctrl-C in the deployer's terminal must not stop the site.
    handler = partial(SiteHandler, site=options.site, folder=options.folder)
    with SiteServer(("127.0.0.1", options.port), handler) as server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
