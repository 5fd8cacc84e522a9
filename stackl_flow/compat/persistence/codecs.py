"""How values are stored that our codec refuses and TaskFlow does not.

TaskFlow's memory keeps any object, in a copy. Its other backends make JSON of much that is not quite JSON:
of a named tuple a list, of an ordered dictionary a plain one. Programs lean on both, so both are done here;
what our codec knows is still stored by it, and comes back as it was.
"""

from __future__ import annotations

import inspect
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from stackl_flow import codec as codecs
from stackl_flow import exceptions as exc

_AS_TEXT: Final = (ipaddress.IPv4Address, ipaddress.IPv6Address)
_SCALARS: Final[tuple[Callable[[Any], Any], ...]] = (str.__str__, int.__int__, float.__float__)
_EXACT: Final = (str, int, float)


class _Kept(str):
    """What stands in a row of text for a value that has none; the row carries the value itself."""

    __slots__ = ("value",)

    value: Any


class Keeping:
    """A codec for places in this process: a value without a JSON form is kept itself.

    Args:
        copier: makes the copy that is kept, and the one that is given back.
    """

    def __init__(self, copier: Callable[[Any], Any]) -> None:
        self._copy = copier

    def encode(self, value: Any) -> str:
        """Turn a value into text, or into what stands for it.

        Args:
            value: the value.

        Returns:
            The text.

        Raises:
            NotSerializable: it has neither a JSON form nor a copy.
        """
        try:
            return codecs.encode(value)
        except exc.NotSerializable as error:
            text = _Kept("(a value kept as it is)")
            try:
                text.value = self._copy(value)
            except TypeError:  # a lock, a file, a connection: nothing of which there can be two
                raise error from None
            return text

    def decode(self, text: str) -> Any:
        """Turn text back into the value.

        Args:
            text: what ``encode`` gave.

        Returns:
            The value.
        """
        return self._copy(text.value) if isinstance(text, _Kept) else codecs.decode(text)


class Plain:
    """A codec for places outside: a value without a JSON form is stored as the plain one that is nearest."""

    decode = staticmethod(codecs.decode)

    @staticmethod
    def encode(value: Any) -> str:
        """Turn a value into text.

        Args:
            value: the value.

        Returns:
            The text.

        Raises:
            NotSerializable: nothing plain is near it.
        """
        try:
            return codecs.encode(value)
        except exc.NotSerializable:
            return codecs.encode(plain(value))


def plain(value: Any, depth: int = codecs.MAX_DEPTH) -> Any:
    """Make the plain value that is nearest to one without a JSON form, as TaskFlow's JSON library does.

    Args:
        value: the value.
        depth: how many containers may be inside each other.

    Returns:
        A value that is made of dictionaries, lists and what our codec knows.

    Raises:
        NotSerializable: nothing plain is near it, or it contains itself.
    """
    if isinstance(value, Mapping) and depth:
        return {plain(key, depth - 1): plain(item, depth - 1) for key, item in value.items()}
    if type(value) in (tuple, set, frozenset) and depth:
        return type(value)(plain(item, depth - 1) for item in value)
    if type(value) is not list:
        try:
            codecs.encode(value)
        except exc.NotSerializable:
            if (near := _near(value)) is not None:
                return near
            if not isinstance(value, Iterable):
                raise
        else:
            return value
    if not depth:
        codecs.encode(value)  # says what is wrong with a value that contains itself
    return [plain(item, depth - 1) for item in value]


def _near(value: Any) -> Any:
    """Find the plain scalar that is nearest to a value; None if there is none."""
    for kind, make in zip(_EXACT, _SCALARS, strict=True):
        if isinstance(value, kind):
            return make(value)
    if isinstance(value, BaseException):
        return repr(value)
    if isinstance(value, (*_AS_TEXT, type)) or inspect.isroutine(value) or inspect.isgenerator(value):
        return str(value)
    return None
