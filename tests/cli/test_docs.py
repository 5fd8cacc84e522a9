"""What the pages say about the command line is so: each command in them is one that it takes."""

import configparser
import re
import shlex
from pathlib import Path

import pytest
import typer

from stackl_flow.cli import errors
from stackl_flow.cli.app import app
from tests.cli.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = typer.main.get_command(app)


def check(words):
    """Have the command line read a command, as far as running it."""
    command, name, words = COMMAND, "stackl-flow", [word for word in words if word != "--debug"]
    while hasattr(command, "commands"):
        name = words.pop(0)
        command = command.commands[name]
    return name, command.make_context(name, words).params


def blocks(page, kind):
    return re.findall(rf"```{kind}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def commands():
    for page in PAGES:
        for block in blocks(page, "console"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words and words[0] == "stackl-flow":
                    yield pytest.param(words[1:], id=f"{page.name}: {line[:60]}")


@pytest.mark.parametrize("words", list(commands()))
def test_a_command_on_a_page_is_one(words):
    check(words)


def test_there_are_many():
    assert len(list(commands())) > 10


@pytest.mark.parametrize("name", ["run", "resume", "list", "show", "history", "graph", "post", "conduct"])
def test_the_examples_in_a_help_text_are_commands(name, give):
    examples = re.findall(r"^ +(stackl-flow .*)$", give(name, "--help", COLUMNS="300").out, re.MULTILINE)
    assert examples
    for example in examples:
        assert check(shlex.split(example)[1:])[0] == name


def test_every_option_of_a_command_is_on_the_page():
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    common = {"--help", "--version", "--install-completion", "--show-completion"}
    missing = [
        f"{command.name} {option}"
        for command in leaves(COMMAND)
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") and option not in common and option not in page
    ]
    assert not missing


def leaves(group):
    found = getattr(group, "commands", None)
    return [group] if found is None else [leaf for one in found.values() for leaf in leaves(one)]


def test_every_exit_code_is_on_the_page():
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for code, words in errors.ABOUT.items():
        assert f"| {int(code)} | {words}".replace("--debug", "`--debug`") in page


def test_the_unit_of_systemd_starts_a_conductor():
    (text,) = [block for block in blocks(ROOT / "docs" / "conductors.md", "ini") if "ExecStart" in block]
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read_string(text)
    service = unit["Service"]
    program, *words = shlex.split(service["ExecStart"].replace("%H", "host").replace("%i", "1"))
    assert Path(program).name == "stackl-flow"
    given = dict(pair.split("=", 1) for pair in shlex.split(service["Environment"]))
    assert given.keys() == {"STACKL_FLOW_BOARD", "STACKL_FLOW_DB"}
    name, params = check(words)
    assert (name, params["name"], params["jobs"]) == ("conduct", "host-1", 4)
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > 0


def test_the_deployment_of_kubernetes_starts_a_conductor():
    (text,) = [block for block in blocks(ROOT / "docs" / "conductors.md", "yaml") if "Deployment" in block]
    (line,) = re.findall(r"command: \[(.*)\]", text)
    program, *words = [word.strip().strip('"') for word in line.split(",")]
    assert program == "stackl-flow"
    name, params = check([word.replace("$(POD)", "pod-1") for word in words])
    assert (name, params["name"], params["listen"]) == ("conduct", "pod-1", "0.0.0.0:8080")
    assert params["listen"].endswith(re.findall(r"port: (\d+)", text)[0])
    assert set(re.findall(r"name: (STACKL_\w+)", text)) == {"STACKL_FLOW_BOARD", "STACKL_FLOW_DB"}


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("jo", ["jobs"]),
        ("jobs ", ["list", "show", "watch", "trash", "requeue"]),
        ("conduct --eng", ["--engine"]),
        ("conduct --engine ", ["serial", "parallel"]),
        ("jobs list --state de", ["dead"]),
        ("post --priority V", ["VERY_HIGH", "VERY_LOW"]),
        ("list --state SUS", ["SUSPENDED", "SUSPENDING"]),
    ],
)
def test_a_shell_is_offered_words(start, finish, line, offered):
    words = f"stackl-flow {line}"
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    answer = finish(start("ignored", _STACKL_FLOW_COMPLETE="complete_bash", **asked))
    assert answer.out.split() == offered
