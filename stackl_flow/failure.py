"""Failures: exceptions of atoms as values that can be inspected, stored, sent and raised again."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, NoReturn

from stackl_flow import error_text, redaction
from stackl_flow import exceptions as exc

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

#: How many causes are kept: of a longer chain the nearest and the first.
MAX_CAUSES: Final = 50
#: The size of a message, and of a traceback, in a store, in bytes.
_MAX_TEXT: Final = 32_768
#: The size of the messages and tracebacks of all causes.
_MAX_TEXT_OF_CAUSES: Final = 262_144
#: The least size of a cause that is kept, in bytes.
_MIN_CAUSE: Final = 2_048


def _current_exc_info() -> ExcInfo:
    kind, error, tb = sys.exc_info()
    if kind is None or error is None:
        raise ValueError("Failure() needs an exception: call it in an except block or pass exc_info=")
    return kind, error, tb


#: The keyword arguments that describe an exception of another process.
_DESCRIPTION: Final = frozenset({"exception_str", "exc_type_names", "traceback_str", "exc_args", "causes"})
_EXC_INFO_SIZE: Final = 3


class Failure:
    """An exception as a value, together with the live exception while in the process that raised it.

    ``revert`` receives one as ``result`` if ``execute`` raised. Failures are immutable. The dictionary form
    is the one that TaskFlow's workers exchange (format version 1).

    Args:
        exc_info: as returned by ``sys.exc_info()``; defaults to the exception being handled.
        description: describes an exception of another process instead: ``exception_str``,
            ``exc_type_names``, ``traceback_str``, ``exc_args``, ``causes``.

    Attributes:
        exception_str: the message.
        exception_args: the arguments of the exception.
        exc_type_names: full names of the class and its base classes, in method resolution order.

    Raises:
        ValueError: no exception is given or being handled.
        TypeError: the exception does not derive from ``Exception``, or ``description`` has an unknown key.
    """

    DICT_VERSION: Final = 1
    """The version of the dictionary form."""
    BASE_EXCEPTIONS: Final = ("BaseException", "Exception")
    """One of these is the last of ``exc_type_names``."""

    __slots__ = (
        "_causes",
        "_exc_info",
        "_limit",
        "_traceback_str",
        "exc_type_names",
        "exception_args",
        "exception_str",
    )

    def __init__(self, exc_info: ExcInfo | None = None, **description: Any) -> None:
        self._exc_info = exc_info
        self._limit = _MAX_TEXT
        self._traceback_str: str | None = None
        self._causes: tuple[Failure, ...] | None = None
        if description:
            self._init_from_description(description)
            return
        kind, error, tb = self._check_exc_info(exc_info or _current_exc_info())
        if not error_text.is_a(error, Exception):
            raise TypeError(
                f"the exception must derive from Exception, not be a {error_text.class_name(type(error))}"
            )
        self._init_from_exception((kind, error, tb))

    @staticmethod
    def _check_exc_info(exc_info: ExcInfo) -> ExcInfo:
        if len(exc_info) != _EXC_INFO_SIZE:
            raise ValueError(f"exc_info must be (type, exception, traceback), not {exc_info!r}")
        return exc_info

    def _init_from_exception(self, exc_info: ExcInfo) -> None:
        error = exc_info[1]
        self._exc_info = exc_info
        self.exception_str = self._shorten(error_text.message_of(error))
        self.exception_args: tuple[Any, ...] = _redact_args(error_text.args_of(error))
        self.exc_type_names = error_text.class_names(type(error))

    def _init_from_description(self, description: dict[str, Any]) -> None:
        unknown = ", ".join(sorted(description.keys() - _DESCRIPTION))
        if unknown:
            raise TypeError(f"Failure.__init__ got unexpected keyword argument(s): {unknown}")
        self.exception_str = self._shorten(error_text.plain(description.get("exception_str", "")))
        self.exception_args = _redact_args(tuple(description.get("exc_args") or ()))
        self.exc_type_names = tuple(description.get("exc_type_names") or ())
        self._traceback_str = self._shorten(error_text.plain(description.get("traceback_str") or ""))
        self._causes = tuple(description.get("causes") or ())

    def _shorten(self, text: str) -> str:
        return error_text.shorten(redaction.redact(text), self._limit)

    @classmethod
    def from_exception(cls, exception: BaseException) -> Failure:
        """Create a failure from an exception object."""
        return cls((type(exception), exception, error_text.traceback_of(exception)))

    @property
    def exception(self) -> BaseException | None:
        """The live exception, or None if this failure comes from a store or from another process."""
        return self._exc_info[1] if self._exc_info else None

    @property
    def exc_info(self) -> ExcInfo | None:
        """Type, exception and traceback of the live exception, or None."""
        return self._exc_info

    @property
    def traceback_str(self) -> str:
        """The traceback as text, with the notes of the exception and the members of a group; may be empty."""
        if self._traceback_str is None:
            text = ""
            if self._exc_info is not None:
                text = error_text.details_of(self._exc_info[1], self._exc_info[2])
            self._traceback_str = self._shorten(text)
        return self._traceback_str

    @property
    def causes(self) -> tuple[Failure, ...]:
        """The exceptions that led to this one (``__cause__`` or ``__context__``), nearest first.

        Of a chain of more than `MAX_CAUSES` the middle is left out; the traceback before the gap says so.
        """
        if self._causes is None:
            self._causes = () if self._exc_info is None else self._find_causes(self._exc_info[1])
        return self._causes

    def _find_causes(self, error: BaseException) -> tuple[Failure, ...]:
        errors, omitted = error_text.causes_of(error, MAX_CAUSES)
        if not errors:
            return ()
        limit = min(_MAX_TEXT, _MAX_TEXT_OF_CAUSES // (2 * len(errors)))
        causes = [Failure._of_cause(each, limit) for each in errors]
        if omitted:
            before = causes[(MAX_CAUSES + 1) // 2 - 1]
            before._traceback_str = f"{before.traceback_str}  [... {omitted} causes left out ...]\n"  # noqa: SLF001  of its own class
        return _chain(causes)

    @classmethod
    def _of_cause(cls, error: BaseException, limit: int) -> Failure:
        """Create the failure of a cause, of any class, with its own limit for texts."""
        cause = cls.__new__(cls)
        cause._limit = limit  # noqa: SLF001  of its own class
        cause._traceback_str = cause._causes = None  # noqa: SLF001  of its own class
        cause._init_from_exception((type(error), error, error_text.traceback_of(error)))  # noqa: SLF001  of its own class
        return cause

    def check(self, *exc_classes: type[BaseException] | str) -> type[BaseException] | str | None:
        """Return the first of ``exc_classes`` that the exception is an instance of, or None.

        Args:
            exc_classes: exception classes, or their full names.
        """
        for wanted in exc_classes:
            name = wanted if isinstance(wanted, str) else error_text.class_name(wanted)
            if name in self.exc_type_names:
                return wanted
        return None

    def matches(self, other: object) -> bool:
        """Return whether ``other`` is a failure with the same message, classes and causes, live or not."""
        # Each cause once: the causes of a cause are those after it.
        return (
            isinstance(other, Failure)
            and self._looks_like(other)
            and len(self.causes) == len(other.causes)
            and all(map(Failure._looks_like, self.causes, other.causes))
        )

    def _looks_like(self, other: Failure) -> bool:
        return self.exc_type_names == other.exc_type_names and self.exception_str == other.exception_str

    def reraise(self) -> NoReturn:
        """Raise the live exception, or a `WrappedFailure` if there is none."""
        if self._exc_info is not None:
            raise BaseException.with_traceback(self._exc_info[1], self._exc_info[2])
        raise exc.WrappedFailure([self])

    @staticmethod
    def reraise_if_any(failures: Iterable[Failure]) -> None:
        """Reraise a single failure, or raise several as one `WrappedFailure`; none: return."""
        found = list(failures)
        if len(found) == 1:
            found[0].reraise()
        if found:
            raise exc.WrappedFailure(found)

    def to_dict(self, include_args: bool = True) -> dict[str, Any]:
        """Return the dictionary form, which `from_dict` reads.

        Its size is linear in the number of causes: each is written once, in the list of this failure.

        Args:
            include_args: include the arguments of the exception.
        """
        data = self._to_dict(include_args)
        data["causes"] = [Failure._to_dict(cause, include_args) for cause in self.causes]
        return data

    def _to_dict(self, include_args: bool) -> dict[str, Any]:
        """Return the dictionary form without causes."""
        return {
            "exception_str": self.exception_str,
            "traceback_str": self.traceback_str,
            "exc_type_names": list(self.exc_type_names),
            "version": self.DICT_VERSION,
            "exc_args": self.exception_args if include_args else (),
            "causes": [],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Failure:
        """Create a failure, without a live exception, from its dictionary form.

        Raises:
            InvalidFormat: ``data`` is not a failure, or one of an unsupported version.
        """
        failure = cls._from_dict(data)
        # Earlier releases and TaskFlow's workers repeat in each cause the causes after it.
        causes: list[Failure] = []
        following = data.get("causes") or ()
        while following:
            causes += [cls._from_dict(cause) for cause in following]
            following = following[-1].get("causes") or ()
        failure._causes = _chain(causes)  # noqa: SLF001  of its own class
        return failure

    @classmethod
    def _from_dict(cls, data: Any) -> Failure:
        """Create a failure from its dictionary form, without its causes."""
        if not isinstance(data, Mapping) or "exc_type_names" not in data:
            raise exc.InvalidFormat(f"not the dictionary form of a failure: {data!r:.200}")
        if data.get("version", cls.DICT_VERSION) != cls.DICT_VERSION:
            raise exc.InvalidFormat(
                f"failure has format version {data['version']}: this release reads version {cls.DICT_VERSION}"
            )
        for name, kind, _ in _SCHEMA:
            if data.get(name) is not None and not isinstance(data[name], kind):
                raise exc.InvalidFormat(f"{name!r} of a failure has the wrong type: {data[name]!r:.200}")
        return cls(**{name: data[name] for name in _DESCRIPTION & data.keys() if name != "causes"}, causes=())

    @classmethod
    def validate(cls, data: Any) -> None:
        """Check data from an untrusted source, including its causes, before `from_dict` reads it.

        Raises:
            InvalidFormat: ``data`` is not the dictionary form of a failure.
        """
        queue = [data]
        for item in queue:
            problem = _find_problem(item)
            if problem is not None:
                raise exc.InvalidFormat(f"Failure data not of the expected format: {problem}")
            queue.extend(item.get("causes") or ())

    def pformat(self, traceback: bool = False) -> str:
        """Format the failure.

        Args:
            traceback: append the traceback.
        """
        text = ": ".join(("Failure", *self.exc_type_names[:1], self.exception_str))
        if not traceback:
            return text
        lines = self.traceback_str.rstrip()
        if not lines:
            return f"{text}\nTraceback not available."
        return f"{text}\nTraceback (most recent call last):\n{lines}"

    def __str__(self) -> str:
        return self.pformat()

    def __repr__(self) -> str:
        return f"<{self.pformat()}>"

    def __iter__(self) -> Iterator[str]:
        return iter(self.exc_type_names)

    def __eq__(self, other: object) -> bool:
        # Stricter than matches(): same traceback, and both live or both not.
        return self is other or (
            isinstance(other, Failure)
            and (self._exc_info is None) == (other._exc_info is None)
            and self.matches(other)
            and self.traceback_str == other.traceback_str
        )

    __hash__ = None  # type: ignore[assignment]  # compares by content; traceback_str is computed late

    def __reduce__(self) -> tuple[Any, ...]:
        # Live exceptions are not pickled.
        return (Failure.from_dict, (self.to_dict(include_args=False),))

    def __deepcopy__(self, memo: dict[int, Any]) -> Failure:
        del memo  # failures are immutable, so the live exception can be shared
        return self.copy()

    def copy(self) -> Failure:
        """Return a copy with the same live exception."""
        clone = Failure.__new__(Failure)
        for slot in Failure.__slots__:
            setattr(clone, slot, getattr(self, slot))
        return clone

    def shortened(self, limit: int) -> Failure:
        """Return a copy with the same live exception whose texts, arguments left out, are short.

        Args:
            limit: the size of its message, its traceback and all causes together, in bytes of a store.
        """
        causes = self.causes[: max(1, min(MAX_CAUSES, limit // _MIN_CAUSE))]
        share = limit // 2 // (1 + len(causes))
        shorter = [Failure._with_texts(cause, share, ()) for cause in causes]
        return self._with_texts(share, _chain(shorter))

    def _with_texts(self, limit: int, causes: tuple[Failure, ...]) -> Failure:
        """Return a copy with shorter texts, without arguments."""
        slots = {slot: getattr(self, slot) for slot in Failure.__slots__}
        slots.update(
            _limit=limit,
            _causes=causes,
            _traceback_str=error_text.shorten(self.traceback_str, limit),
            exception_str=error_text.shorten(self.exception_str, limit),
            exception_args=(),
        )
        clone = Failure.__new__(Failure)
        for slot, value in slots.items():
            setattr(clone, slot, value)
        return clone


def _chain(causes: Sequence[Failure]) -> tuple[Failure, ...]:
    """Give each cause the causes after it, and return all."""
    for index, cause in enumerate(causes):
        cause._causes = tuple(causes[index + 1 :])  # noqa: SLF001  of its own class
    return tuple(causes)


#: How many values inside the arguments of an exception are searched for secrets.
_MAX_SEARCHED: Final = 1000


def _redact_args(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Mask secrets in the arguments of an exception; arguments that cannot be searched are left out."""
    if not redaction.has_secrets():
        return args
    try:
        found, errors = list(args), False
        for value in found:
            if len(found) > _MAX_SEARCHED:
                return ()
            if isinstance(value, Mapping):
                found += value.values()
            elif isinstance(value, (list, tuple, set, frozenset)):
                found += value
            # The text of a group of errors repeats the text of a member in each group that has it.
            errors = errors or isinstance(value, BaseException)
        redacted: tuple[Any, ...] = () if errors else redaction.redact_data(args)
    except Exception:  # noqa: BLE001  an argument whose text cannot be read
        return ()
    return redacted


_LISTS: Final = (list, tuple)
#: The keys of the dictionary form, with their types and whether they are required.
_SCHEMA: Final[tuple[tuple[str, type | tuple[type, ...], bool], ...]] = (
    ("exception_str", str, True),
    ("traceback_str", str, True),
    ("exc_type_names", _LISTS, True),
    ("version", int, False),
    ("exc_args", _LISTS, False),
    ("causes", _LISTS, False),
)


def _find_problem(data: Any) -> str | None:
    """Return why data is not the dictionary form of a failure, or None; causes are not checked."""
    if not isinstance(data, Mapping):
        return f"not a dictionary: {data!r:.200}"
    for name, kind, required in _SCHEMA:
        if name not in data:
            if required:
                return f"{name!r} is missing"
        elif not isinstance(data[name], kind):
            return f"{name!r} has the wrong type: {data[name]!r:.200}"
    names = data["exc_type_names"]
    if not names or names[-1] not in Failure.BASE_EXCEPTIONS:
        return f"'exc_type_names' must end in one of {Failure.BASE_EXCEPTIONS}: {names!r:.200}"
    return "'version' is negative" if data.get("version", 0) < 0 else None
