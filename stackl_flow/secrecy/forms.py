"""The texts under which a value may show itself."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

#: Shorter texts, and numbers, are only taken for a secret where they stand alone.
_LONG: Final = 4
#: A line of a long secret, such as a key file, is one of its own from so many characters on.
_LINE: Final = 8


class Form(NamedTuple):
    """A text under which a secret may show itself, and whether it counts only where it stands alone."""

    text: str
    alone: bool

    @property
    def pattern(self) -> str:
        """A regular expression for the text, also as Python, JSON, HTML and addresses write it.

        Each of them may have quoted what another one made, so any number of backslashes goes.
        """
        return "".join(map(_spelled, self.text))


def forms_of(value: Any, seen: AbstractSet[int] = frozenset()) -> Iterator[Form]:
    """List the texts under which a value may show itself.

    Args:
        value: the value; what it holds counts, too. Truth values and single characters are left out: they
            are in every text.
        seen: what the value lies in.

    Yields:
        The forms.
    """
    if value is None or isinstance(value, bool) or id(value) in seen:
        return
    if isinstance(value, str):
        yield from _of_text(value)
    elif isinstance(value, bytes | bytearray):
        yield from _of_bytes(bytes(value))
    elif (parts := _parts(value)) is not None:
        for part in parts:
            yield from forms_of(part, seen | {id(value)})
    elif len(str(value)) > 1:
        yield Form(str(value), isinstance(value, int | float))


def _parts(value: Any) -> Iterable[Any] | None:
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    return None


def _of_text(value: str) -> Iterator[Form]:
    plain = value.strip()
    if len(plain) < _LONG:
        if len(plain) > 1:
            yield Form(plain, True)
        return
    for text in {value, plain, *(line for line in plain.splitlines() if len(line) >= _LINE)}:
        yield Form(text, False)


def _of_bytes(value: bytes) -> Iterator[Form]:
    if len(value) < _LONG:
        return
    yield Form(repr(value)[2:-1], False)
    yield Form(value.hex(), False)
    yield Form(base64.b64encode(value).decode(), False)
    try:
        yield from _of_text(value.decode())
    except UnicodeDecodeError:
        return


#: Bytes of a character that UTF-16 needs no pair for.
_ONE_UNIT: Final = 2
_CONTROLS: Final = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
#: What `html.escape` makes of them; that module reads two thousand others when it is imported.
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}
# Each may have been written once more by the next.
_PERCENT: Final = "%(?:25)*"
_SLASH: Final = rf"(?:\\|{_PERCENT}5[Cc])"


def _spelled(character: str) -> str:
    """Write a regular expression for a character and what it may have been turned into."""
    if character.isascii() and character.isalnum():
        return character
    if character == "\\":
        return f"{_SLASH}+"
    code, pair = ord(character), character.encode("utf-16-be", "surrogatepass")
    data = character.encode(errors="surrogatepass")
    percent = "".join(f"{_PERCENT}(?i:{byte:02x})" for byte in data)
    entity = re.escape(_ENTITIES.get(character, character)).replace("&", "&(?:amp;)*")
    ways = {
        f"{_SLASH}*(?:{re.escape(character)}|{percent}|{entity})",
        rf"{_SLASH}+(?:x{code:02x}|u{code:04x}|U{code:08x})",
    }
    if character == " ":
        ways.add(r"\+")
    if character in _CONTROLS:
        ways.add(f"{_SLASH}+{_CONTROLS[character]}")
    if len(pair) > _ONE_UNIT:
        ways.add("".join(rf"{_SLASH}+u{pair[at : at + 2].hex()}" for at in (0, 2)))
    return f"(?:{'|'.join(sorted(ways, key=len, reverse=True))})"
