"""Redaction: secret values are masked in messages, failures, log records and displayed data.

A program marks names as secret (``secrets=``). While an object holds the values of these names, such as an
engine or a job, they are registered here for the whole process, and `redact` masks them in every text:
messages of our errors, failures, records of our loggers, output of listeners and commands. The values
themselves do not change: tasks receive them as they are. The idea of masking known values in all text is
from Airflow's secrets masker and the masks of GitHub's runners.

The module has four parts: the encodings under which a value may appear in text; the registry of secret
values; masking by name in data of any shape; the logging filter.
"""

from __future__ import annotations

import base64
import dataclasses
import logging
import re
import threading
import weakref
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, NamedTuple

from stackl_flow import error_text

MASK: Final = "***"
"""What replaces a secret value."""

# ------------------------------------------------------------------ encodings of a value

#: Shorter texts, and numbers, are secrets only as whole words.
_MIN_SUBSTRING: Final = 4
#: From this length on, each line of a multi-line secret, such as a private key, is a secret of its own.
_MIN_LINE: Final = 8


class Encoding(NamedTuple):
    """A text that a secret value may appear as."""

    text: str
    whole_word: bool
    """Match whole words only."""

    @property
    def pattern(self) -> str:
        """A regular expression for the text, also as escaped by Python, JSON, HTML and URLs.

        Each of them may have escaped the output of another, so any number of backslashes matches.
        """
        return "".join(map(_character_pattern, self.text))


def encodings_of(value: Any, ancestors: AbstractSet[int] = frozenset()) -> Iterator[Encoding]:
    """Yield the encodings of a value and of the values that it contains.

    Booleans and single characters are left out, because they occur in every text.

    Args:
        value: the value.
        ancestors: ids of the containers around it, to stop at cycles.
    """
    if value is None or isinstance(value, bool) or id(value) in ancestors:
        return
    if isinstance(value, str):
        yield from _encodings_of_text(value)
    elif isinstance(value, bytes | bytearray):
        yield from _encodings_of_bytes(bytes(value))
    elif (items := _items_of(value)) is not None:
        for item in items:
            yield from encodings_of(item, ancestors | {id(value)})
    elif len(str(value)) > 1:
        yield Encoding(str(value), isinstance(value, int | float))


def _items_of(value: Any) -> Iterable[Any] | None:
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    return None


def _encodings_of_text(value: str) -> Iterator[Encoding]:
    plain = value.strip()
    if len(plain) < _MIN_SUBSTRING:
        if len(plain) > 1:
            yield Encoding(plain, True)
        return
    for text in {value, plain, *(line for line in plain.splitlines() if len(line) >= _MIN_LINE)}:
        yield Encoding(text, False)


def _encodings_of_bytes(value: bytes) -> Iterator[Encoding]:
    if len(value) < _MIN_SUBSTRING:
        return
    yield Encoding(repr(value)[2:-1], False)
    yield Encoding(value.hex(), False)
    yield Encoding(base64.b64encode(value).decode(), False)
    try:
        yield from _encodings_of_text(value.decode())
    except UnicodeDecodeError:
        return


#: Bytes of one code unit in UTF-16.
_UTF16_UNIT: Final = 2
_CONTROLS: Final = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
#: What `html.escape` writes; importing `html` loads a table of two thousand entities.
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}
# Each may have been escaped once more by the next.
_PERCENT: Final = "%(?:25)*"
_SLASH: Final = rf"(?:\\|{_PERCENT}5[Cc])"


def _character_pattern(character: str) -> str:
    """Return a regular expression for a character and its escaped forms."""
    if character.isascii() and character.isalnum():
        return character
    if character == "\\":
        return f"{_SLASH}+"
    code, utf16 = ord(character), character.encode("utf-16-be", "surrogatepass")
    data = character.encode(errors="surrogatepass")
    percent = "".join(f"{_PERCENT}(?i:{byte:02x})" for byte in data)
    entity = re.escape(_ENTITIES.get(character, character)).replace("&", "&(?:amp;)*")
    alternatives = {
        f"{_SLASH}*(?:{re.escape(character)}|{percent}|{entity})",
        rf"{_SLASH}+(?:x{code:02x}|u{code:04x}|U{code:08x})",
    }
    if character == " ":
        alternatives.add(r"\+")
    if character in _CONTROLS:
        alternatives.add(f"{_SLASH}+{_CONTROLS[character]}")
    if len(utf16) > _UTF16_UNIT:
        alternatives.add("".join(rf"{_SLASH}+u{utf16[at : at + 2].hex()}" for at in (0, 2)))
    return f"(?:{'|'.join(sorted(alternatives, key=len, reverse=True))})"


# ------------------------------------------------------------------ the registry of secret values

#: Not inside a word, and not a part of a date, a time, a version or a decimal number.
_WHOLE_WORD: Final = r"(?<!\w)(?<!\d[-.:,/])(?:{})(?!\w)(?![-.:,/]\d)"


