"""Parses the values of options: NAME=VALUE pairs, secrets, times and addresses."""

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from getpass import getpass
from pathlib import Path
from typing import Any, Final

import typer

from stackl_flow import exceptions as exc
from stackl_flow.control import flows

_HINT: Final = "--secret"
_STDIN: Final = "@-"
_MAX_PORT: Final = 65_535


def parse_pairs(texts: Iterable[str], option: str) -> dict[str, Any]:
    """Parse the values of a repeatable NAME=VALUE option.

    A VALUE that is JSON (numbers, true, null, lists, objects, quoted text) is parsed, any other is text.

    Args:
        texts: the option's values.
        option: the option's name, for error messages.

    Raises:
        typer.BadParameter: a text has no name or no "=", or a name occurs twice.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise typer.BadParameter(
                f"'{text}' is not NAME=VALUE, such as size=3 or title=hello", param_hint=option
            )
        if name in values:
            raise typer.BadParameter(f"duplicate name '{name}'", param_hint=option)
        values[name] = _parse_value(value)
    return values


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_reject_constant)
    except ValueError:
        return text


def _reject_constant(name: str) -> Any:
    # NaN and Infinity are extensions of Python's parser, not JSON: on the command line they are text.
    raise ValueError(name)


@contextmanager
def hint_missing_inputs() -> Iterator[None]:
    """Add to an error about missing inputs how to pass them on the command line."""
    try:
        yield
    except exc.MissingDependencies as error:
        options = " ".join(f"--store {name}=VALUE" for name in error.missing_requirements)
        error.add_note(f"pass them with {options}")
        raise


def read_secrets(texts: Iterable[str], other_names: Iterable[str] = ()) -> dict[str, str]:
    """Read the values of `--secret`; no error message contains one of them.

    Args:
        texts: "NAME=@FILE", "NAME=@-" (standard input), "NAME" (prompt) or "NAME=VALUE". Values are text; the
            newline at the end of a file is removed.
        other_names: names that already have a value.

    Raises:
        typer.BadParameter: a name is missing or occurs twice, or a value cannot be read.
    """
    values: dict[str, str] = {}
    used = set(other_names)
    for text in texts:
        name, equals, source = text.partition("=")
        name = name.strip()
        if not name or any(character.isspace() for character in name):
            raise typer.BadParameter("write NAME=@FILE, NAME=@-, NAME or NAME=VALUE", param_hint=_HINT)
        if name in used:
            raise typer.BadParameter(f"duplicate name '{name}'", param_hint=_HINT)
        used.add(name)
        values[name] = _read_secret(name, source) if equals else _prompt(name)
    return values


def _read_secret(name: str, source: str) -> str:
    if not source.startswith("@"):
        return source
    try:
        text = sys.stdin.read() if source == _STDIN else Path(source[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise typer.BadParameter(
            f"cannot read '{name}' from the file '{source[1:]}': {reason}", param_hint=_HINT
        ) from None
    return text.removesuffix("\n").removesuffix("\r")


def _prompt(name: str) -> str:
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            f"cannot prompt for '{name}' without a terminal: pass {name}=@FILE or {name}=@-",
            param_hint=_HINT,
        )
    return getpass(f"{name}: ")


def parse_time(text: str | None, option: str) -> float | None:
    """Return the seconds since the epoch of "+SECONDS" from now or of ISO 8601 (UTC by default).

    Args:
        text: the option's value, or None.
        option: the option's name, for error messages.

    Raises:
        typer.BadParameter: the text is neither.
    """
    if text is None:
        return None
    if text.startswith("+"):
        with suppress(ValueError):
            return time.time() + float(text)
    return _parse_iso(text, option, "+90")


def parse_past(text: str | None, option: str) -> float | None:
    """Return the seconds since the epoch of a duration before now, such as "1h", or of ISO 8601 (UTC).

    Args:
        text: the option's value, or None.
        option: the option's name, for error messages.

    Raises:
        typer.BadParameter: the text is neither.
    """
    if text is None:
        return None
    with suppress(exc.InvalidFormat):
        return time.time() - flows.parse_duration(text)
    return _parse_iso(text, option, "1h")


def _parse_iso(text: str, option: str, other: str) -> float:
    """Parse ISO 8601; the error names another form that the option accepts, too."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"invalid time '{text}': write {other} or 2030-01-31T08:00:00Z", param_hint=option
        ) from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def parse_address(text: str, option: str) -> tuple[str, int]:
    """Parse "HOST:PORT", or ":PORT" for the loopback address; port 0 means any free port.

    Raises:
        typer.BadParameter: the text is neither.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > _MAX_PORT:
        raise typer.BadParameter(
            f"invalid address '{text}': write HOST:PORT, such as 127.0.0.1:8080", param_hint=option
        )
    return host or "127.0.0.1", int(port)
