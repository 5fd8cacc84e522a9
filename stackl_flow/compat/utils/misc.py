"""TaskFlow's `taskflow.utils.misc`: small things that programs import from there."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import importlib
import inspect
import io
import os
import pkgutil
import socket
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, Final

from stackl_flow.compat.utils.cached_property import cachedproperty
from stackl_flow.compat.utils.encoding import binary_decode, binary_encode, decode_json
from stackl_flow.compat.utils.uri import extract_driver_and_conf, merge_uri, parse_uri
from stackl_flow.failure import Failure

__all__ = [
    "NUMERIC_TYPES", "UNKNOWN_HOSTNAME", "BytesIO", "StrEnum", "StringIO", "as_int", "binary_decode",
    "binary_encode", "cachedproperty", "capture_failure", "clamp", "countdown_iter", "decode_json",
    "disallow_when_frozen", "extract_driver_and_conf", "find_subclasses", "fix_newlines", "get_hostname",
    "get_version_string", "is_iterable", "match_type", "merge_uri", "millis_to_datetime", "parse_uri",
    "pick_first_not_none", "reverse_enumerate", "safe_copy_dict", "sequence_minus",
]  # fmt: skip

UNKNOWN_HOSTNAME: Final = "<unknown>"
NUMERIC_TYPES: Final = (int, float)


class StringIO(io.StringIO):
    """A buffer of text."""

    def write_nl(self, value: str, linesep: str = os.linesep) -> None:
        """Write a line.

        Args:
            value: the line.
            linesep: what ends it.
        """
        self.write(value + linesep)


class BytesIO(io.BytesIO):
    """A buffer of bytes."""

    def reset(self) -> None:
        """Empty the buffer."""
        self.seek(0)
        self.truncate()


def get_hostname(unknown_hostname: str = UNKNOWN_HOSTNAME) -> str:
    """Return this machine's full name.

    Args:
        unknown_hostname: what to return when it has none.

    Returns:
        The name.
    """
    try:
        return socket.getfqdn() or unknown_hostname
    except OSError:
        return unknown_hostname


def match_type(obj: object, matchers: Iterable[tuple[Any, Any]]) -> Any:
    """Return what belongs to the first class that an object is of.

    Args:
        obj: the object.
        matchers: pairs of classes and what belongs to them.

    Returns:
        What was found, or None.
    """
    return next((found for classes, found in matchers if isinstance(obj, classes)), None)


def countdown_iter(start_at: int, decr: int = 1) -> Iterator[int]:
    """Count down while above zero.

    Args:
        start_at: the first number.
        decr: how much less each next one is.

    Yields:
        The numbers.

    Raises:
        ValueError: the numbers would not get less.
    """
    if decr <= 0:
        raise ValueError(f"Decrement value must be greater than zero and not {decr}")
    yield from range(start_at, 0, -decr)


def reverse_enumerate(items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Go over items and their places, last first.

    Args:
        items: the items.

    Returns:
        Pairs of place and item.
    """
    return ((place, items[place]) for place in reversed(range(len(items))))


def _of_class(objects: Iterable[object], base_cls: type) -> set[type]:
    return {found for found in objects if isinstance(found, type) and issubclass(found, base_cls)}


def find_subclasses(
    locations: Iterable[str | types.ModuleType | type], base_cls: type, exclude_hidden: bool = True
) -> set[type]:
    """Find the classes that derive from another.

    Args:
        locations: modules, or names of them; classes, or names of them as ``module:class``.
        base_cls: what they are to derive from.
        exclude_hidden: leave out those of a module that begin with an underscore.

    Returns:
        The classes.

    Raises:
        TypeError: a class that was named does not derive from it.
    """
    derived: set[type] = set()
    for location in locations:
        place: object = location
        if isinstance(location, str):
            by_name = pkgutil.resolve_name if ":" in location else importlib.import_module
            place = by_name(location)
        if isinstance(place, types.ModuleType):
            members = inspect.getmembers(place)
            shown = (found for name, found in members if not (exclude_hidden and name.startswith("_")))
            derived |= _of_class(shown, base_cls)
        elif _of_class([place], base_cls):
            derived |= _of_class([place], base_cls)
        else:
            raise TypeError(f"{location!r} is neither a module nor a subclass of {base_cls.__name__}")
    return derived