class _Registry:
    """The encodings of all registered values, with one pattern that finds them.

    Thread-safe. `remove` takes no lock, because it runs in finalizers, at any point of any thread.
    """

    def __init__(self) -> None:
        self._counts: Counter[Encoding] = Counter()
        self._removed: deque[frozenset[Encoding]] = deque()
        self._lock = threading.RLock()
        self._pattern: re.Pattern[str] | None = None
        self._stale = False

    def add(self, encodings: frozenset[Encoding]) -> None:
        """Count the encodings up."""
        with self._lock:
            self._counts.update(encodings)
            self._stale = True

    def remove(self, encodings: frozenset[Encoding]) -> None:
        """Count the encodings down, when the pattern is next needed."""
        self._removed.append(encodings)

    def pattern(self) -> re.Pattern[str] | None:
        """Return a pattern of all registered encodings, or None if there are none."""
        if not (self._stale or self._removed):
            return self._pattern
        with self._lock:
            while self._removed:
                self._counts.subtract(self._removed.popleft())
                self._stale = True
            if self._stale:
                self._counts = +self._counts
                self._pattern = _compile(self._counts)
                self._stale = False
            return self._pattern


def _compile(encodings: Iterable[Encoding]) -> re.Pattern[str] | None:
    # Longest first, because the first alternative that matches wins.
    ordered = sorted(encodings, key=lambda encoding: (-len(encoding.text), encoding.text))
    patterns = [encoding.pattern for encoding in ordered if not encoding.whole_word]
    words = "|".join(encoding.pattern for encoding in ordered if encoding.whole_word)
    if words:
        patterns.append(_WHOLE_WORD.format(words))
    return re.compile("|".join(patterns)) if patterns else None


_REGISTRY: Final = _Registry()


def _encodings_of_all(values: Iterable[Any]) -> frozenset[Encoding]:
    return frozenset(encoding for value in values for encoding in encodings_of(value))


def register(owner: object, values: Iterable[Any]) -> None:
    """Redact values in this process until an object is garbage-collected.

    Args:
        owner: the object that holds the values, such as an engine.
        values: the values; values inside containers count, too.
    """
    encodings = _encodings_of_all(values)
    if encodings:
        _register(owner, encodings)


def _register(owner: object, encodings: frozenset[Encoding]) -> None:
    _REGISTRY.add(encodings)
    weakref.finalize(owner, _REGISTRY.remove, encodings).atexit = False


@contextmanager
def redacting(values: Iterable[Any]) -> Iterator[None]:
    """Redact values during a block and, if an exception leaves it, as long as that exception lives.

    Args:
        values: the values; values inside containers count, too.
    """
    encodings = _encodings_of_all(values)
    _REGISTRY.add(encodings)
    try:
        yield
    except BaseException as error:
        if encodings:
            owner = _Owner()
            _register(owner, encodings)
            # The exception keeps the owner alive; most exceptions cannot be referenced weakly themselves.
            BaseException.__setattr__(error, f"_{__name__}_{id(owner)}", owner)
        raise
    finally:
        _REGISTRY.remove(encodings)


class _Owner:
    """Owner of values that live as long as an exception."""


def has_secrets() -> bool:
    """Return whether any secret is registered."""
    return _REGISTRY.pattern() is not None


def redact(text: str) -> str:
    """Mask all registered secrets in a text; return anything else unchanged."""
    pattern = _REGISTRY.pattern()
    return pattern.sub(MASK, text) if pattern is not None and isinstance(text, str) else text


def redact_data(data: Any) -> Any:
    """Mask all registered secrets in data that is about to be displayed.

    Returns:
        ``data`` itself if it contains none, else a copy. An object whose text contains a secret is replaced
        by its masked text.
    """
    if data is None or isinstance(data, bool) or not has_secrets():
        return data
    if isinstance(data, str):
        return redact(data)
    if isinstance(data, Mapping):
        return {redact_data(key): redact_data(value) for key, value in data.items()}
    if type(data) in _COLLECTIONS:
        return type(data)(redact_data(item) for item in data)
    text = f"{data} {data!r}"
    return data if redact(text) == text else redact(str(data))


# ------------------------------------------------------------------ masking by name

NAMES_KEY: Final = "secrets"
"""The metadata key of a flow, or key of a job's details, with the secret names."""

RESULTS_KEY: Final = "secret_results"
"""The metadata key of a flow with the results of secret names: pairs of an atom name and an index or key in
its result (None: the whole result)."""

#: A tuple in stored JSON that has not been decoded.
_STORED_TUPLE: Final = "$tuple"
_COLLECTIONS: Final = (list, tuple, set, frozenset)
_NO_NAMES: Final[frozenset[str]] = frozenset()


def secret_names(metadata: Mapping[str, Any]) -> frozenset[str]:
    """Return the secret names in the metadata of a flow or the details of a job."""
    return parse_names(metadata.get(NAMES_KEY))


def parse_names(names: Any) -> frozenset[str]:
    """Convert the value of a ``secrets=`` argument: names, one name, or None.

    Raises:
        TypeError: the value has another type. The message does not show the value.
    """
    if not names:  # the usual case, tested several times per flow
        return _NO_NAMES
    collection = [names] if isinstance(names, str) else names
    if (
        isinstance(collection, Mapping)
        or not isinstance(collection, Collection)
        or not all(isinstance(name, str) for name in collection)
    ):
        raise TypeError(
            "secrets= takes the names of secret values, such as ['password'], not a"
            f" {type(names).__name__} of something else: pass the values in store="
        )
    return frozenset(collection)


