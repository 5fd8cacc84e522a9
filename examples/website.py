"""Deploys a small web site on 127.0.0.1 for real, and undoes it when a step fails.

    python examples/website.py deploy hello
    python examples/website.py list
    python examples/website.py remove hello
    stackl-flow run examples.website:website --store site=hello --store root=websites --db sqlite:///websites/flows.db

Each task may run twice: if a process dies after the work but before its record, the task runs again on
resumption. So every `execute` first looks for what it has made already, and every `revert` copes with things
that are gone, or were never there.
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

if __name__ == "__main__":  # Run as a file, it must find its neighbours, and be found under its full name.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples.website_place import Place, ask, put
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
# What can go wrong in a deployment, and is told in one line.
KNOWN = (exceptions.StacklFlowError, RuntimeError, ValueError, OSError)


class CheckName(task.Task):
    """Refuses a site that is deployed already, before a rollback could take anything from it."""

    def execute(self, site: str, root: str) -> None:
        """Look the name up in the routes."""
        place = Place(root, site)
        if (url := place.routes().get(site)) is not None:
            raise ValueError(f"{site} is deployed already at {url}; remove it first")
        place.done("execute", self.name)


class AllocatePort(task.Task):
    """Reserves a free port in a file that names its site."""

    default_provides = "port"

    def execute(self, site: str, root: str) -> int:
        """Take the port that this site has already, or a new one."""
        place = Place(root, site)
        port = place.reserve_port()
        place.done("execute", self.name)
        return port

    def revert(self, site: str, root: str, **_: Any) -> None:
        """Give the port back."""
        place = Place(root, site)
        place.release_port()
        place.prune()
        place.done("revert", self.name)


class WriteFiles(task.Task):
    """Writes the pages that do not change."""

    default_provides = "files"

    def execute(self, site: str, root: str) -> list[str]:
        """Write each file whole, over one that may be there."""
        place = Place(root, site)
        for name, text in FILES.items():
            put(place.public / name, text.format(site=site))
        place.done("execute", self.name)
        return sorted(FILES)

    def revert(self, site: str, root: str, **_: Any) -> None:
        """Remove the files."""
        place = Place(root, site)
        if place.public.exists():
            shutil.rmtree(place.public)
        place.prune()
        place.done("revert", self.name)


class CreateDatabase(task.Task):
    """Creates the site's database and fills it."""

    def execute(self, site: str, root: str, articles: Sequence[Sequence[str]] = ARTICLES) -> None:
        """Fill a new file, then put it in its place: a half-filled database is never seen."""
        place = Place(root, site)
        draft = place.database.with_name("site.db.draft")
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        with closing(sqlite3.connect(draft)) as connection, connection:
            connection.execute("CREATE TABLE articles (position INTEGER PRIMARY KEY, title TEXT, body TEXT)")
            connection.executemany("INSERT INTO articles (title, body) VALUES (?, ?)", articles)
        draft.replace(place.database)
        place.done("execute", self.name)

    def revert(self, site: str, root: str, **_: Any) -> None:
        """Remove the database, and a draft with its journal."""
        place = Place(root, site)
        for path in place.folder.glob("site.db*"):
            path.unlink()
        place.prune()
        place.done("revert", self.name)


class StartServer(task.Task):
    """Starts the site's server as a process of its own."""

    default_provides = "pid"

    def execute(self, site: str, root: str, port: int) -> int:
        """Start it, unless it runs already."""
        place = Place(root, site)
        pid = place.server() or place.start_server(port)
        place.done("execute", self.name)
        return pid

    def revert(self, site: str, root: str, **_: Any) -> None:
        """Stop it and forget it."""
        place = Place(root, site)
        place.stop_server()
        place.prune()
        place.done("revert", self.name)


class CheckHealth(task.Task):
    """Asks the server over HTTP whether the site is well; there is nothing in it to undo."""

    default_provides = "health"

    def execute(self, site: str, root: str, port: int, pid: int) -> dict[str, Any]:
        """Wait until the server answers, and fail if the answer is bad."""
        place = Place(root, site)
        end = time.monotonic() + SECONDS_TO_START
        while True:
            if place.server() != pid:
                raise RuntimeError(f"the server of {site} has ended: {place.log.read_text()[-300:]}")
            try:
                status, text = ask(port, "/health")
                break
            except OSError as error:
                if time.monotonic() > end:
                    raise RuntimeError(f"{site} does not answer: {error}") from error
                time.sleep(0.05)
        health: dict[str, Any] = json.loads(text)
        if status != http.HTTPStatus.OK or health["site"] != site:
            raise RuntimeError(f"{site} is not well: {health['problem']} (HTTP {status})")
        place.done("execute", self.name)
        return health


