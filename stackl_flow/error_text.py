"""Reads errors of other code as text: messages, class names, notes, causes and tracebacks.

An error may be of a class that makes it unreadable: its ``__str__``, ``args`` or ``__cause__`` raises, its
text is a subclass of ``str`` that is translated late, its causes form a circle or a chain of thousands, its
class has no module. Only `plain` raises because of what it reads, and all return plain text. Where a size is
bounded, a note says what is left out.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from json.encoder import encode_basestring_ascii
from types import TracebackType
from typing import Any, Final, TypeGuard, TypeVar, cast

T = TypeVar("T")

#: Attributes as the interpreter stores them, whatever the class of the error defines under the same names.
_args: Final = cast("Any", BaseException.__dict__["args"]).__get__
_cause: Final = cast("Any", BaseException.__dict__["__cause__"]).__get__
_context: Final = cast("Any", BaseException.__dict__["__context__"]).__get__
_suppresses_context: Final = cast("Any", BaseException.__dict__["__suppress_context__"]).__get__
_traceback: Final = cast("Any", BaseException.__dict__["__traceback__"]).__get__
_members: Final = cast("Any", BaseExceptionGroup.__dict__["exceptions"]).__get__
_mro: Final = cast("Any", type.__dict__["__mro__"]).__get__
_module: Final = cast("Any", type.__dict__["__module__"]).__get__
_name: Final = cast("Any", type.__dict__["__name__"]).__get__
_qualname: Final = cast("Any", type.__dict__["__qualname__"]).__get__

#: The size of a text in a store is at most this many bytes a character.
_BYTES_PER_CHARACTER: Final = 12
#: More than the length of a note about what is left out.
_MAX_OMISSION: Final = 60
_MAX_NAME: Final = 300
_MAX_NAMES: Final = 64
_MAX_NOTES: Final = 20
#: Frames shown at each end of a traceback.
_FRAMES: Final = 50
_MAX_MEMBERS: Final = 50
_MAX_MEMBER_MESSAGE: Final = 2000
#: Python formats a member of a group again in each group that has it: the text of nested groups may be huge.
_MAX_FORMATTED: Final = 500
_MAX_CAUSES: Final = 50


def _guarded(read: Callable[[], T]) -> tuple[T | None, str | None]:
    """Call a function of another program; return its result, or the name of the class of what it raised."""
    try:
        return read(), None
    except KeyboardInterrupt as error:
        if threading.current_thread() is threading.main_thread():
            raise  # Ctrl-C
        return None, class_name(type(error))
    except BaseException as error:  # noqa: BLE001  it describes another error, and must not hide that one
        return None, class_name(type(error))


def plain(text: object) -> str:
    """Return the text of an object as a ``str`` that every store accepts.

    Raises:
        Exception: whatever ``__str__`` of the object raises.
    """
    shown = str(text)
    if type(shown) is not str:  # a lazy text, which may be translated here
        translated, _ = _guarded(lambda: str(shown))
        shown = str.__str__(shown if translated is None else translated)
    try:
        shown.encode()
    except UnicodeEncodeError:  # surrogates without their partners
        return shown.encode(errors="backslashreplace").decode()
    return shown


def text_of(value: object) -> str:
    """Return the text of an object, or a note that it cannot be read."""
    text, problem = _guarded(lambda: plain(value))
    return f"[the text of {class_name(type(value))} cannot be read: {problem}]" if text is None else text


def shorten(text: str, limit: int) -> str:
    """Cut the middle out of a text that takes more than ``limit`` bytes in a store; a note says how much."""
    if len(text) * _BYTES_PER_CHARACTER <= limit:
        return text
    shown, kept = text, len(text)
    while (size := len(encode_basestring_ascii(shown))) > limit:
        kept = max(0, min(kept - _MAX_OMISSION, kept * limit // size))
        tail = kept // 4
        omitted = f"\n[... {len(text) - kept} characters left out ...]\n"
        shown = text[: kept - tail] + omitted + text[len(text) - tail :]
    return shown


# ---------------------------------------------------------------------- classes


def is_a(value: object, kind: type[T]) -> TypeGuard[T]:
    """Return whether an object is of a class, without asking the object itself as ``isinstance`` does."""
    return issubclass(type(value), kind)


def class_name(kind: type) -> str:
    """Return the full name of a class; that of a built-in class has no module."""
    module, name = _module(kind), _qualname(kind)
    text = name if module == "builtins" or not isinstance(module, str) else f"{module}.{name}"
    return shorten(plain(text), _MAX_NAME)


def short_name(kind: type) -> str:
    """Return the name of a class without its module."""
    return shorten(plain(_name(kind)), _MAX_NAME)


def class_names(kind: type[BaseException]) -> tuple[str, ...]:
    """Return the full names of a class of errors and of its base classes, as `Failure` keeps them."""
    order = _mro(kind)
    top = {object, BaseException} if Exception in order else {object}
    names = [class_name(base) for base in order if base not in top]
    if len(names) > _MAX_NAMES:
        names[_MAX_NAMES - 1 : -1] = []
    return tuple(names)


# ---------------------------------------------------------------------- one error


def message_of(error: BaseException) -> str:
    """Return the message of an error, of any length."""
    text, problem = _guarded(lambda: plain(error))
    if text is not None:
        return text
    name = class_name(type(error))
    fallback, _ = _guarded(lambda: plain(BaseException.__str__(error)))  # its arguments
    note = f"the message of {name} cannot be read: {problem}"
    return f"{fallback} ({note})" if fallback else note


def describe(error: BaseException) -> str:
    """Return the class of an error, without its module, and its message."""
    return f"{short_name(type(error))}: {message_of(error)}"


def args_of(error: BaseException) -> tuple[Any, ...]:
    """Return the arguments of an error."""
    own, _ = _guarded(lambda: error.args)
    args: tuple[Any, ...] = own if type(own) is tuple else _args(error)
    return args


def can_be_formatted(error: BaseException, tb: TracebackType | None) -> bool:
    """Return whether a logger can format an error with its causes, and write the text as UTF-8."""
    text = _format(error, tb)
    return text is not None and plain(text) == text


def format_error(error: BaseException, tb: TracebackType | None) -> str:
    """Return an error with its traceback and causes, as Python prints an error that nothing catches."""
    text = _format(error, tb)
    if text is not None:
        return plain(text)
    causes, omitted = causes_of(error, _MAX_CAUSES)
    lines = [f"{details_of(error, tb)}{class_name(type(error))}: {message_of(error)}"]
    lines += [f"Caused by {class_name(type(cause))}: {message_of(cause)}" for cause in causes]
    if omitted:
        lines.append(f"[... {omitted} causes in the middle left out ...]")
    return "\n".join(lines) + "\n"


def _format(error: BaseException, tb: TracebackType | None) -> str | None:
    if not _is_small(error):
        return None
    text, _ = _guarded(lambda: "".join(traceback.format_exception(type(error), error, tb)))
    return text


def _is_small(error: BaseException) -> bool:
    """Return whether an error has few causes and members, as often as Python writes each."""
    stack, count, seen = [error], 0, {id(error)}
    while stack and count < _MAX_FORMATTED:
        count += 1
        each = stack.pop()
        linked = [next_error for next_error in (_cause(each), _context(each)) if next_error is not None]
        stack += [next_error for next_error in linked if id(next_error) not in seen]
        seen.update(map(id, linked))
        if is_a(each, BaseExceptionGroup):
            stack += _members(each)[:_MAX_FORMATTED]
    return not stack


def traceback_of(error: BaseException) -> TracebackType | None:
    """Return the traceback of an error, or None if it was not raised."""
    tb: TracebackType | None = _traceback(error)
    return tb


def details_of(error: BaseException, tb: TracebackType | None) -> str:
    """Return the traceback of an error with its notes and, for a group, its members, of any length."""
    parts = [_format_traceback(tb), *_notes_of(error)]
    if is_a(error, BaseExceptionGroup):
        parts += _describe_members(error)
    return "".join(parts)


def _format_traceback(tb: TracebackType | None) -> str:
    if tb is None:
        return ""
    text, problem = _guarded(lambda: _format_frames(tb))
    return f"  [the traceback cannot be read: {problem}]\n" if text is None else text


def _format_frames(tb: TracebackType) -> str:
    count, frame = 0, tb.tb_next
    while frame is not None and count < 2 * _FRAMES:
        count, frame = count + 1, frame.tb_next
    if frame is None:
        return plain("".join(traceback.format_tb(tb)))
    first, last = traceback.format_tb(tb, _FRAMES), traceback.format_tb(tb, -_FRAMES)
    return plain("".join([*first, "  [... frames left out ...]\n", *last]))


def _notes_of(error: BaseException) -> Iterator[str]:
    """Iterate over the notes of an error (``add_note``), one line or more each."""
    notes, _ = _guarded(lambda: getattr(error, "__notes__", None))
    if type(notes) is not list:
        return
    for note in notes[:_MAX_NOTES]:
        yield f"Note: {text_of(note)}\n"
    if len(notes) > _MAX_NOTES:
        yield f"[... {len(notes) - _MAX_NOTES} notes left out ...]\n"


def _describe_members(group: BaseException) -> Iterator[str]:
    """Iterate over descriptions of the errors in a group, each error once, however the groups are nested."""
    queue = [(str(number), member) for number, member in enumerate(_members(group), 1)]
    seen = {id(group)}
    shown = 0
    for number, member in queue:
        if id(member) in seen:
            continue
        if shown == _MAX_MEMBERS:
            yield "[... further errors of the group left out ...]\n"
            return
        seen.add(id(member))
        shown += 1
        message = shorten(message_of(member), _MAX_MEMBER_MESSAGE)
        yield f"Error {number} of the group: {class_name(type(member))}: {message}\n"
        yield _format_traceback(_traceback(member))
        yield from _notes_of(member)
        if is_a(member, BaseExceptionGroup):
            queue += [(f"{number}.{inner}", each) for inner, each in enumerate(_members(member), 1)]


# ---------------------------------------------------------------------- causes


def cause_of(error: BaseException) -> BaseException | None:
    """Return the error from which another was raised (``raise ... from``), or None."""
    cause: BaseException | None = _cause(error)
    return cause


def causes_of(error: BaseException, limit: int) -> tuple[list[BaseException], int]:
    """Return the errors that led to one (``__cause__`` or ``__context__``), nearest first, each once.

    Args:
        error: the error.
        limit: how many to return; of a longer chain the nearest and the first are returned, half of each.

    Returns:
        The causes, and how many are left out in the middle.
    """
    chain: list[BaseException] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None:
        seen.add(id(current))
        explicit = _suppresses_context(current)  # set by "raise ... from"
        current = _cause(current) if explicit else _context(current)
        if current is None or id(current) in seen:
            break
        chain.append(current)
    omitted = max(0, len(chain) - limit)
    if omitted:
        nearest = limit - limit // 2
        chain[nearest : nearest + omitted] = []
    return chain, omitted
