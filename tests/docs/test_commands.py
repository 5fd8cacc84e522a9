"""Commands on pages parse, and the generated reference has every option and exit code."""

import shlex
import sys

import pytest
import typer

from stackl_flow.cli import errors
from stackl_flow.cli.app import app
from tests.docs.pages import PAGES, ROOT, blocks, commands

COMMAND = typer.main.get_command(app)


def parse(arguments):
    """Have the command line parse a command, without running it."""
    command, name, arguments = COMMAND, "stackl-flow", [word for word in arguments if word != "--debug"]
    while hasattr(command, "commands"):
        name = arguments.pop(0)
        command = command.commands[name]
    return name, command.make_context(name, arguments).params


def shown():
    for page in PAGES:
        for block in blocks(page):
            if block.language == "console":
                for line, _ in commands(block):
                    arguments = shlex.split(line, comments=True)
                    if arguments and arguments[0] == "stackl-flow":
                        yield pytest.param(arguments[1:], id=f"{block.where}: {line[:60]}")


@pytest.mark.parametrize("arguments", list(shown()))
def test_a_command_on_a_page_parses(arguments):
    parse(arguments)


def test_there_are_many_commands_on_pages():
    assert len(list(shown())) > 10


@pytest.fixture(scope="module")
def reference():
    sys.path.insert(0, str(ROOT / "scripts" / "site"))
    try:
        import cli_reference
    finally:
        sys.path.pop(0)
    return cli_reference.page((ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8"))


def leaves(group, arguments=()):
    found = getattr(group, "commands", None)
    if found is None:
        yield " ".join(arguments), group
        return
    for name, child in found.items():
        yield from leaves(child, (*arguments, name))


@pytest.mark.parametrize("name", [name for name, _ in leaves(COMMAND)])
def test_every_option_of_a_command_is_in_its_section(reference, name):
    _, found, section = reference.partition(f"\n## {name}\n")
    assert found
    section = section.partition("\n## ")[0]
    command = dict(leaves(COMMAND))[name]
    missing = [
        option
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") and option != "--help" and f"`{option}`" not in section
    ]
    assert not missing
    assert (command.help or "").split()[0] in section


def test_every_global_option_is_in_the_reference(reference):
    for parameter in COMMAND.params:
        assert f"`{parameter.opts[0]}`" in reference


def test_every_exit_code_is_in_the_reference(reference):
    for code, meaning in errors.EXIT_CODES.items():
        assert f"| {int(code)} | {meaning}" in reference
