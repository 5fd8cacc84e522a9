"""TaskFlow's `taskflow.utils.misc`."""

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
    """A text buffer."""

    def write_nl(self, value: str, linesep: str = os.linesep) -> None:
        """Write a line."""
        self.write(value + linesep)


class BytesIO(io.BytesIO):
    """A bytes buffer."""

    def reset(self) -> None:
        """Empty the buffer."""
        self.seek(0)
        self.truncate()


def get_hostname(unknown_hostname: str = UNKNOWN_HOSTNAME) -> str:
    """Return the fully qualified name of this machine, or ``unknown_hostname``."""
    try:
        return socket.getfqdn() or unknown_hostname
    except OSError:
        return unknown_hostname


def match_type(obj: object, matchers: Iterable[tuple[Any, Any]]) -> Any:
    """Return the value of the first pair of classes and value that the object is an instance of, or None."""
    return next((value for classes, value in matchers if isinstance(obj, classes)), None)


def countdown_iter(start_at: int, decr: int = 1) -> Iterator[int]:
    """Count down by ``decr`` while greater than zero.

    Raises:
        ValueError: ``decr`` is not positive.
    """
    if decr <= 0:
        raise ValueError(f"Decrement value must be greater than zero and not {decr}")
    yield from range(start_at, 0, -decr)


def reverse_enumerate(items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Iterate over pairs of index and item, last first."""
    return ((index, items[index]) for index in reversed(range(len(items))))


def _subclasses(objects: Iterable[object], base_cls: type) -> set[type]:
    return {item for item in objects if isinstance(item, type) and issubclass(item, base_cls)}


def find_subclasses(
    locations: Iterable[str | types.ModuleType | type], base_cls: type, exclude_hidden: bool = True
) -> set[type]:
    """Return the subclasses of a class.

    Args:
        locations: modules or their names; classes, or their names as ``module:class``.
        base_cls: the base class.
        exclude_hidden: skip members of modules whose names begin with an underscore.

    Raises:
        TypeError: a given class is not a subclass.
    """
    derived: set[type] = set()
    for location in locations:
        target: object = location
        if isinstance(location, str):
            resolve = pkgutil.resolve_name if ":" in location else importlib.import_module
            target = resolve(location)
        if isinstance(target, types.ModuleType):
            members = inspect.getmembers(target)
            visible = (member for name, member in members if not (exclude_hidden and name.startswith("_")))
            derived |= _subclasses(visible, base_cls)
        elif _subclasses([target], base_cls):
            derived |= _subclasses([target], base_cls)
        else:
            raise TypeError(f"{location!r} is neither a module nor a subclass of {base_cls.__name__}")
    return derived


def pick_first_not_none(*values: Any) -> Any:
    """Return the first value that is not None, or None."""
    return next((value for value in values if value is not None), None)


def disallow_when_frozen(excp_cls: type[Exception]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator for methods that raise ``excp_cls`` while ``self.frozen`` is true."""

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            if self.frozen:
                raise excp_cls
            return method(self, *args, **kwargs)

        return wrapper

    return decorate


def clamp(value: Any, minimum: Any, maximum: Any, on_clamped: Callable[[], object] | None = None) -> Any:
    """Limit a value to a range.

    Args:
        value: the value.
        minimum: the lower bound.
        maximum: the upper bound.
        on_clamped: called if the value is outside the range.

    Raises:
        ValueError: the lower bound is greater than the upper one.
    """
    if minimum > maximum:
        raise ValueError(f"minimum '{minimum}' must be less than or equal to maximum '{maximum}'")
    clamped = min(max(value, minimum), maximum)
    if clamped != value and on_clamped is not None:
        on_clamped()
    return clamped


def fix_newlines(text: str, replacement: str = os.linesep) -> str:
    """Replace all line breaks of a text; the last line has none."""
    return replacement.join(text.splitlines())


def millis_to_datetime(milliseconds: float | str) -> dt.datetime:
    """Convert milliseconds since 1970 to a naive local time, as TaskFlow does."""
    return dt.datetime.fromtimestamp(float(milliseconds) / 1000)  # noqa: DTZ006  TaskFlow's is naive


def get_version_string(obj: object) -> str | None:
    """Return the version of an object as text, such as "1.0", or None."""
    version = getattr(obj, "version", None)
    if isinstance(version, (list, tuple)):
        return ".".join(map(str, version))
    return None if version is None else str(version)


def sequence_minus(seq1: Iterable[Any], seq2: Iterable[Any]) -> list[Any]:
    """Return the items of one list without those of another; duplicates count separately."""
    result = list(seq1)
    for item in seq2:
        if item in result:
            result.remove(item)
    return result


def as_int(obj: Any, quiet: bool = False) -> Any:
    """Convert a value such as "2" or "2.5" to an integer.

    Args:
        obj: the value.
        quiet: return the value itself if it cannot be converted.

    Raises:
        TypeError: the value cannot be converted.
    """
    for convert in (int, lambda value: int(float(value))):
        with contextlib.suppress(ValueError, TypeError):
            return convert(obj)
    if quiet:
        return obj
    raise TypeError(f"cannot convert '{obj}' ({type(obj).__name__}) to an integer")


@contextlib.contextmanager
def capture_failure() -> Iterator[Failure]:
    """Yield the failure of the exception being handled.

    Raises:
        RuntimeError: no exception is being handled.
    """
    if sys.exception() is None:
        raise RuntimeError("No active exception is being handled")
    yield Failure()


def is_iterable(obj: object) -> bool:
    """Return whether an object is iterable; text does not count."""
    return isinstance(obj, Iterable) and not isinstance(obj, str)


def safe_copy_dict(obj: Any) -> dict[Any, Any]:
    """Copy a dictionary; None becomes an empty one."""
    return dict(obj) if obj else {}
