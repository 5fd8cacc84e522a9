"""The one way from Python values to JSON text and back; ``DEFAULT`` is the codec that everybody shares.

The one way from Python values to JSON text and back.

Everything stored or sent goes through here. Plain JSON values are written as they are, by the C encoder.
All others become an object with one key that starts with ``$`` and tells the type, such as
``{"$date": "2024-05-01"}``. A dictionary whose keys are not all strings, or start with ``$`` themselves, is
written as ``{"$dict": [[key, value], ...]}``.

The text is always standard JSON: NaN and the infinities, which JSON has no words for, become
``{"$float": "nan"}``.
Types of one's own take part once they are registered::

    @codec.register
    @dataclass
    class Address: ...

    codec.register(Colour)                                  # an Enum
    codec.register(Money, to_json=str, from_json=Money)     # anything

A registered type goes by a name (the class's own unless one is given), not by its module, so that moving it
does not lose what is stored. Only the exact type is taken: a subclass is registered for itself.

The JSON forms of Python's own types, and those that Enums, dataclasses and pydantic models get unasked.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import json
import uuid
import zoneinfo
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, Protocol, TypeVar, cast, overload

from stackl_flow import exceptions as exc

Writer = Callable[[Any], Any]
Reader = Callable[[Any], Any]


def _write_datetime(value: dt.datetime) -> Any:
    zone = getattr(value.tzinfo, "key", None)
    if zone is None and not value.fold:
        return value.isoformat()
    # ISO text keeps the offset only; arithmetic over a change of clocks needs the zone.
    bare = value.replace(tzinfo=None) if zone else value
    return [bare.isoformat(), zone, value.fold]


def _read_datetime(form: Any) -> dt.datetime:
    if isinstance(form, str):
        return dt.datetime.fromisoformat(form)
    text, zone, fold = form
    value = dt.datetime.fromisoformat(text).replace(fold=fold)
    return value.replace(tzinfo=zoneinfo.ZoneInfo(zone)) if zone else value


def _write_time(value: dt.time) -> Any:
    return [value.isoformat(), value.fold] if value.fold else value.isoformat()


def _read_time(form: Any) -> dt.time:
    if isinstance(form, str):
        return dt.time.fromisoformat(form)
    return dt.time.fromisoformat(form[0]).replace(fold=form[1])


def _write_timedelta(value: dt.timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _write_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _read_bytes(form: str) -> bytes:
    return base64.b64decode(form, validate=True)


def _read_dict(form: list[list[Any]]) -> dict[Any, Any]:
    return {key: item for key, item in form}  # noqa: C416  dict() would also take a string of two as a pair


def _read_int(form: str) -> int:
    return int(form, 16)


def _read_timedelta(form: list[int]) -> dt.timedelta:
    return dt.timedelta(*form)


BUILTIN: Final[dict[type[Any], tuple[str, Writer]]] = {
    dt.datetime: ("$datetime", _write_datetime),
    dt.date: ("$date", dt.date.isoformat),
    dt.time: ("$time", _write_time),
    dt.timedelta: ("$timedelta", _write_timedelta),
    decimal.Decimal: ("$decimal", str),
    uuid.UUID: ("$uuid", str),
    bytes: ("$bytes", _write_bytes),
}

READERS: Final[dict[str, Reader]] = {
    "$datetime": _read_datetime,
    "$date": dt.date.fromisoformat,
    "$time": _read_time,
    "$timedelta": _read_timedelta,
    "$decimal": decimal.Decimal,
    "$uuid": uuid.UUID,
    "$bytes": _read_bytes,
    "$tuple": tuple,
    "$set": set,
    "$frozenset": frozenset,
    "$dict": _read_dict,
    "$int": _read_int,
    "$float": float,
}


@dataclasses.dataclass(frozen=True, slots=True)
class _FieldsOf:
    """Takes a dataclass apart and builds it again by its ``__init__``."""

    kind: type[Any]

    def write(self, value: Any) -> dict[str, Any]:
        return {
            field.name: getattr(value, field.name) for field in dataclasses.fields(self.kind) if field.init
        }

    def read(self, form: dict[str, Any]) -> Any:
        return self.kind(**form)


@dataclasses.dataclass(frozen=True, slots=True)
class _ModelOf:
    """Lets pydantic take its model apart and check it on the way back; pydantic itself is not imported."""

    kind: type[Any]

    def write(self, value: Any) -> Any:
        return value.model_dump(mode="json", by_alias=True, round_trip=True)

    def read(self, form: Any) -> Any:
        return self.kind.model_validate(form)


def _write_enum(value: enum.Enum) -> Any:
    return value.value


def default_forms(kind: type[Any]) -> tuple[Writer, Reader]:
    """Find how a type is written and read when nobody says so.

    Args:
        kind: an Enum, a dataclass or a pydantic model.

    Returns:
        The writer and the reader.

    Raises:
        TypeError: it is none of the three.
    """
    if issubclass(kind, enum.Enum):
        return _write_enum, kind
    if dataclasses.is_dataclass(kind):
        fields = _FieldsOf(kind)
        return fields.write, fields.read
    if hasattr(kind, "model_validate") and hasattr(kind, "model_dump"):
        model = _ModelOf(kind)
        return model.write, model.read
    raise TypeError(
        f"{kind!r} is no Enum, dataclass or pydantic model: give both to_json= and from_json= to register it"
    )


Kind = TypeVar("Kind")
T = TypeVar("T", bound=type[Any])

# Deeper than any honest value, and far from Python's own limit, which depends on the caller's stack.
MAX_DEPTH: Final = 100
# Python refuses to read or write long decimal integers; 640 digits are allowed whatever its settings.
_LONG_INT_BITS: Final = 2000

_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_TEXT: Final = frozenset({str})
_QUICK: Final = frozenset({bool, type(None)})
_PLAIN: Final = _SCALARS | {list, dict}


class TextCodec(Protocol):
    """What a backend needs of a codec; one that encrypts wraps another and offers the same two methods."""

    def encode(self, value: Any) -> str:
        """Turn a value into text."""

    def decode(self, text: str) -> Any:
        """Turn text back into the value."""


class _Registered(NamedTuple):
    name: str
    kind: type[Any]
    to_json: Callable[[Any], Any]
    from_json: Callable[[Any], Any]


def _quick_encoder() -> Callable[[Any], str]:
    """Build the C encoder once; ``json.dumps`` builds one a call, which costs more than a small value."""
    slow = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return slow.encode
    text = json.encoder.encode_basestring_ascii
    chunks = make(None, slow.default, text, None, ":", ",", False, False, False)
    return lambda value: "".join(chunks(value, 0))


_dumps: Final = _quick_encoder()
_scan: Final = cast("Callable[[str, int], tuple[Any, int]]", json.JSONDecoder().scan_once)  # type: ignore[attr-defined]


def _quick_decode(text: str) -> Any:
    """Read text as we write it, without spaces around; ``json.loads`` looks at much else first."""
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        return json.loads(text)
    return value if end == len(text) else json.loads(text)


def _is_plain(value: Any, depth: int) -> bool:
    """Say whether the C encoder writes this value without loss; one frame a container, none a leaf."""
    kind = type(value)
    if kind is dict:
        if not _TEXT.issuperset(map(type, value)):
            return False
        items: Iterable[Any] = value.values()
    elif kind is list:
        items = value
    else:
        return kind in _SCALARS
    kinds = set(map(type, items))
    if kinds <= _SCALARS:
        return True
    if depth <= 0 or not kinds <= _PLAIN:
        return False
    return all(_is_plain(item, depth - 1) for item in items)


class Codec:
    """Encodes values to JSON text, with a table of registered types.

    A registration is seen by every thread; register at import time, before values are stored.
    """

    def __init__(self) -> None:
        self._by_type: dict[type[Any], _Registered] = {}
        self._by_name: dict[str, _Registered] = {}
        # Kept, because ``json.loads`` with a hook makes a new one each time.
        self._tagged = json.JSONDecoder(object_hook=self._value)

    @overload
    def register(self, kind: T, *, name: str | None = None) -> T: ...

    @overload
    def register(
        self,
        kind: T,
        *,
        name: str | None = None,
        to_json: Callable[[Any], Any] | None = None,
        from_json: Callable[[Any], Any] | None = None,
    ) -> T: ...

    @overload
    def register(
        self,
        kind: None = None,
        *,
        name: str | None = None,
        to_json: Callable[[Any], Any] | None = None,
        from_json: Callable[[Any], Any] | None = None,
    ) -> Callable[[T], T]: ...

    def register(
        self,
        kind: T | None = None,
        *,
        name: str | None = None,
        to_json: Callable[[Any], Any] | None = None,
        from_json: Callable[[Any], Any] | None = None,
    ) -> T | Callable[[T], T]:
        """Let values of a type be stored. Enums, dataclasses and pydantic models need no functions.

        Args:
            kind: the type; left out when used as a decorator with arguments.
            name: what the type is called in stored text, its qualified name if left out.
            to_json: makes a value that this codec knows out of one of the type.
            from_json: makes a value of the type out of that again.

        Returns:
            The type itself, or a decorator.

        Raises:
            TypeError: the type is none of those three and a function is missing.
            Duplicate: another type has that name.
        """
        if kind is None:
            return lambda late: self.register(late, name=name, to_json=to_json, from_json=from_json)
        if to_json is None or from_json is None:
            forms = default_forms(kind)
            to_json, from_json = to_json or forms[0], from_json or forms[1]
        entry = _Registered(name or kind.__qualname__, kind, to_json, from_json)
        known = self._by_name.get(entry.name)
        if known is not None and _identity(known.kind) != _identity(kind):
            raise exc.Duplicate(
                f"'{entry.name}' is already the name of {known.kind!r}: "
                f"give name= to register {kind!r} as well"
            )
        self._by_name[entry.name] = entry
        self._by_type[kind] = entry
        return kind

    def encode(self, value: Any) -> str:
        """Turn a value into JSON text.

        Args:
            value: the value.

        Returns:
            The text, pure ASCII.

        Raises:
            NotSerializable: some part of it has no JSON form; the error tells where it is and what to do.
        """
        if type(value) in _QUICK:
            return _dumps(value)
        if _is_plain(value, MAX_DEPTH - 1):
            try:
                text = _dumps(value)
            except ValueError:
                # NaN, an infinity or an integer too long for Python: each has a form of ours.
                pass
            else:
                if '"$' not in text:
                    return text
        return _dumps(self._form(value, "value", 0))

    def decode(self, text: str) -> Any:
        """Turn JSON text back into the value.

        Args:
            text: what ``encode`` gave, or any JSON text.

        Returns:
            The value.

        Raises:
            InvalidFormat: the text is no JSON, or holds a type that nobody registered.
        """
        try:
            if '"$' in text:
                return self._tagged.decode(text)
            return _quick_decode(text)
        except exc.InvalidFormat:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
            raise exc.InvalidFormat(
                f"stored text cannot be read ({error}): {text!r:.200}", cause=error
            ) from error

    def _form(self, value: Any, path: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise exc.NotSerializable(
                f"value contains itself, or is nested more than {MAX_DEPTH} deep, at {path:.80}...: "
                f"break the circle or flatten it"
            )
        kind = type(value)
        if kind is int and value.bit_length() > _LONG_INT_BITS:
            return {"$int": hex(value)}
        if kind is float and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124  NaN
            return {"$float": repr(value)}
        if kind in _SCALARS:
            return value
        if kind is list:
            return [self._form(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
        if kind is dict:
            return self._dict_form(value, path, depth)
        return self._tagged_form(value, path, depth)

    def _dict_form(self, value: dict[Any, Any], path: str, depth: int) -> Any:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: self._form(item, f"{path}[{key!r}]", depth + 1) for key, item in value.items()}
        return {
            "$dict": [
                [
                    self._form(key, f"{path}.keys()[{i}]", depth + 1),
                    self._form(item, f"{path}[{key!r}]", depth + 1),
                ]
                for i, (key, item) in enumerate(value.items())
            ]
        }

    def _tagged_form(self, value: Any, path: str, depth: int) -> Any:
        kind = type(value)
        if kind is tuple:
            return {"$tuple": [self._form(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]}
        if kind is set or kind is frozenset:
            forms = [self._form(item, f"an item of {path}", depth + 1) for item in value]
            # Sorted, so that equal sets give equal text whatever the hash seed.
            return {f"${kind.__name__}": sorted(forms, key=_dumps)}
        tag = BUILTIN.get(kind)
        if tag is not None:
            return {tag[0]: tag[1](value)}
        entry = self._by_type.get(kind)
        if entry is None:
            raise _no_form(value, path)
        try:
            form = entry.to_json(value)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise exc.NotSerializable(
                f"{path} cannot be stored: to_json of registered type '{entry.name}' failed: {error}",
                cause=error,
            ) from error
        return {"$type": [entry.name, self._form(form, f"{path}.{entry.name}", depth + 1)]}

    def _value(self, found: dict[str, Any]) -> Any:
        if len(found) != 1:
            return found
        ((tag, form),) = found.items()
        if not tag.startswith("$"):
            return found
        if tag == "$type":
            name, inner = form
            entry = self._by_name.get(name)
            if entry is None:
                raise exc.InvalidFormat(
                    f"stored value is of type '{name}', which is not registered here: "
                    f"import the module that registers it with codec.register before reading"
                )
            return entry.from_json(inner)
        reader = READERS.get(tag)
        if reader is None:
            raise exc.InvalidFormat(
                f"stored value has the unknown tag '{tag}': a newer version may have written it"
            )
        return reader(form)


def _identity(kind: type[Any]) -> tuple[str, str]:
    # A module that is loaded again makes new classes of the same name: those take the place of the old ones.
    return kind.__module__, kind.__qualname__


def _no_form(value: Any, path: str) -> exc.NotSerializable:
    kind = type(value)
    return exc.NotSerializable(
        f"{path} is of type {kind.__module__}.{kind.__qualname__}, which has no JSON form: return plain data "
        f"or an id that finds it again, or register it: stackl_flow.codec.register({kind.__qualname__}, ...)"
    )


__all__ = ["DEFAULT", "MAX_DEPTH", "Codec", "TextCodec", "decode", "encode", "register"]

DEFAULT: Final = Codec()
encode: Final = DEFAULT.encode
decode: Final = DEFAULT.decode
register: Final = DEFAULT.register
