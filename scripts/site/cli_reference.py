"""Writes the page `reference/cli.md` from the commands themselves: every command, every option."""

import enum
import re
from collections.abc import Iterator
from typing import Any

import typer

from stackl_flow.cli import errors
from stackl_flow.cli.app import app

PROGRAM = "stackl-flow"


def page(template: str) -> str:
    """Write the page.

    Args:
        template: the page, with a comment where the commands belong and another for the exit codes.
    """
    root = typer.main.get_command(app)
    parts = ["## Global options\n", _options(root), *_commands(root)]
    codes = [f"| {int(code)} | {_cell(meaning)} |" for code, meaning in errors.EXIT_CODES.items()]
    generated = {
        "<!-- the commands -->": "\n".join(part for part in parts if part),
        "<!-- the exit codes -->": "\n".join(["| code | meaning |", "|---|---|", *codes]),
    }
    for comment, text in generated.items():
        if comment not in template:
            raise ValueError(f"docs/reference/cli.md has no line {comment}")
        template = template.replace(comment, text)
    return template


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Find all commands except groups, each with its path."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from leaves(child, (*path, name))


def _commands(root: Any) -> Iterator[str]:
    for path, command in leaves(root):
        if getattr(command, "hidden", False):
            continue
        name = " ".join(path)
        arguments = [one for one in command.params if type(one).__name__.endswith("Argument")]
        usage = " ".join(["", *(_usage(one) for one in arguments)])
        yield f"## {name}\n"
        yield f"```text\n{PROGRAM} {name}{usage} [OPTIONS]\n```\n"
        yield _help(command.help or "")
        if arguments:
            yield "| argument | meaning |\n|---|---|"
            yield "\n".join(f"| `{_metavar(one)}` | {_cell(one.help)} |" for one in arguments) + "\n"
        yield _options(command)


def _usage(argument: Any) -> str:
    name = _metavar(argument)
    return name if argument.required else f"[{name}]"


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _options(command: Any) -> str:
    rows = [_row(one) for one in command.params if not type(one).__name__.endswith("Argument")]
    rows = [row for row in rows if row]
    if not rows:
        return ""
    return "\n".join(["| option | meaning |", "|---|---|", *rows]) + "\n"


def _row(option: Any) -> str:
    if getattr(option, "hidden", False) or "--help" in option.opts:
        return ""
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    choices = _choices(option)
    if not option.is_flag:
        value = option.metavar or ("\\|".join(choices) if choices else _type_name(option))
        names = (
            f"{names} `{value}`"
            if "\\|" not in value
            else f"{names} " + " \\| ".join(f"`{x}`" for x in choices)
        )
    meaning = _cell(option.help)
    default = option.default
    if isinstance(default, enum.Enum):
        default = default.value
    if default not in {None, False, (), ""} and not callable(default) and "efault" not in meaning:
        meaning += f" Default: `{default}`."
    if option.envvar:
        variables = [option.envvar] if isinstance(option.envvar, str) else option.envvar
        meaning += f" Environment: {', '.join(f'`{one}`' for one in variables)}."
    return f"| {names} | {meaning} |"


def _annotation(option: Any) -> Any:
    return getattr(getattr(option, "type_descriptor", None), "annotation", None)


def _choices(option: Any) -> list[str]:
    kind = _annotation(option)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return [str(member.value) for member in kind]
    return []


def _type_name(option: Any) -> str:
    names = {int: "INTEGER", float: "NUMBER", str: "TEXT"}
    return names.get(_annotation(option), "TEXT")


def _cell(text: str | None) -> str:
    return _markdown(" ".join((text or "").split())).replace("|", "\\|")


def _markdown(text: str) -> str:
    text = re.sub(r"\[bold\](.*?)\[/bold\]", r"**\1**", text)
    return re.sub(r"\[/?(?:dim|italic|cyan|green|red|yellow)\]", "", text)


def _help(text: str) -> str:
    """Turn a help text into Markdown: its indented command lines become one block."""
    parts: list[str] = []
    examples: list[str] = []

    def end_block() -> None:
        if examples:
            parts.append("```console\n" + "\n".join(f"$ {line}" for line in examples) + "\n```\n")
            examples.clear()

    for paragraph in text.split("\n\n"):
        lines = [line.strip() for line in paragraph.splitlines()]
        if all(line.startswith((PROGRAM, "export ")) for line in lines):
            examples.extend(lines)
            continue
        end_block()
        parts.append(_markdown(paragraph) + "\n")
    end_block()
    return "\n".join(parts)
