"""Deploys a small web site on 127.0.0.1, and rolls it back if a step fails.

    python examples/website.py deploy hello
    python examples/website.py list
    python examples/website.py remove hello
    stackl-flow run examples.website:website --store site=hello --store root=websites --db sqlite:///websites/flows.db

A task may run twice: if its process dies after the work but before the checkpoint, it runs again on resume.
So every `execute` first checks what exists already, and every `revert` accepts that things are missing.
"""

from __future__ import annotations

import argparse
import http
import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # Run as a file, it has to be importable by its full name.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples.website_deployment import Deployment, http_get, write_atomically
from stackl_flow import engines, exceptions, retry, states, task
from stackl_flow.engines.base import Engine
from stackl_flow.patterns import linear_flow, unordered_flow
from stackl_flow.persistence import backends
from stackl_flow.persistence.base import Backend

ARTICLES = [["It is up", "A flow deployed this page."], ["It can go", "Its rollback removes all of it."]]
FILES = {
    "index.html": "<!doctype html><title>{site}</title><link rel=stylesheet href=/style.css>"
    "<h1>{site}</h1><p>See the <a href=/articles>articles</a>.",
    "style.css": "body {{ font: 1.1em sans-serif; max-width: 40em; margin: 2em auto }}\n",
}
SECONDS_TO_START = 10.0
# Errors of a deployment that are printed in one line.
KNOWN = (exceptions.StacklFlowError, RuntimeError, ValueError, OSError)


class CheckName(task.Task):
    """Refuses a site that is deployed already, before a rollback could remove it."""

    def execute(self, site: str, root: str) -> None:
        """Look up the name in the routes."""
        deployment = Deployment(root, site)
        if (url := deployment.routes().get(site)) is not None:
            raise ValueError(f"{site} is deployed already at {url}; remove it first")
        deployment.log_action("execute", self.name)


class AllocatePort(task.Task):
    """Reserves a free port with a file that contains the name of the site."""

    default_provides = "port"

    def execute(self, site: str, root: str) -> int:
        """Return the port reserved for this site, or reserve one."""
        deployment = Deployment(root, site)
        port = deployment.reserve_port()
        deployment.log_action("execute", self.name)
        return port

    def revert(self, site: str, root: str, **_: Any) -> None:
        """Release the port."""
        deployment = Deployment(root, site)
        deployment.release_port()
        deployment.remove_empty_folder()
        deployment.log_action("revert", self.name)


class WriteFiles(task.Task):
    """Writes the static pages."""

    default_provides = "files"

    def execute(self, site: str, root: str) -> list[str]:
        """Write each file atomically, replacing an old one."""
        deployment = Deployment(root, site)
        for name, text in FILES.items():
            write_atomically(deployment.public / name, text.format(site=site))
        deployment.log_action("execute", self.name)
        return sorted(FILES)

    def revert(self, site: str, root: str, **_: Any) -> None:
        """Remove the files."""
        deployment = Deployment(root, site)
        if deployment.public.exists():
            shutil.rmtree(deployment.public)
        deployment.remove_empty_folder()
        deployment.log_action("revert", self.name)


class CreateDatabase(task.Task):
    """Creates the site's database and fills it."""

    def execute(self, site: str, root: str, articles: Sequence[Sequence[str]] = ARTICLES) -> None:
        """Fill a new file, then rename it: the server never opens an incomplete database."""
        deployment = Deployment(root, site)
        temporary = deployment.database.with_name("site.db.tmp")
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        with closing(sqlite3.connect(temporary)) as connection, connection:
            connection.execute("CREATE TABLE articles (position INTEGER PRIMARY KEY, title TEXT, body TEXT)")
            connection.executemany("INSERT INTO articles (title, body) VALUES (?, ?)", articles)
        temporary.replace(deployment.database)
        deployment.log_action("execute", self.name)

    def revert(self, site: str, root: str, **_: Any) -> None:
        """Remove the database, and an unfinished one with its journal."""
        deployment = Deployment(root, site)
        for path in deployment.folder.glob("site.db*"):
            path.unlink()
        deployment.remove_empty_folder()
        deployment.log_action("revert", self.name)


class StartServer(task.Task):
    """Starts the site's server as a process of its own."""

    default_provides = "pid"

    def execute(self, site: str, root: str, port: int) -> int:
        """Start the server, unless it runs already."""
        deployment = Deployment(root, site)
        pid = deployment.server() or deployment.start_server(port)
        deployment.log_action("execute", self.name)
        return pid

    def revert(self, site: str, root: str, **_: Any) -> None:
        """Stop the server."""
        deployment = Deployment(root, site)
        deployment.stop_server()
        deployment.remove_empty_folder()
        deployment.log_action("revert", self.name)


class CheckHealth(task.Task):
    """Requests the health of the site over HTTP; nothing to revert."""

    default_provides = "health"

    def execute(self, site: str, root: str, port: int, pid: int) -> dict[str, Any]:
        """Wait until the server responds; fail if it is not healthy."""
        deployment = Deployment(root, site)
        end = time.monotonic() + SECONDS_TO_START
        while True:
            if deployment.server() != pid:
                raise RuntimeError(f"the server of {site} has exited: {deployment.log.read_text()[-300:]}")
            try:
                status, text = http_get(port, "/health")
                break
            except OSError as error:
                if time.monotonic() > end:
                    raise RuntimeError(f"{site} does not respond: {error}") from error
                time.sleep(0.05)
        health: dict[str, Any] = json.loads(text)
        if status != http.HTTPStatus.OK or health["site"] != site:
            raise RuntimeError(f"{site} is not healthy: {health['problem']} (HTTP {status})")
        deployment.log_action("execute", self.name)
        return health


