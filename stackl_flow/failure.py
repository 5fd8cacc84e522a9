"""A failure: what went wrong, kept so that it can be read, stored, sent and raised again."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, NoReturn

from stackl_flow import exceptions as exc
from stackl_flow import redaction

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def _full_name(kind: type) -> str:
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _type_names(kind: type[BaseException]) -> tuple[str, ...]:
    return tuple(_full_name(base) for base in kind.__mro__ if base not in (object, BaseException))


def _being_handled() -> ExcInfo:
    kind, error, where = sys.exc_info()
    if kind is None or error is None:
        raise ValueError("Failure() needs an error: call it in an except block or pass exc_info=")
    return kind, error, where


#: What may be told of an error that is not here.
_KNOWN: Final = frozenset({"exception_str", "exc_type_names", "traceback_str", "exc_args", "causes"})
_EXC_INFO_SIZE: Final = 3


class Failure:
    """What is known of an error, with the live error itself while still in its process.

    The dictionary form is the one that TaskFlow's workers exchange (format version 1).

    Args:
        exc_info: what ``sys.exc_info()`` gave; the error being handled if left out.
        known: what is known of an error from elsewhere instead: ``exception_str``, ``exc_type_names``,
            ``traceback_str``, ``exc_args``, ``causes``.

    Attributes:
        exception_str: the error's message.
        exception_args: its arguments.
        exc_type_names: full names of its class and the bases of that, nearest first.

    Raises:
        ValueError: there is no error to take.
        TypeError: the error is none that a flow may swallow, or ``known`` names something else.
    """

    DICT_VERSION: Final = 1
    #: What each error's classes end in.
    BASE_EXCEPTIONS: Final = ("BaseException", "Exception")

    __slots__ = (
        "_causes",
        "_exc_info",
        "_traceback_str",
        "exc_type_names",
        "exception_args",
        "exception_str",
    )

    def __init__(self, exc_info: ExcInfo | None = None, **known: Any) -> None:
        self._exc_info = exc_info
        self._traceback_str: str | None = None
        self._causes: tuple[Failure, ...] | None = None
        if known:
            self._take_known(known)
        else:
            self._take_live(exc_info or _being_handled())

    def _take_live(self, exc_info: ExcInfo) -> None:
        if len(exc_info) != _EXC_INFO_SIZE:
            raise ValueError(f"exc_info must be (type, error, traceback), not {exc_info!r}")
        if not isinstance(exc_info[1], Exception):
            raise TypeError(f"Failure takes errors that derive from Exception, not {exc_info[0].__name__}")
        self._exc_info = exc_info
        self.exception_str = redaction.redact(str(exc_info[1]))
        self.exception_args: tuple[Any, ...] = redaction.redact_data(tuple(exc_info[1].args))
        self.exc_type_names = _type_names(exc_info[0])

    def _take_known(self, known: dict[str, Any]) -> None:
        unknown = ", ".join(sorted(known.keys() - _KNOWN))
        if unknown:
            raise TypeError(f"Failure.__init__ got unexpected keyword argument(s): {unknown}")
        self.exception_str = redaction.redact(str(known.get("exception_str", "")))
        self.exception_args = redaction.redact_data(tuple(known.get("exc_args") or ()))
        self.exc_type_names = tuple(known.get("exc_type_names") or ())
        self._traceback_str = redaction.redact(known.get("traceback_str") or "")
        self._causes = tuple(known.get("causes") or ())

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
            self._traceback_str = redaction.redact("".join(traceback.format_tb(where))) if where else ""
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
        causes = tuple(cls.from_dict(cause) for cause in data.get("causes") or ())
        known = {name: data[name] for name in _KNOWN & data.keys()}
        return cls(**{**known, "causes": causes})

    @classmethod
    def validate(cls, data: Any) -> None:
        """Check plain data that came from elsewhere before ``from_dict`` reads it.

        Args:
            data: what should be a failure's dictionary.

        Raises:
            InvalidFormat: it is none.
        """
        waiting = [data]
        for found in waiting:
            trouble = _trouble_with(found)
            if trouble is not None:
                raise exc.InvalidFormat(f"Failure data not of the expected format: {trouble}")
            waiting.extend(found.get("causes") or ())

    def pformat(self, traceback: bool = False) -> str:
        """Write the failure out.

        Args:
            traceback: put the traceback below.

        Returns:
            The text.
        """
        told = (*self.exc_type_names[:1], self.exception_str)
        text = ": ".join(("Failure", *told))
        if not traceback:
            return text
        below = self.traceback_str.rstrip()
        if not below:
            return f"{text}\nTraceback not available."
        return f"{text}\nTraceback (most recent call last):\n{below}"

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
        """Say whether another failure is the same, down to where it happened and whether it is live."""
        return self is other or (
            isinstance(other, Failure)
            and (self._exc_info is None) == (other._exc_info is None)
            and self.matches(other)
            and self.traceback_str == other.traceback_str
        )

    __hash__ = None  # type: ignore[assignment]  # equal by content, and contents may grow

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes as plain data (live errors do not travel)."""
        return (Failure.from_dict, (self.to_dict(include_args=False),))

    def __deepcopy__(self, memo: dict[int, Any]) -> Failure:
        """Stay live in this process, as nothing in a failure is ever changed."""
        del memo
        return self.copy()

    def copy(self) -> Failure:
        """Return a failure of its own that tells of the same error."""
        twin = Failure.__new__(Failure)
        for slot in Failure.__slots__:
            setattr(twin, slot, getattr(self, slot))
        return twin


_LISTS: Final = (list, tuple)
#: What plain data may hold: names, what they hold, and whether they must be there.
_FORM: Final[tuple[tuple[str, type | tuple[type, ...], bool], ...]] = (
    ("exception_str", str, True),
    ("traceback_str", str, True),
    ("exc_type_names", _LISTS, True),
    ("version", int, False),
    ("exc_args", _LISTS, False),
    ("causes", _LISTS, False),
)


def _trouble_with(data: Any) -> str | None:
    """Say in what way data is not the dictionary of a failure, or None if it is; causes aside."""
    if not isinstance(data, Mapping):
        return f"it is no dictionary but {data!r:.200}"
    for name, kind, needed in _FORM:
        if name not in data:
            if needed:
                return f"{name!r} is missing"
        elif not isinstance(data[name], kind):
            return f"{name!r} holds {data[name]!r:.200}"
    names = data["exc_type_names"]
    if not names or names[-1] not in Failure.BASE_EXCEPTIONS:
        return f"'exc_type_names' must end in one of {Failure.BASE_EXCEPTIONS}: {names!r:.200}"
    return "'version' is below zero" if data.get("version", 0) < 0 else None
