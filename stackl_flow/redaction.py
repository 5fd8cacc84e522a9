"""Values that must not be seen, hidden where texts are made.

A program marks names as secret. Whoever holds the values that go by these names has them kept here for as
long as it lives, and whatever passes through ``redact`` meanwhile, in this whole process, loses them:
messages of our errors, texts of failures, records of our loggers, what listeners and commands show. The
values themselves are not touched: tasks get them as they are. (That known values are taken out of every text
is the idea of Airflow's secrets masker and of the masks of GitHub's runners.)

The secrets that are kept at present in this process, and the text without them.

The texts under which a value may show itself.

Secrets by the names of their values, in data of any shape.

Log records and tracebacks without secrets.
"""

from __future__ import annotations

import base64
import dataclasses
import logging
import re
import threading
import traceback
import weakref
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from types import TracebackType
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


#: What stands in place of a value that is not to be seen.
MASK: Final = "***"

#: Not inside a word, and not a part of a date, a time, a version or a decimal number.
_ALONE: Final = r"(?<!\w)(?<!\d[-.:,/])(?:{})(?!\w)(?![-.:,/]\d)"


class _Known:
    """The forms that are kept; any thread may come, also one that happens to collect garbage."""

    def __init__(self) -> None:
        self._forms: Counter[Form] = Counter()
        self._gone: deque[frozenset[Form]] = deque()
        self._lock = threading.RLock()
        self._pattern: re.Pattern[str] | None = None
        self._stale = False

    def add(self, forms: frozenset[Form]) -> None:
        """Keep forms."""
        with self._lock:
            self._forms.update(forms)
            self._stale = True

    def remove(self, forms: frozenset[Form]) -> None:
        """Note that a keeper of forms is gone; it may be in the middle of anything, so no lock is taken."""
        self._gone.append(forms)

    def pattern(self) -> re.Pattern[str] | None:
        """Return what finds every form that is kept, None if there is none."""
        if not (self._stale or self._gone):
            return self._pattern
        with self._lock:
            while self._gone:
                self._forms.subtract(self._gone.popleft())
                self._stale = True
            if self._stale:
                self._forms = +self._forms
                self._pattern = _pattern_of(self._forms)
                self._stale = False
            return self._pattern


def _pattern_of(forms: Iterable[Form]) -> re.Pattern[str] | None:
    # The longest that fits is taken out.
    ordered = sorted(forms, key=lambda form: (-len(form.text), form.text))
    parts = [form.pattern for form in ordered if not form.alone]
    alone = "|".join(form.pattern for form in ordered if form.alone)
    if alone:
        parts.append(_ALONE.format(alone))
    return re.compile("|".join(parts)) if parts else None


_KNOWN: Final = _Known()


def _all_forms(values: Iterable[Any]) -> frozenset[Form]:
    return frozenset(form for value in values for form in forms_of(value))


def register(holder: object, values: Iterable[Any]) -> None:
    """Hide values in every text for as long as an object lives.

    Args:
        holder: the object, such as an engine.
        values: the values; what they hold counts, too.
    """
    forms = _all_forms(values)
    if forms:
        _hold(holder, forms)


def _hold(holder: object, forms: frozenset[Form]) -> None:
    _KNOWN.add(forms)
    weakref.finalize(holder, _KNOWN.remove, forms).atexit = False


@contextmanager
def redacting(values: Iterable[Any]) -> Iterator[None]:
    """Hide values in every text for the length of a block and, when an error leaves it, while that lives.

    Args:
        values: the values; what they hold counts, too.
    """
    forms = _all_forms(values)
    _KNOWN.add(forms)
    try:
        yield
    except BaseException as error:
        if forms:
            holder = _Holder()
            _hold(holder, forms)
            error.__dict__[f"_{__name__}_{id(holder)}"] = holder  # most errors take no weak reference
        raise
    finally:
        _KNOWN.remove(forms)


class _Holder:
    """Lives as long as the error that has it."""


def any_kept() -> bool:
    """Say whether there is anything to be hidden at present."""
    return _KNOWN.pattern() is not None


def redact(text: str) -> str:
    """Take every secret that is kept at present out of a text.

    Args:
        text: the text; anything else is given back as it is.

    Returns:
        The text with ``***`` in their place.
    """
    pattern = _KNOWN.pattern()
    return pattern.sub(MASK, text) if pattern is not None and isinstance(text, str) else text


#: Where a flow's notes, and a job's details, name what is secret.
NAMES_KEY: Final = "secrets"

#: Where a flow's notes say which results go by such names: pairs of an atom and a place in what it gives.
RESULTS_KEY: Final = "secret_results"

#: How a tuple looks to those who read what is stored without making values of it.
_STORED_TUPLE: Final = "$tuple"
_COLLECTIONS: Final = (list, tuple, set, frozenset)
_NONE: Final[frozenset[str]] = frozenset()


def secret_names(notes: Mapping[str, Any]) -> frozenset[str]:
    """Say which names a flow's notes, or a job's details, mark as secret.

    Args:
        notes: the notes or details.

    Returns:
        The names.
    """
    return parse_names(notes.get(NAMES_KEY))


def parse_names(given: Any) -> frozenset[str]:
    """Read what was given as the names of secrets.

    Args:
        given: names, one name, or None.

    Returns:
        The names.

    Raises:
        TypeError: these are no names; the message does not show what they are.
    """
    if not given:  # as with nearly every flow, several times over
        return _NONE
    found = [given] if isinstance(given, str) else given
    if (
        isinstance(found, Mapping)
        or not isinstance(found, Collection)
        or not all(isinstance(name, str) for name in found)
    ):
        raise TypeError(
            "secrets= takes the names of the values that are secret, such as ['password'], and not a"
            f" {type(given).__name__} of something else: the values go into store="
        )
    return frozenset(found)


