"""NAME=VALUE on the command line: JSON where it is JSON, text where it is not."""

import json
from collections.abc import Iterable
from typing import Any

import typer


def pairs(texts: Iterable[str], option: str) -> dict[str, Any]:
    """Read the values of a repeatable option.

    Args:
        texts: each "NAME=VALUE"; the value is read as JSON when it is JSON (numbers, true, null, lists,
        objects,
            quoted text), else taken as text.
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


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text


def _no_constant(word: str) -> Any:
    # NaN and Infinity are words of Python's reader, not of JSON: whoever types them means the text.
    raise ValueError(word)
