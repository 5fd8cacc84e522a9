"""The program behind ``scripts/services``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scripts.servers import background, packages
from scripts.servers.definitions import KINDS
from scripts.servers.kinds import Kind
from scripts.servers.server import ServerError, running

_TESTED: Final = Path(__file__).with_name("tested.txt")
_ABOUT: Final = """\
Install (as root, from Debian packages), start and stop servers for tests. They listen on free ports of
127.0.0.1, with temporary data. Each clone of this repository has its own. NAME is one of:
  {names}
or "tested" for those that the tests use ({tested}), which is the default.
"""
_EXAMPLES: Final = """\
examples:
  scripts/services run redis -- scripts/test tests/kv/test_redis.py
  scripts/services start redis zookeeper     # prints NAME=URL lines; they run until you stop them
  export $(scripts/services start redis)     # tests use the URLs in the environment
  scripts/services stop
"""
_COMMANDS: Final = {
    "install": "install servers that are not installed; start none",
    "start": "install and start servers in the background, print STACKL_FLOW_TEST_NAME=URL lines",
    "list": "print the servers that this clone runs in the background",
    "stop": "stop servers that this clone started (default: all)",
    "run": "run a command with servers of its own, and their URLs in its environment",
}


def main() -> None:
    """Run the command line."""
    try:
        sys.exit(_run_command(sys.argv[1:]))
    except ServerError as error:
        sys.exit(f"scripts/services: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def tested() -> list[Kind]:
    """List the kinds of servers that tests use."""
    return [KINDS[name] for name in _TESTED.read_text(encoding="utf-8").split()]


def _run_command(arguments: Sequence[str]) -> int:
    command: list[str] = []
    if "--" in arguments:
        at = list(arguments).index("--")
        arguments, command = arguments[:at], list(arguments[at + 1 :])
    parsed = _parser().parse_args(arguments)
    if parsed.command == "run":
        if not command:
            raise ServerError("no command given: scripts/services run NAME... -- COMMAND")
        return _run(_kinds(parsed.names), command)
    if parsed.command in {"list", "stop"}:
        names = [kind.name for kind in _kinds(parsed.names)] if parsed.names else list(KINDS)
        found = [server for server in background.running() if server.name in names]
    else:
        packages.install(_kinds(parsed.names))
        found = background.start(_kinds(parsed.names)) if parsed.command == "start" else []
    for server in found:
        if parsed.command == "stop":
            background.stop(server)
        print(f"{KINDS[server.name].variable}={server.url}{' stopped' * (parsed.command == 'stop')}")
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
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command, summary in _COMMANDS.items():
        subparser = commands.add_parser(command, help=summary, description=summary)
        subparser.add_argument("names", nargs="*", metavar="NAME", choices=[*KINDS, "tested", []])
    return parser
