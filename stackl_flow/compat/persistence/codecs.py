"""Codecs for values that the default codec rejects and TaskFlow stores.

TaskFlow's memory backend keeps a copy of any object. Its other backends convert values that are almost
JSON: a named tuple to a list, an ordered dictionary to a plain one. Programs depend on both. Values that
the default codec supports are encoded by it, and keep their types.
"""

from __future__ import annotations

import inspect
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from stackl_flow import codec as codecs
from stackl_flow import exceptions as exc

_AS_TEXT: Final = (ipaddress.IPv4Address, ipaddress.IPv6Address)
_CONVERTERS: Final[tuple[Callable[[Any], Any], ...]] = (str.__str__, int.__int__, float.__float__)
_SCALAR_TYPES: Final = (str, int, float)


class _ObjectText(str):
    """The text of a value without a JSON representation; carries the value itself."""

    __slots__ = ("value",)

    value: Any


class CopyingCodec:
    """A codec for stores in this process: keeps values without a JSON representation themselves.

    Args:
        copier: copies such a value when it is stored and when it is read.
    """

    def __init__(self, copier: Callable[[Any], Any]) -> None:
        self._copy = copier

    def encode(self, value: Any) -> str:
        """Return the text of a value.

        Raises:
            NotSerializable: the value has no JSON representation and cannot be copied.
        """
        try:
            return codecs.encode(value)
        except exc.NotSerializable as error:
            text = _ObjectText("(an object without JSON representation)")
            try:
                text.value = self._copy(value)
            except TypeError:  # a lock, file or connection cannot be copied
                raise error from None
            return text

    def decode(self, text: str) -> Any:
        """Return the value of a text of `encode`."""
        return self._copy(text.value) if isinstance(text, _ObjectText) else codecs.decode(text)


class PlainCodec:
    """A codec for other stores: converts values without a JSON representation to plain ones."""

    decode = staticmethod(codecs.decode)

    @staticmethod
    def encode(value: Any) -> str:
        """Return the text of a value.

        Raises:
            NotSerializable: the value cannot be converted.
        """
        try:
            return codecs.encode(value)
        except exc.NotSerializable:
            return codecs.encode(to_plain(value))


def to_plain(value: Any, depth: int = codecs.MAX_DEPTH) -> Any:
    """Convert a value without a JSON representation to the closest plain value, as oslo.serialization does.

    Args:
        value: the value.
        depth: the maximum nesting depth.

    Returns:
        A value that consists of dictionaries, lists and types that the default codec supports.

    Raises:
        NotSerializable: the value cannot be converted, or contains itself.
    """
    if isinstance(value, Mapping) and depth:
        return {to_plain(key, depth - 1): to_plain(item, depth - 1) for key, item in value.items()}
    if type(value) in (tuple, set, frozenset) and depth:
        return type(value)(to_plain(item, depth - 1) for item in value)
    if type(value) is not list:
        try:
            codecs.encode(value)
        except exc.NotSerializable:
            if (scalar := _to_scalar(value)) is not None:
                return scalar
            if not isinstance(value, Iterable):
                raise
        else:
            return value
    if not depth:
        codecs.encode(value)  # raises the error for a value that contains itself
    return [to_plain(item, depth - 1) for item in value]


def _to_scalar(value: Any) -> Any:
    """Return the closest plain scalar, or None."""
    for kind, convert in zip(_SCALAR_TYPES, _CONVERTERS, strict=True):
        if isinstance(value, kind):
            return convert(value)
    if isinstance(value, BaseException):
        return repr(value)
    if isinstance(value, (*_AS_TEXT, type)) or inspect.isroutine(value) or inspect.isgenerator(value):
        return str(value)
    return None
