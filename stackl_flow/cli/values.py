"""NAME=VALUE on the command line: JSON where it is JSON, text where it is not; secrets from safer places."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from getpass import getpass
from pathlib import Path
from typing import Any, Final

import typer

from stackl_flow import exceptions as exc


def pairs(texts: Iterable[str], option: str) -> dict[str, Any]:
    """Read the values of a repeatable option.

    Args:
        texts: each "NAME=VALUE"; the value is read as JSON when it is JSON (numbers, true, null, lists,
            objects, quoted text), else taken as text.
        option: the option's name, for messages.

    Returns:
        The values by name.

    Raises:
        BadParameter: a text has no name or no "=", or a name comes twice.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise typer.BadParameter(
                f"'{text}' is not NAME=VALUE, such as size=3 or title=hello", param_hint=option
            )
        if name in found:
            raise typer.BadParameter(f"'{name}' is given twice", param_hint=option)
        found[name] = _value(value)
    return found


@contextmanager
def naming_what_lacks() -> Iterator[None]:
    """Add to an error about missing values how they are given here.

    Raises:
        MissingDependencies: the error, with a note.
    """
    try:
        yield
    except exc.MissingDependencies as error:
        lacking = " ".join(f"--store {one}=VALUE" for one in error.missing_requirements)
        error.add_note(f"from here: {lacking}")
        raise


_OPTION: Final = "--secret"
_FROM_INPUT: Final = "@-"


def secrets(texts: Iterable[str], others: Iterable[str] = ()) -> dict[str, str]:
    """Read the values of ``--secret``; no message shows one of them.

    Args:
        texts: each "NAME=@FILE", "NAME=@-" for the standard input, "NAME" to be asked for it on the terminal,
            or "NAME=VALUE". The value is text, whatever it looks like; the line break at the end of a file is
            left out.
        others: names that have values already.

    Returns:
        The values by name.

    Raises:
        BadParameter: there is no name, it comes twice, or the value cannot be read.
    """
    found: dict[str, str] = {}
    taken = set(others)
    for text in texts:
        name, equals, source = text.partition("=")
        name = name.strip()
        if not name or any(character.isspace() for character in name):
            raise typer.BadParameter("write NAME=@FILE, NAME=@-, NAME or NAME=VALUE", param_hint=_OPTION)
        if name in taken:
            raise typer.BadParameter(f"'{name}' is given twice", param_hint=_OPTION)
        taken.add(name)
        found[name] = _secret(name, source) if equals else _asked(name)
    return found


def _secret(name: str, source: str) -> str:
    if not source.startswith("@"):
        return source
    try:
        text = sys.stdin.read() if source == _FROM_INPUT else Path(source[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise typer.BadParameter(
            f"cannot read '{name}' from the file '{source[1:]}': {why}", param_hint=_OPTION
        ) from None
    return text.removesuffix("\n").removesuffix("\r")


def _asked(name: str) -> str:
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            f"there is no terminal on which '{name}' could be asked for: write {name}=@FILE or {name}=@-",
            param_hint=_OPTION,
        )
    return getpass(f"{name}: ")


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text


def _no_constant(word: str) -> Any:
    # NaN and Infinity are words of Python's reader, not of JSON: whoever types them means the text.
    raise ValueError(word)
