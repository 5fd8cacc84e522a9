"""The examples in help texts are commands, and a shell completes them."""

import re
import shlex

import pytest
import typer
from typer.testing import CliRunner

from stackl_flow.cli.app import app

COMMAND = typer.main.get_command(app)


def parse(arguments):
    """Have the command line parse a command, without running it."""
    command, name, arguments = COMMAND, "stackl-flow", [each for each in arguments if each != "--debug"]
    while hasattr(command, "commands"):
        name = arguments.pop(0)
        command = command.commands[name]
    return name, command.make_context(name, arguments).params


@pytest.mark.parametrize("name", ["run", "resume", "list", "show", "history", "graph", "post", "conduct"])
def test_the_examples_in_a_help_text_are_commands(name, invoke):
    examples = re.findall(r"^ +(stackl-flow .*)$", invoke(name, "--help", COLUMNS="300").out, re.MULTILINE)
    assert examples
    for example in examples:
        assert parse(shlex.split(example)[1:])[0] == name


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("jo", ["jobs"]),
        ("jobs ", ["list", "show", "watch", "trash", "requeue", "unreadable", "discard", "restore"]),
        ("conduct --eng", ["--engine"]),
        ("conduct --engine ", ["serial", "parallel"]),
        ("jobs list --state de", ["dead"]),
        ("post --priority V", ["VERY_HIGH", "VERY_LOW"]),
        ("list --state SUS", ["SUSPENDED", "SUSPENDING"]),
    ],
)
def test_shell_completion(line, offered):
    typed = f"stackl-flow {line}"
    variables = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1)}
    variables["_STACKL_FLOW_COMPLETE"] = "complete_bash"
    result = CliRunner().invoke(app, [], env=variables, prog_name="stackl-flow")
    assert result.stdout.split() == offered