class RegisterRoute(task.Task):
    """Publishes the URL of the site."""

    default_provides = "url"

    def execute(self, site: str, root: str, port: int) -> str:
        """Add the URL to the routes."""
        deployment = Deployment(root, site)
        with deployment.changed_routes() as routes:
            routes[site] = f"http://127.0.0.1:{port}/"
        deployment.log_action("execute", self.name)
        return routes[site]

    def revert(self, site: str, root: str, **_: Any) -> None:
        """Remove the URL from the routes."""
        deployment = Deployment(root, site)
        with deployment.changed_routes() as routes:
            routes.pop(site, None)
        deployment.log_action("revert", self.name)


class Revert(task.Task):
    """Executes the revert of another task, so that a flow can remove a site."""

    def __init__(self, undone: task.Task) -> None:
        super().__init__(name=f"undo_{undone.name}")
        self.undone = undone

    def execute(self, site: str, root: str) -> None:
        """Revert the task; its revert needs nothing but the names."""
        self.undone.revert(site=site, root=root)


def website(attempts: int = 2) -> linear_flow.Flow:
    """Build the flow that deploys a site from the inputs `site`, `root` and, optionally, `articles`.

    Args:
        attempts: maximum number of attempts to start the server.

    Returns:
        The flow; it provides `port`, `files`, `pid`, `health` and `url`.
    """
    prepare = unordered_flow.Flow("prepare").add(
        AllocatePort("allocate_port"), WriteFiles("write_files"), CreateDatabase("create_database")
    )
    serve = linear_flow.Flow("serve", retry=retry.Times(attempts, name="try_again", revert_all=True)).add(
        StartServer("start_server"), CheckHealth("check_health")
    )
    flow = linear_flow.Flow("website")
    return flow.add(CheckName("check_name"), prepare, serve, RegisterRoute("register_route"))


def removal() -> linear_flow.Flow:
    """Build the flow that removes a site from the inputs `site` and `root`."""
    made = [AllocatePort("allocate_port"), WriteFiles("write_files"), CreateDatabase("create_database")]
    made += [StartServer("start_server"), RegisterRoute("register_route")]
    return linear_flow.Flow("remove website").add(*(Revert(part) for part in reversed(made)))


def print_transitions(engine: Engine) -> None:
    """Print the transitions of the flow and its atoms."""

    def on_transition(state: str, details: Mapping[str, Any]) -> None:
        name = details.get("task_name") or details.get("retry_name") or details["flow_name"]
        print(f"{time.strftime('%H:%M:%S')}  {name:<22} {state}", flush=True)

    engine.notifier.register("*", on_transition)
    engine.atom_notifier.register("*", on_transition)


def deploy(options: argparse.Namespace, backend: Backend) -> None:
    """Deploy a site."""
    store = {"site": options.site, "root": str(options.root)}
    if options.articles is not None:
        store["articles"] = json.loads(options.articles.read_text())
    engine = engines.load_from_factory("examples.website.website", store=store, backend=backend)
    print_transitions(engine)
    engine.run()
    print(f"{options.site} is up at {engine.storage.fetch('url')}")


def remove(options: argparse.Namespace, backend: Backend) -> None:
    """Remove a site."""
    store = {"site": options.site, "root": str(options.root)}
    deployment = Deployment(str(options.root), options.site)
    if options.site not in deployment.routes() and deployment.port() is None:
        raise ValueError(f"there is no site {options.site}")
    engine = engines.load_from_factory("examples.website.removal", store=store, backend=backend)
    print_transitions(engine)
    engine.run()
    print(f"{options.site} is removed")


def resume(_options: argparse.Namespace, backend: Backend) -> None:
    """Resume every deployment and removal whose process died."""
    details = [detail for book in backend.get_connection().get_logbooks() for detail in book]
    failed = []
    for flow_detail in details:
        if flow_detail.state in (states.SUCCESS, states.REVERTED):
            continue
        engine = engines.load_from_detail(flow_detail, backend=backend)
        print_transitions(engine)
        try:
            engine.run()
        except KNOWN as error:  # Resume the others all the same.
            failed.append(str(error))
        print(f"{engine.storage.fetch('site')}: {engine.storage.get_flow_state()}")
    if failed:
        raise RuntimeError("; ".join(failed))


def list_sites(options: argparse.Namespace, _backend: Backend) -> None:
    """List the sites, and whether their servers run."""
    for site, url in Deployment(str(options.root), "any").routes().items():
        alive = "up" if Deployment(str(options.root), site).server() else "down"
        print(f"{site:<20} {url:<30} {alive}")


def parser() -> argparse.ArgumentParser:
    """Build the command line parser."""
    top = argparse.ArgumentParser(description="Deploy small web sites on 127.0.0.1.")
    top.add_argument(
        "--root", type=Path, default=Path("websites"), help="directory of the sites (%(default)s)"
    )
    top.add_argument("--db", help="URL of the database of the flows (sqlite:///ROOT/flows.db)")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, action in {"deploy": deploy, "remove": remove, "resume": resume, "list": list_sites}.items():
        command = commands.add_parser(name, help=action.__doc__, description=action.__doc__)
        command.set_defaults(action=action)
        if name in ("deploy", "remove"):
            command.add_argument("site", help="small letters, digits and '-'")
        if name == "deploy":
            command.add_argument("--articles", type=Path, help="a JSON file: a list of [title, text]")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: command line arguments; None for those of this process.

    Returns:
        0, or 1 if it failed.
    """
    options = parser().parse_args(arguments)
    options.root = options.root.absolute()
    options.root.mkdir(parents=True, exist_ok=True)
    try:
        with backends.backend(options.db or f"sqlite:///{options.root}/flows.db") as backend:
            options.action(options, backend)
    except KNOWN as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
