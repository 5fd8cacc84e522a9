"""A failure: what went wrong, kept so that it can be read, stored, sent and raised again."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, NoReturn

from stackl_flow import exceptions as exc

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def _full_name(kind: type) -> str:
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _type_names(kind: type[BaseException]) -> tuple[str, ...]:
    return tuple(_full_name(base) for base in kind.__mro__ if base not in (object, BaseException))


class Failure:
    """What is known of an error, with the live error itself while still in its process.

    The dictionary form is the one that TaskFlow's workers exchange (format version 1).

    Args:
        exc_info: what ``sys.exc_info()`` gave; the error being handled if left out.

    Attributes:
        exception_str: the error's message.
        exception_args: its arguments.
        exc_type_names: full names of its class and the bases of that, nearest first.

    Raises:
        ValueError: there is no error to take.
        TypeError: the error is none that a flow may swallow.
    """

    DICT_VERSION = 1

    __slots__ = (
        "_causes",
        "_exc_info",
        "_traceback_str",
        "exc_type_names",
        "exception_args",
        "exception_str",
    )

    def __init__(self, exc_info: ExcInfo | None = None) -> None:
        if exc_info is None:
            kind, error, where = sys.exc_info()
            if kind is None or error is None:
                raise ValueError("Failure() needs an error: call it in an except block or pass exc_info=")
            exc_info = (kind, error, where)
        if not isinstance(exc_info[1], Exception):
            raise TypeError(f"Failure takes errors that derive from Exception, not {exc_info[0].__name__}")
        self._exc_info: ExcInfo | None = exc_info
        self.exception_str = str(exc_info[1])
        self.exception_args: tuple[Any, ...] = tuple(exc_info[1].args)
        self.exc_type_names = _type_names(exc_info[0])
        self._traceback_str: str | None = None
        self._causes: tuple[Failure, ...] | None = None

    @classmethod
    def from_exception(cls, exception: BaseException) -> Failure:
        """Make a failure of an error that was caught or made elsewhere.

        Args:
            exception: the error.

        Returns:
            The failure.
        """
        return cls((type(exception), exception, exception.__traceback__))

    @property
    def exception(self) -> BaseException | None:
        """The live error, or None when this failure came from storage or from afar."""
        return self._exc_info[1] if self._exc_info else None

    @property
    def exc_info(self) -> ExcInfo | None:
        """Type, error and traceback of the live error, or None."""
        return self._exc_info

    @property
    def traceback_str(self) -> str:
        """The traceback as text."""
        if self._traceback_str is None:
            where = self._exc_info[2] if self._exc_info else None
            self._traceback_str = "".join(traceback.format_tb(where)) if where else ""
        return self._traceback_str

    @property
    def causes(self) -> tuple[Failure, ...]:
        """The chain of errors that led to this one, nearest first."""
        if self._causes is None:
            found: list[Failure] = []
            seen: set[int] = set()
            error = self.exception
            while error is not None:
                seen.add(id(error))
                hidden = error.__suppress_context__  # set by "raise ... from"
                error = error.__cause__ if hidden else error.__context__
                if error is None or id(error) in seen or not isinstance(error, Exception):
                    break
                found.append(Failure.from_exception(error))
            self._causes = tuple(found)
        return self._causes

    def check(self, *exc_classes: type[BaseException] | str) -> type[BaseException] | str | None:
        """Find out whether the error is of one of these classes.

        Args:
            exc_classes: exception classes, or their full names.

        Returns:
            The first class that matched, or None.
        """
        for wanted in exc_classes:
            name = wanted if isinstance(wanted, str) else _full_name(wanted)
            if name in self.exc_type_names:
                return wanted
        return None

    def matches(self, other: object) -> bool:
        """Say whether another failure tells of the same error, live or not.

        Args:
            other: what to compare with.

        Returns:
            True when message, classes and causes agree.
        """
        return (
            isinstance(other, Failure)
            and self.exc_type_names == other.exc_type_names
            and self.exception_str == other.exception_str
            and len(self.causes) == len(other.causes)
            and all(a.matches(b) for a, b in zip(self.causes, other.causes, strict=True))
        )

    def reraise(self) -> NoReturn:
        """Raise the error again: itself while it is live, else wrapped.

        Raises:
            WrappedFailure: the live error is gone.
        """
        if self._exc_info is not None:
            raise self._exc_info[1].with_traceback(self._exc_info[2])
        raise exc.WrappedFailure([self])

    @staticmethod
    def reraise_if_any(failures: Iterable[Failure]) -> None:
        """Raise what the failures tell of: one as itself, several as one wrapped error.

        Args:
            failures: any number of failures.

        Raises:
            WrappedFailure: there are several.
        """
        known = list(failures)
        if len(known) == 1:
            known[0].reraise()
        if known:
            raise exc.WrappedFailure(known)

    def to_dict(self, include_args: bool = True) -> dict[str, Any]:
        """Turn this failure into plain data.

        Args:
            include_args: keep the error's arguments too.

        Returns:
            A dictionary that ``from_dict`` reads.
        """
        return {
            "exception_str": self.exception_str,
            "traceback_str": self.traceback_str,
            "exc_type_names": list(self.exc_type_names),
            "version": self.DICT_VERSION,
            "exc_args": self.exception_args if include_args else (),
            "causes": [cause.to_dict(include_args=include_args) for cause in self.causes],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Failure:
        """Rebuild a failure from plain data.

        Args:
            data: what ``to_dict`` gave.

        Returns:
            The failure, without a live error.

        Raises:
            InvalidFormat: the data is not a failure of a version known here.
        """
        if "exc_type_names" not in data:
            raise exc.InvalidFormat(f"that is not a stored failure: {data!r:.200}")
        if data.get("version", cls.DICT_VERSION) != cls.DICT_VERSION:
            raise exc.InvalidFormat(
                f"stored failure has version {data['version']}, this code reads {cls.DICT_VERSION}"
            )
        self = cls.__new__(cls)
        self._exc_info = None
        self.exception_str = str(data.get("exception_str", ""))
        self.exception_args = tuple(data.get("exc_args") or ())
        self.exc_type_names = tuple(data["exc_type_names"])
        self._traceback_str = data.get("traceback_str") or ""
        self._causes = tuple(cls.from_dict(cause) for cause in data.get("causes") or ())
        return self

    def pformat(self, traceback: bool = False) -> str:
        """Write the failure out.

        Args:
            traceback: put the traceback below.

        Returns:
            The text.
        """
        text = f"Failure: {self.exc_type_names[0]}: {self.exception_str}"
        if not traceback:
            return text
        below = self.traceback_str or "  (no traceback was kept)\n"
        return f"{text}\nTraceback (most recent call last):\n{below}".rstrip()

    def __str__(self) -> str:
        """Say what went wrong in one line."""
        return self.pformat()

    def __repr__(self) -> str:
        """Say what went wrong in one line."""
        return f"<{self.pformat()}>"

    def __iter__(self) -> Iterator[str]:
        """Go over the full names of the error's classes."""
        return iter(self.exc_type_names)

    def __eq__(self, other: object) -> bool:
        """Compare by message and classes."""
        return self is other or self.matches(other)

    __hash__ = None  # type: ignore[assignment]  # equal by content, and contents may grow

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes as plain data (live errors do not travel)."""
        return (Failure.from_dict, (self.to_dict(include_args=False),))

    def copy(self) -> Failure:
        """Return a failure of its own that tells of the same error."""
        twin = Failure.__new__(Failure)
        for slot in Failure.__slots__:
            setattr(twin, slot, getattr(self, slot))
        return twin
