"""Reads the code blocks of a page, and runs them in order as a reader would type them.

| block | what is done with it |
|---|---|
| `python` whose first line is `# name.py` | is written to that file |
| `python` | is run; the blocks of a page share their names |
| `text` right after such a block | is what it prints |
| `console` | each `$ ` line is run and prints what follows; the exit code is 0 unless `echo $?` shows it |
| `ini`, `yaml`, `json`, `toml` led by a file's name | is written to it |

Shown output is compared with `...` standing for anything, and with uuids, times and durations made alike. A
block after the comment `<!-- not run: REASON -->` is not run; the reasons are those of `REASONS`.
"""

import contextlib
import contextvars
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from doctest import ELLIPSIS, OutputChecker
from pathlib import Path

from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]

#: Why a block is not run.
REASONS = {
    "installs packages": "tests/compat/test_wheel.py installs a wheel",
    "runs the project's own scripts": "they are what runs this test",
    "run in Python on the same page": "the command would resume the flow before the program does",
    "needs the extra package cryptography": "tests/cli/test_sealed.py has such a codec",
    "an outline": "names programs of the reader's own",
    "runs until it is stopped": "the same call with an end is run elsewhere on the page",
    "tested by tests/compat/test_guide.py": "run there on TaskFlow and on this library, with a Redis server",
    "tested by tests/docs/test_deployment.py": "parsed there; systemd and Kubernetes are not at hand",
}

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<source>.*?)^(?P=indent)```[ ]*$", re.MULTILINE | re.DOTALL
)
_COMMENT = re.compile(r"<!-- (?:not run: (?P<reason>[^>]*?)|(?P<guide>taskflow|stackl_flow): \S+) -->\s*\Z")
_FILE = re.compile(r"(?:#|--|//) ([\w./-]+\.(?:py|ini|ya?ml|json|sql|toml|conf|service))(?::.*)?\n")
_ALIKE = [
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8}\b"), "UUID"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: ?UTC|Z|\+00:00)?"), "TIME"),
    (re.compile(r"\b\d\d:\d\d:\d\d(?:\.\d+)?\b"), "TIME"),
    (re.compile(r"\b\d+(?:\.\d+)? (?:us|ms|s|seconds)\b"), "SPAN"),
    (re.compile(r"\b[\w.-]+:\d+:UUID\b"), "OWNER"),
    (re.compile("─+"), "─"),
    (re.compile(r"[ \t]+"), " "),
]


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    language: str
    source: str
    reason: str | None
    follows: bool
    """Whether only prose-free space lies between it and the block before it."""

    @property
    def where(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page):
    """Read the blocks of a page."""
    text = page.read_text(encoding="utf-8")
    end = 0
    for match in _FENCE.finditer(text):
        before = text[end : match.start()]
        comment = _COMMENT.search(before)
        reason = None
        if comment:
            reason = comment["reason"] or "tested by tests/compat/test_guide.py"
        words = match["info"].split()
        indent = match["indent"]
        source = "".join(line.removeprefix(indent) for line in match["source"].splitlines(keepends=True))
        line = text[: match.start()].count("\n") + 2
        yield Block(page, line, words[0] if words else "", source, reason, not before.strip())
        end = match.end()


def commands(block):
    """Split a console block into its commands, each with the output that is shown."""
    found = []
    for line in block.source.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and found[-1][0].endswith("\\"):
            found[-1] = (f"{found[-1][0][:-1]} {line.strip()}", [])
        elif found:
            found[-1][1].append(line)
    return [(command, "\n".join(shown)) for command, shown in found]


def alike(text):
    """Make text comparable: without what differs from run to run."""
    for pattern, word in _ALIKE:
        text = pattern.sub(word, text)
    return "\n".join(line.strip() for line in text.strip().splitlines() if line.strip()) + "\n"


def compare(shown, printed, where):
    if shown.strip():
        assert OutputChecker().check_output(alike(shown), alike(printed), ELLIPSIS), (
            f"{where} shows\n{shown}\nbut this was printed:\n{printed}"
        )


class Reader:
    """Runs the blocks of one page in an empty folder, which has to be the working directory."""

    def __init__(self, folder):
        self.folder = folder
        self.names = {"__name__": "__main__"}
        self.printed = None
        self.code = 0
        self.env = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "110"}

    def read(self, block):
        """Do what a reader does with a block."""
        file = _FILE.match(block.source) if block.language != "console" else None
        printed, self.printed = self.printed, None
        if block.reason is not None:
            return
        if file and block.language != "text":
            self._write(file[1], block.source)
        elif block.language == "python":
            self.printed = self._run(block)
        elif block.language == "text" and block.follows and printed is not None:
            compare(block.source, printed, block.where)
        elif block.language == "console":
            for command, shown in commands(block):
                self._command(command, shown, block)

    def _write(self, name, source):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
        # Compiled code is kept by the second: a file written twice within one would be taken for the first.
        for stale in self.folder.rglob("__pycache__/*.pyc"):
            stale.unlink()
        self.forget()

    def _run(self, block):
        lead = "\n" * (block.line - 1)  # a traceback names the line of the page
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(lead + block.source, str(block.page), "exec"), self.names)  # noqa: S102 - it is the test
        return output.getvalue()

    def _command(self, command, shown, block):
        where = f"{block.where}: {command}"
        if command == "echo $?":
            assert shown.strip() == str(self.code), f"{where} gave {self.code}"
            self.code = 0
            return
        assert self.code == 0, f"{where}: the command before ended with {self.code}"
        words = shlex.split(command, comments=True)
        if words[:1] == ["export"]:
            self.env.update(word.split("=", 1) for word in words[1:])
            return
        # A command whose exit code is shown may be about to kill its process.
        simple = not set("|;&><$") & set(command) and not _next_shows_code(block, command)
        if words[0] == "stackl-flow" and simple:
            self.code, printed = self._in_process(words[1:])
        else:
            self.code, printed = self._in_shell(command)
        if not _next_shows_code(block, command):
            assert self.code == 0, f"{where} ended with {self.code}:\n{printed}"
        compare(shown, printed, where)

    def _in_process(self, words):
        from stackl_flow.cli.app import app

        # A command is a process of its own: it imports the files of the page anew.
        path, imported = list(sys.path), self.forget()
        try:
            result = contextvars.copy_context().run(CliRunner().invoke, app, words, env=self.env)
        finally:
            self.forget()
            sys.modules.update(imported)
            sys.path[:] = path
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    def _in_shell(self, command):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        python = f"{self.folder}{os.pathsep}{ROOT}"
        done = subprocess.run(
            ["bash", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **self.env, "PATH": path, "PYTHONPATH": python},
            check=False,
            timeout=180,
        )
        return done.returncode, done.stdout

    def forget(self):
        """Have the files of the page imported anew; return the modules that were made of them."""
        forgotten = {}
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if file and Path(file).is_relative_to(self.folder):
                forgotten[name] = sys.modules.pop(name)
        return forgotten


def _next_shows_code(block, command):
    names = [one for one, _ in commands(block)]
    position = names.index(command)
    return names[position + 1 : position + 2] == ["echo $?"]
