"""The program behind ``scripts/services``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scripts.servers import kept, packages
from scripts.servers.kinds import Kind
from scripts.servers.known import KINDS
from scripts.servers.server import ServerError, running

_TESTED: Final = Path(__file__).with_name("tested.txt")
_ABOUT: Final = """\
Servers for tests: installed from Debian's packages (as root), started on free ports of 127.0.0.1 with
throw-away data, stopped by their process ids. NAME is one of:
  {names}
or "tested" for those whose tests there are ({tested}), which is what you get without any NAME.
"""
_EXAMPLES: Final = """\
examples:
  scripts/services run redis -- scripts/test tests/kv/test_redis.py
  scripts/services start redis zookeeper     # prints NAME=URL lines; they run until you stop them
  export $(scripts/services start redis)     # the tests take the address from the environment
  scripts/services stop
"""
_ORDERS: Final = {
    "install": "install what is missing; nothing is started",
    "start": "install what is missing, start servers that stay, print STACKL_FLOW_TEST_NAME=URL lines",
    "list": "print the servers that were started and not stopped",
    "stop": "stop servers that were started with 'start' (all, without any NAME)",
    "run": "run a command with servers of its own, whose addresses are in its environment",
}


def main() -> None:
    """Do what the command line says."""
    try:
        sys.exit(_do(sys.argv[1:]))
    except ServerError as error:
        sys.exit(f"scripts/services: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def tested() -> list[Kind]:
    """List the kinds of servers whose tests there are."""
    return [KINDS[name] for name in _TESTED.read_text(encoding="utf-8").split()]


def _do(words: Sequence[str]) -> int:
    command: list[str] = []
    if "--" in words:
        at = list(words).index("--")
        words, command = words[:at], list(words[at + 1 :])
    given = _parser().parse_args(words)
    if given.order == "run":
        if not command:
            raise ServerError("say what to run: scripts/services run NAME... -- COMMAND")
        return _run(_kinds(given.names), command)
    if given.order in {"list", "stop"}:
        names = [kind.name for kind in _kinds(given.names)] if given.names else list(KINDS)
        found = [server for server in kept.kept() if server.name in names]
    else:
        packages.install(_kinds(given.names))
        found = kept.keep(_kinds(given.names)) if given.order == "start" else []
    for server in found:
        if given.order == "stop":
            kept.stop(server)
        print(f"{KINDS[server.name].variable}={server.url}{' stopped' * (given.order == 'stop')}")
    return 0


def _run(kinds: Sequence[Kind], command: Sequence[str]) -> int:
    packages.install(kinds)
    with running(kinds) as servers:
        urls = {server.kind.variable: server.url for server in servers}
        try:
            return subprocess.run(command, check=False, env={**os.environ, **urls}).returncode
        except OSError as error:
            raise ServerError(f"cannot run {command[0]}: {error.strerror}") from error


def _kinds(names: Sequence[str]) -> list[Kind]:
    found: dict[str, Kind] = {}
    for name in names or ["tested"]:
        found.update({kind.name: kind for kind in (tested() if name == "tested" else [KINDS[name]])})
    return list(found.values())


def _parser() -> argparse.ArgumentParser:
    names = ", ".join(kind.name for kind in tested())
    parser = argparse.ArgumentParser(
        "scripts/services",
        description=_ABOUT.format(names=", ".join(KINDS), tested=names),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    orders = parser.add_subparsers(dest="order", required=True, metavar="ORDER")
    for order, meaning in _ORDERS.items():
        made = orders.add_parser(order, help=meaning, description=meaning)
        made.add_argument("names", nargs="*", metavar="NAME", choices=[*KINDS, "tested", []])
    return parser