class RegisterRoute(task.Task):
    """Makes the site known."""

    default_provides = "url"

    def execute(self, site: str, root: str, port: int) -> str:
        """Add the site's address to the routes."""
        place = Place(root, site)
        with place.changed_routes() as routes:
            routes[site] = f"http://127.0.0.1:{port}/"
        place.done("execute", self.name)
        return routes[site]

    def revert(self, site: str, root: str, **_: Any) -> None:
        """Take the site's address out of the routes."""
        place = Place(root, site)
        with place.changed_routes() as routes:
            routes.pop(site, None)
        place.done("revert", self.name)


class Undo(task.Task):
    """Does the revert of another task, so that a site can be removed by a flow too."""

    def __init__(self, undone: task.Task) -> None:
        super().__init__(name=f"undo_{undone.name}")
        self.undone = undone

    def execute(self, site: str, root: str) -> None:
        """Revert the task; it finds by itself what is there."""
        self.undone.revert(site=site, root=root)


def website(attempts: int = 2) -> linear_flow.Flow:
    """The flow that deploys a site; its store: `site`, `root` and, if wanted, `articles`.

    Args:
        attempts: how often the server is started, at most, before all is rolled back.

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
    """The flow that removes a site; its store: `site` and `root`."""
    made = [AllocatePort("allocate_port"), WriteFiles("write_files"), CreateDatabase("create_database")]
    made += [StartServer("start_server"), RegisterRoute("register_route")]
    return linear_flow.Flow("remove website").add(*(Undo(part) for part in reversed(made)))


def show_moves(engine: Engine) -> None:
    """Print each move of the flow and its atoms when it happens."""

    def told(state: str, details: Mapping[str, Any]) -> None:
        name = details.get("task_name") or details.get("retry_name") or details["flow_name"]
        print(f"{time.strftime('%H:%M:%S')}  {name:<22} {state}", flush=True)

    engine.notifier.register("*", told)
    engine.atom_notifier.register("*", told)


def deploy(options: argparse.Namespace, backend: Backend) -> None:
    """Deploy a site."""
    store = {"site": options.site, "root": str(options.root)}
    if options.articles is not None:
        store["articles"] = json.loads(options.articles.read_text())
    engine = engines.load_from_factory("examples.website.website", store=store, backend=backend)
    show_moves(engine)
    engine.run()
    print(f"{options.site} is up at {engine.storage.fetch('url')}")


def remove(options: argparse.Namespace, backend: Backend) -> None:
    """Remove a site and all that belongs to it."""
    store = {"site": options.site, "root": str(options.root)}
    place = Place(str(options.root), options.site)
    if options.site not in place.routes() and place.port() is None:
        raise ValueError(f"there is no site {options.site}")
    engine = engines.load_from_factory("examples.website.removal", store=store, backend=backend)
    show_moves(engine)
    engine.run()
    print(f"{options.site} is removed")


def resume(_options: argparse.Namespace, backend: Backend) -> None:
    """Go on with every deployment and removal whose process died."""
    details = [detail for book in backend.get_connection().get_logbooks() for detail in book]
    failed = []
    for flow_detail in details:
        if flow_detail.state in (states.SUCCESS, states.REVERTED):
            continue
        engine = engines.load_from_detail(flow_detail, backend=backend)
        show_moves(engine)
        try:
            engine.run()
        except KNOWN as error:  # The others shall go on all the same.
            failed.append(str(error))
        print(f"{engine.storage.fetch('site')}: {engine.storage.get_flow_state()}")
    if failed:
        raise RuntimeError("; ".join(failed))


def list_sites(options: argparse.Namespace, _backend: Backend) -> None:
    """List the sites that are registered, and whether their server runs."""
    for site, url in Place(str(options.root), "any").routes().items():
        alive = "up" if Place(str(options.root), site).server() else "down"
        print(f"{site:<20} {url:<30} {alive}")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(description="Deploy small web sites on 127.0.0.1.")
    top.add_argument("--root", type=Path, default=Path("websites"), help="where the sites live (%(default)s)")
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
        arguments: the words after the program's name; None: those of this process.

    Returns:
        0, or 1 when it failed and the reason has been printed.
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