def find_values(data: Any, names: Collection[str]) -> list[Any]:
    """Find the values that go by some names, however deep they lie in dictionaries, lists and tuples.

    Args:
        data: where to look.
        names: the names.

    Returns:
        The values.
    """
    if names and isinstance(data, Mapping):
        own = [value for name, value in data.items() if name in names]
        return own + [
            one for name, value in data.items() if name not in names for one in find_values(value, names)
        ]
    if names and isinstance(data, list | tuple):
        return [one for value in data for one in find_values(value, names)]
    return []


def mask(data: Any, names: Collection[str]) -> Any:
    """Hide the values of some names, however deep they lie in dictionaries, lists and tuples.

    Args:
        data: what is about to be shown; it is not changed.
        names: whose values are not to be seen.

    Returns:
        The same with ``***`` in their place.
    """
    if isinstance(data, Mapping):
        return {key: MASK if key in names else mask(value, names) for key, value in data.items()}
    if isinstance(data, list):
        return [mask(value, names) for value in data]
    if isinstance(data, tuple):
        return tuple(mask(value, names) for value in data)
    return data


def mask_parts(data: Any, places: Collection[Any]) -> Any:
    """Hide some parts of what an atom gave.

    Args:
        data: what is about to be shown; it is not changed.
        places: where it lies: numbers or keys; None for all of it.

    Returns:
        The same with ``***`` in their place.
    """
    if not places or data is None:
        return data
    if None in places:
        return MASK
    if isinstance(data, Mapping) and data.keys() == {_STORED_TUPLE}:
        return {_STORED_TUPLE: mask_parts(data[_STORED_TUPLE], places)}
    if isinstance(data, Mapping) and data.keys() & places:
        return {key: MASK if key in places else value for key, value in data.items()}
    if isinstance(data, list | tuple):
        shown = [MASK if place in places else value for place, value in enumerate(data)]
        return shown if isinstance(data, list) else tuple(shown)
    return MASK  # of a kind whose parts cannot be told apart here


def select_parts(data: Any, places: Iterable[Any]) -> list[Any]:
    """Take parts out of what an atom gave.

    Args:
        data: what it gave.
        places: where they lie: numbers or keys; None for all of it.

    Returns:
        The parts that are there.
    """
    if isinstance(data, Mapping) and data.keys() == {_STORED_TUPLE}:
        return select_parts(data[_STORED_TUPLE], places)
    found = []
    for place in places:
        try:
            found.append(data if place is None else data[place])
        except (IndexError, KeyError, TypeError):
            continue  # it gave less than it was to give
    return found


def mask_result(notes: Mapping[str, Any], atom_name: str, result: Any) -> Any:
    """Hide what the notes of a flow mark as secret in what an atom gave.

    Args:
        notes: the flow's notes.
        atom_name: the atom.
        result: what it gave; it is not changed.

    Returns:
        The same with ``***`` in their place.
    """
    names = secret_names(notes)
    if not names:
        return result
    places = [place for atom, place in notes.get(RESULTS_KEY, ()) if atom == atom_name]
    return mask(mask_parts(result, places), names)


def redact_data(data: Any) -> Any:
    """Take every secret that is kept at present out of data that is about to be shown.

    Args:
        data: the data; it is not changed.

    Returns:
        The same where it holds none; else a copy without them, in which a thing that would show one as text
        is that text.
    """
    if data is None or isinstance(data, bool) or not any_kept():
        return data
    if isinstance(data, str):
        return redact(data)
    if isinstance(data, Mapping):
        return {redact_data(key): redact_data(value) for key, value in data.items()}
    if type(data) in _COLLECTIONS:
        return type(data)(redact_data(one) for one in data)
    shown = f"{data} {data!r}"
    return data if redact(shown) == shown else redact(str(data))


ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def format_traceback(exc_info: ExcInfo) -> str:
    """Write an error with its traceback and causes, without secrets.

    Args:
        exc_info: type, error and traceback.

    Returns:
        The text.
    """
    return redact("".join(traceback.format_exception(*exc_info)))


def contains_secret(exc_info: ExcInfo | None) -> bool:
    """Say whether an error would show a secret if it were printed as it is.

    Args:
        exc_info: type, error and traceback, or None.

    Returns:
        True when it would.
    """
    if exc_info is None or not any_kept():
        return False
    text = "".join(traceback.format_exception(*exc_info))
    return redact(text) != text


class SecretsFilter(logging.Filter):
    """Takes secrets out of log records; put it on the handlers of a program whose own tasks log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change a record that would show a secret.

        Args:
            record: the record.

        Returns:
            True: no record is held back.
        """
        if not any_kept():
            return True
        message = record.getMessage()
        shown = redact(message)
        if shown != message:
            record.msg, record.args = shown, None
        told = record.exc_info
        if told and told[0] is not None and contains_secret(told):
            record.exc_text, record.exc_info = format_traceback(told).rstrip(), None
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


_FILTER: Final = SecretsFilter()


def get_logger(name: str) -> logging.Logger:
    """Get the logger of a module of this library, whose records show no secrets.

    Args:
        name: the module.

    Returns:
        The logger.
    """
    made = logging.getLogger(name)
    made.addFilter(_FILTER)
    return made


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
]