def find_values(data: Any, names: Collection[str]) -> list[Any]:
    """Return the values of the keys ``names`` at any depth of dictionaries, lists and tuples."""
    if names and isinstance(data, Mapping):
        values = [value for name, value in data.items() if name in names]
        for name, value in data.items():
            if name not in names:
                values += find_values(value, names)
        return values
    if names and isinstance(data, list | tuple):
        return [value for item in data for value in find_values(item, names)]
    return []


def mask(data: Any, names: Collection[str]) -> Any:
    """Return a copy with the values of the keys ``names`` masked, at any depth like `find_values`."""
    if isinstance(data, Mapping):
        return {key: MASK if key in names else mask(value, names) for key, value in data.items()}
    if isinstance(data, list):
        return [mask(item, names) for item in data]
    if isinstance(data, tuple):
        return tuple(mask(item, names) for item in data)
    return data


def mask_parts(result: Any, keys: Collection[Any]) -> Any:
    """Return a copy of a result of an atom with some parts masked.

    Args:
        result: the result, decoded or as stored.
        keys: indexes or keys of the parts; None for the whole result.
    """
    if not keys or result is None:
        return result
    if None in keys:
        return MASK
    if isinstance(result, Mapping) and result.keys() == {_STORED_TUPLE}:
        return {_STORED_TUPLE: mask_parts(result[_STORED_TUPLE], keys)}
    if isinstance(result, Mapping) and result.keys() & keys:
        return {key: MASK if key in keys else value for key, value in result.items()}
    if isinstance(result, list | tuple):
        parts = [MASK if index in keys else value for index, value in enumerate(result)]
        return parts if isinstance(result, list) else tuple(parts)
    return MASK  # a type whose parts are unknown


def select_parts(result: Any, keys: Iterable[Any]) -> list[Any]:
    """Return the parts of a result that `mask_parts` masks; missing parts are skipped."""
    if isinstance(result, Mapping) and result.keys() == {_STORED_TUPLE}:
        return select_parts(result[_STORED_TUPLE], keys)
    parts = []
    for key in keys:
        try:
            parts.append(result if key is None else result[key])
        except (IndexError, KeyError, TypeError):
            continue  # the atom returned less than it provides
    return parts


def mask_result(metadata: Mapping[str, Any], atom_name: str, result: Any) -> Any:
    """Return a copy of a result with the parts masked that the metadata of the flow marks as secret."""
    names = secret_names(metadata)
    if not names:
        return result
    keys = [key for atom, key in metadata.get(RESULTS_KEY, ()) if atom == atom_name]
    return mask(mask_parts(result, keys), names)


# ------------------------------------------------------------------ logging

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def format_traceback(exc_info: ExcInfo) -> str:
    """Format an exception with its traceback and causes, with secrets masked."""
    return redact(error_text.format_error(exc_info[1], exc_info[2]))


def contains_secret(exc_info: ExcInfo | None) -> bool:
    """Return whether the formatted exception contains a secret."""
    if exc_info is None or not has_secrets():
        return False
    text = error_text.format_error(exc_info[1], exc_info[2])
    return redact(text) != text


def text_to_log(exc_info: ExcInfo) -> str | None:
    """Return the text to log instead of an exception that contains a secret or that no logger can format."""
    if error_text.can_be_formatted(exc_info[1], exc_info[2]) and not contains_secret(exc_info):
        return None
    return format_traceback(exc_info).rstrip()


class SecretsFilter(logging.Filter):
    """A logging filter that masks secrets in records.

    The loggers of this library have it. Add it to the handlers of your program if your own tasks log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask secrets in the record; always return True."""
        exc_info = record.exc_info
        if exc_info and exc_info[0] is not None and (text := text_to_log(exc_info)) is not None:
            record.exc_text, record.exc_info = text, None
        if not has_secrets():
            return True
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  the handlers of a record report this error with all its arguments
            message = ""
            record.args = None
            record.msg = f"{error_text.text_of(record.msg)} [its arguments cannot be formatted]"
            record.msg = redact(record.msg)
        redacted = redact(message)
        if redacted != message:
            record.msg, record.args = redacted, None
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


_FILTER: Final = SecretsFilter()


def get_logger(name: str) -> logging.Logger:
    """Return a logger whose records are redacted, for a module of this library."""
    logger = logging.getLogger(name)
    logger.addFilter(_FILTER)
    return logger


__all__ = [
    "MASK",
    "NAMES_KEY",
    "RESULTS_KEY",
    "SecretsFilter",
    "contains_secret",
    "find_values",
    "format_traceback",
    "get_logger",
    "mask",
    "mask_parts",
    "mask_result",
    "parse_names",
    "redact",
    "redact_data",
    "redacting",
    "register",
    "secret_names",
    "select_parts",
    "text_to_log",
]