def pick_first_not_none(*values: Any) -> Any:
    """Return the first value that is not None.

    Args:
        values: any number of values.

    Returns:
        That value, or None.
    """
    return next((value for value in values if value is not None), None)


def disallow_when_frozen(excp_cls: type[Exception]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a decorator for methods that are refused while ``self.frozen``.

    Args:
        excp_cls: what is raised then.

    Returns:
        The decorator.
    """

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
            if self.frozen:
                raise excp_cls
            return method(self, *args, **kwargs)

        return guarded

    return decorate


def clamp(value: Any, minimum: Any, maximum: Any, on_clamped: Callable[[], object] | None = None) -> Any:
    """Bring a value between two bounds.

    Args:
        value: the value.
        minimum: the lower bound.
        maximum: the upper bound.
        on_clamped: called when the value was outside.

    Returns:
        The value, or the bound that it went over.

    Raises:
        ValueError: the lower bound is above the upper one.
    """
    if minimum > maximum:
        raise ValueError(f"minimum '{minimum}' must be less than or equal to maximum '{maximum}'")
    inside = min(max(value, minimum), maximum)
    if inside != value and on_clamped is not None:
        on_clamped()
    return inside


def fix_newlines(text: str, replacement: str = os.linesep) -> str:
    """Give all lines of a text the same ends.

    Args:
        text: the text.
        replacement: what lines are to end in.

    Returns:
        The text; the last line has no end.
    """
    return replacement.join(text.splitlines())


def millis_to_datetime(milliseconds: float | str) -> dt.datetime:
    """Make a time of milliseconds since 1970.

    Args:
        milliseconds: how many.

    Returns:
        The time, in this machine's zone and without naming it, as TaskFlow does.
    """
    return dt.datetime.fromtimestamp(float(milliseconds) / 1000)  # noqa: DTZ006  TaskFlow's is naive


def get_version_string(obj: object) -> str | None:
    """Return the version of a thing as text.

    Args:
        obj: the thing.

    Returns:
        Such as "1.0", or None where it has none.
    """
    version = getattr(obj, "version", None)
    if isinstance(version, (list, tuple)):
        return ".".join(map(str, version))
    return None if version is None else str(version)


def sequence_minus(seq1: Iterable[Any], seq2: Iterable[Any]) -> list[Any]:
    """Take the items of one list out of another, each as many times as it is there.

    Args:
        seq1: the items to take from.
        seq2: the items to take out.

    Returns:
        What is left, in its order.
    """
    left = list(seq1)
    for item in seq2:
        if item in left:
            left.remove(item)
    return left


def as_int(obj: Any, quiet: bool = False) -> Any:
    """Make a whole number of a thing such as "2" or "2.5".

    Args:
        obj: the thing.
        quiet: return it as it is when that cannot be done.

    Returns:
        The number.

    Raises:
        TypeError: that cannot be done.
    """
    for read in (int, lambda value: int(float(value))):
        with contextlib.suppress(ValueError, TypeError):
            return read(obj)
    if quiet:
        return obj
    raise TypeError(f"Can not translate '{obj}' ({type(obj).__name__}) to an integer")


@contextlib.contextmanager
def capture_failure() -> Iterator[Failure]:
    """Keep the error that is being handled while something else is done.

    Yields:
        The failure.

    Raises:
        RuntimeError: no error is being handled.
    """
    if sys.exception() is None:
        raise RuntimeError("No active exception is being handled")
    yield Failure()


def is_iterable(obj: object) -> bool:
    """Say whether one can go over a thing's items; text does not count.

    Args:
        obj: the thing.

    Returns:
        True when one can.
    """
    return isinstance(obj, Iterable) and not isinstance(obj, str)


def safe_copy_dict(obj: Any) -> dict[Any, Any]:
    """Copy a dictionary; what is empty becomes an empty one.

    Args:
        obj: the dictionary, or None.

    Returns:
        A new dictionary with the same values.
    """
    return dict(obj) if obj else {}
