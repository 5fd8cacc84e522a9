"""The JSON codec for everything that is stored or sent.

`DEFAULT` is the codec that the library uses unless another is passed; `encode`, `decode` and `register` are
its methods.

Plain JSON values are written as they are, by the C encoder. Other values become an object with a single key
that starts with ``$`` and names the type, such as ``{"$date": "2024-05-01"}``. A dictionary with keys that
are not strings or start with ``$`` is written as ``{"$dict": [[key, value], ...]}``. The text is always
standard JSON: NaN and the infinities become ``{"$float": "nan"}``.

Register your own types to store them::

    @codec.register
    @dataclass
    class Address: ...

    codec.register(Colour)                                  # an Enum
    codec.register(Money, to_json=str, from_json=Money)     # any type

A registered type is stored under a name, by default that of its class, without its module, so that it can
move to another module. Only the exact type is encoded; register subclasses separately.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import json
import re
import uuid
import zoneinfo
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, Protocol, TypeVar, cast, overload

from stackl_flow import error_text
from stackl_flow import exceptions as exc

Writer = Callable[[Any], Any]
Reader = Callable[[Any], Any]

# ------------------------------------------------------------------ JSON representations of types


def _write_datetime(value: dt.datetime) -> Any:
    zone = getattr(value.tzinfo, "key", None)
    if zone is None and not value.fold:
        return value.isoformat()
    # ISO text keeps the offset only; arithmetic across a change to or from summer time needs the zone.
    local = value.replace(tzinfo=None) if zone else value
    return [local.isoformat(), zone, value.fold]


def _read_datetime(data: Any) -> dt.datetime:
    if isinstance(data, str):
        return dt.datetime.fromisoformat(data)
    text, zone, fold = _checked(data, str, (str, type(None)), int)
    value = dt.datetime.fromisoformat(text).replace(fold=fold)
    return value.replace(tzinfo=zoneinfo.ZoneInfo(zone)) if zone else value


def _write_time(value: dt.time) -> Any:
    return [value.isoformat(), value.fold] if value.fold else value.isoformat()


def _read_time(data: Any) -> dt.time:
    if isinstance(data, str):
        return dt.time.fromisoformat(data)
    text, fold = _checked(data, str, int)
    return dt.time.fromisoformat(text).replace(fold=fold)


def _write_timedelta(value: dt.timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _write_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _read_bytes(data: str) -> bytes:
    return base64.b64decode(data, validate=True)


def _read_dict(data: list[Any]) -> dict[Any, Any]:
    pairs = (_checked(pair, object, object) for pair in data)
    return {key: item for key, item in pairs}  # noqa: C416  shorter than the types of a call of dict()


def _checked(data: Any, *kinds: type | tuple[type, ...]) -> list[Any]:
    """Check that data is a list of as many items as there are types, each of its type."""
    if type(data) is not list or len(data) != len(kinds):
        raise ValueError(f"expected a list of {len(kinds)} items")
    for item, kind in zip(data, kinds, strict=True):
        if not isinstance(item, kind):
            raise ValueError(f"a {type(item).__name__} is in the wrong place")  # noqa: TRY004  malformed text
    return data


def _read_int(data: str) -> int:
    return int(data, 16)


def _read_timedelta(data: list[int]) -> dt.timedelta:
    return dt.timedelta(*_checked(data, int, int, int))


_WRITERS: Final[dict[type[Any], tuple[str, Writer]]] = {
    dt.datetime: ("$datetime", _write_datetime),
    dt.date: ("$date", dt.date.isoformat),
    dt.time: ("$time", _write_time),
    dt.timedelta: ("$timedelta", _write_timedelta),
    decimal.Decimal: ("$decimal", str),
    uuid.UUID: ("$uuid", str),
    bytes: ("$bytes", _write_bytes),
}

#: For each tag the type of its content, which functions such as ``tuple`` do not check, and the reader.
_READERS: Final[dict[str, tuple[type | tuple[type, ...], Reader]]] = {
    "$datetime": ((str, list), _read_datetime),
    "$date": (str, dt.date.fromisoformat),
    "$time": ((str, list), _read_time),
    "$timedelta": (list, _read_timedelta),
    "$decimal": (str, decimal.Decimal),
    "$uuid": (str, uuid.UUID),
    "$bytes": (str, _read_bytes),
    "$tuple": (list, tuple),
    "$set": (list, set),
    "$frozenset": (list, frozenset),
    "$dict": (list, _read_dict),
    "$int": (str, _read_int),
    "$float": (str, float),
}


@dataclasses.dataclass(frozen=True, slots=True)
class _DataclassConverter:
    """Converts a dataclass to its init fields, and back by its ``__init__``."""

    kind: type[Any]

    def write(self, value: Any) -> dict[str, Any]:
        return {
            field.name: getattr(value, field.name) for field in dataclasses.fields(self.kind) if field.init
        }

    def read(self, data: dict[str, Any]) -> Any:
        return self.kind(**data)


@dataclasses.dataclass(frozen=True, slots=True)
class _ModelConverter:
    """Converts a pydantic model, and validates it on the way back, without importing pydantic."""

    kind: type[Any]

    def write(self, value: Any) -> Any:
        return value.model_dump(mode="json", by_alias=True, round_trip=True)

    def read(self, data: Any) -> Any:
        return self.kind.model_validate(data)


def _write_enum(value: enum.Enum) -> Any:
    return value.value


def _default_converters(kind: type[Any]) -> tuple[Writer, Reader]:
    """Return the writer and reader of an Enum, a dataclass or a pydantic model."""
    if issubclass(kind, enum.Enum):
        return _write_enum, kind
    if dataclasses.is_dataclass(kind):
        fields = _DataclassConverter(kind)
        return fields.write, fields.read
    if hasattr(kind, "model_validate") and hasattr(kind, "model_dump"):
        model = _ModelConverter(kind)
        return model.write, model.read
    raise TypeError(
        f"{kind!r} is not an Enum, dataclass or pydantic model: pass to_json= and from_json= to register it"
    )


# ------------------------------------------------------------------ the codec

T = TypeVar("T", bound=type[Any])

MAX_DEPTH: Final = 100
"""Values nested more deeply cannot be encoded. Python's own limit depends on the caller's stack."""
# Python limits the length of decimal integers; any setting allows 640 digits.
_LONG_INT_BITS: Final = 2000

_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_TEXT: Final = frozenset({str})
_QUICK: Final = frozenset({bool, type(None)})
_PLAIN: Final = _SCALARS | {list, dict}


class TextCodec(Protocol):
    """The interface of a codec. Wrap another codec to encrypt or compress the text."""

    def encode(self, value: Any) -> str:
        """Return the text of a value."""

    def decode(self, text: str) -> Any:
        """Return the value of a text."""


class _Registered(NamedTuple):
    name: str
    kind: type[Any]
    to_json: Callable[[Any], Any]
    from_json: Callable[[Any], Any]


def _build_encoder() -> Callable[[Any], str]:
    """Build the C encoder once; ``json.dumps`` builds one per call, which takes longer than a small value."""
    encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)
    make_encoder = getattr(json.encoder, "c_make_encoder", None)
    if make_encoder is None:
        return encoder.encode
    encode_text = json.encoder.encode_basestring_ascii
    chunks = make_encoder(None, encoder.default, encode_text, None, ":", ",", False, False, False)
    return lambda value: "".join(chunks(value, 0))


_dumps: Final = _build_encoder()
_scan: Final = cast("Callable[[str, int], tuple[Any, int]]", json.JSONDecoder().scan_once)  # type: ignore[attr-defined]


def _loads(text: str) -> Any:
    """Decode text without surrounding spaces faster than ``json.loads``; fall back to it otherwise."""
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        return json.loads(text)
    return value if end == len(text) else json.loads(text)


def _is_plain(value: Any, depth: int) -> bool:
    """Return whether the C encoder writes the value without loss; one frame per container, none per leaf."""
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
    for item in items:  # noqa: SIM110  a generator takes twice as long
        if type(item) not in _SCALARS and not _is_plain(item, depth - 1):
            return False
    return True


class Codec:
    """A JSON codec with a registry of types.

    Register types at import time, before values are stored. A codec can be shared between threads.
    """

    def __init__(self) -> None:
        self._by_type: dict[type[Any], _Registered] = {}
        self._by_name: dict[str, _Registered] = {}
        # Built once, because ``json.loads`` with a hook builds one per call.
        self._tagged_decoder = json.JSONDecoder(object_hook=self._from_json)

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
        """Register a type, so that its values can be stored.

        Enums, dataclasses and pydantic models need no functions.

        Args:
            kind: the type; left out when used as a decorator with arguments.
            name: the name of the type in stored text; defaults to its qualified name.
            to_json: converts a value of the type to one that the codec can encode.
            from_json: converts it back.

        Returns:
            The type itself, or a decorator.

        Raises:
            TypeError: a function is missing for a type that needs both.
            Duplicate: another type is registered under that name.
        """
        if kind is None:
            return lambda decorated: self.register(decorated, name=name, to_json=to_json, from_json=from_json)
        if to_json is None or from_json is None:
            writer, reader = _default_converters(kind)
            to_json, from_json = to_json or writer, from_json or reader
        entry = _Registered(name or kind.__qualname__, kind, to_json, from_json)
        known = self._by_name.get(entry.name)
        if known is not None and _identity(known.kind) != _identity(kind):
            raise exc.Duplicate(
                f"'{entry.name}' is already registered for {known.kind!r}: "
                f"pass another name= to register {kind!r}"
            )
        self._by_name[entry.name] = entry
        self._by_type[kind] = entry
        return kind

    def encode(self, value: Any) -> str:
        """Return the JSON text of a value, in ASCII.

        Raises:
            NotSerializable: a part of the value has no JSON representation; the message says which part. Text
                with surrogates that have no partner has none, because no other program could read it.
        """
        if type(value) in _QUICK:
            return _dumps(value)
        try:
            text = self._encode(value)
        except exc.NotSerializable:
            raise
        except Exception as error:
            # Such as a value that another thread changes, a class that cannot be read, or a full stack.
            raise exc.NotSerializable(
                f"value cannot be encoded: {error_text.describe(error)}", cause=error
            ) from error
        if _SURROGATE in text and _has_lone_surrogate(text):
            raise exc.NotSerializable(
                "value contains text with a surrogate that has no partner, such as a file name that is not"
                " UTF-8: return bytes instead (os.fsencode), or replace it (errors='backslashreplace')"
            )
        return text

    def _encode(self, value: Any) -> str:
        if _is_plain(value, MAX_DEPTH - 1):
            try:
                text = _dumps(value)
            except ValueError:
                # NaN, an infinity or a very long integer: encoded as a tagged object below.
                pass
            else:
                if '"$' not in text:
                    return text
        return _dumps(self._to_json(value, "value", 0))

    def decode(self, text: str) -> Any:
        """Return the value of a text of `encode`, or of any JSON text.

        Raises:
            InvalidFormat: the text is not JSON, contains a surrogate without its partner, or contains a type
                that is not registered.
        """
        try:
            if "\\u" in text or not text.isascii():
                _check_surrogates(text)
            if '"$' in text:
                return self._tagged_decoder.decode(text)
            return _loads(text)
        except exc.InvalidFormat:
            raise
        except Exception as error:  # readers of registered types may raise anything
            raise exc.InvalidFormat(
                f"cannot decode stored text ({error_text.describe(error)}): {text!r:.200}", cause=error
            ) from error

    def _to_json(self, value: Any, path: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise exc.NotSerializable(
                f"value contains itself or is nested more than {MAX_DEPTH} levels deep at {path:.80}...: "
                f"remove the cycle or flatten it"
            )
        kind = type(value)
        if kind is int and value.bit_length() > _LONG_INT_BITS:
            return {"$int": hex(value)}
        if kind is float and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124  NaN
            return {"$float": repr(value)}
        if kind in _SCALARS:
            return value
        if kind is list:
            return [self._to_json(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
        if kind is dict:
            return self._dict_to_json(value, path, depth)
        return self._tagged_to_json(value, path, depth)

    def _dict_to_json(self, value: dict[Any, Any], path: str, depth: int) -> Any:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: self._to_json(item, f"{path}[{key!r}]", depth + 1) for key, item in value.items()}
        return {
            "$dict": [
                [
                    self._to_json(key, f"{path}.keys()[{i}]", depth + 1),
                    self._to_json(item, f"{path}[{key!r}]", depth + 1),
                ]
                for i, (key, item) in enumerate(value.items())
            ]
        }

    def _tagged_to_json(self, value: Any, path: str, depth: int) -> Any:
        kind = type(value)
        if kind is tuple:
            return {
                "$tuple": [self._to_json(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
            }
        if kind is set or kind is frozenset:
            items = [self._to_json(item, f"an item of {path}", depth + 1) for item in value]
            # Sorted, so that equal sets have the same text for any hash seed.
            return {f"${kind.__name__}": sorted(items, key=_dumps)}
        tag = _WRITERS.get(kind)
        if tag is not None:
            return {tag[0]: tag[1](value)}
        entry = self._by_type.get(kind)
        if entry is None:
            raise _not_serializable(value, path)
        try:
            data = entry.to_json(value)
        except Exception as error:  # to_json may raise anything
            raise exc.NotSerializable(
                f"{path} cannot be stored: to_json of registered type '{entry.name}' failed:"
                f" {error_text.message_of(error)}",
                cause=error,
            ) from error
        return {"$type": [entry.name, self._to_json(data, f"{path}.{entry.name}", depth + 1)]}

    def _from_json(self, data: dict[str, Any]) -> Any:
        if len(data) != 1:
            return data
        ((tag, content),) = data.items()
        if not tag.startswith("$"):
            return data
        if tag == "$type":
            name, inner = _checked(content, str, object)
            entry = self._by_name.get(name)
            if entry is None:
                raise exc.InvalidFormat(
                    f"stored value has type '{name}', which is not registered in this process: "
                    f"import the module that registers it with codec.register first"
                )
            return entry.from_json(inner)
        reader = _READERS.get(tag)
        if reader is None:
            raise exc.InvalidFormat(
                f"stored value has the unknown tag '{tag}': it may be written by a newer release"
            )
        kind, read = reader
        if not isinstance(content, kind):
            raise exc.InvalidFormat(f"stored value has the tag '{tag}' with a {type(content).__name__}")
        return read(content)


_SURROGATE: Final = r"\ud"
#: An escape in JSON text, of which those of surrogates are looked at.
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_HIGH: Final = range(0xD800, 0xDC00)
_LOW: Final = range(0xDC00, 0xE000)


def _has_lone_surrogate(text: str) -> bool:
    """Return whether a JSON text has the escape of a surrogate without that of its partner beside it."""
    end, expects_low = 0, False
    for match in _ESCAPE.finditer(text):
        code = int(match[1] or "0", 16)
        if (code in _LOW) != (expects_low and match.start() == end):
            return True
        expects_low, end = code in _HIGH, match.end()
    return expects_low


def _check_surrogates(text: str) -> None:
    """Raise UnicodeEncodeError or InvalidFormat for text with a surrogate without its partner."""
    if not text.isascii():
        text.encode()
    if (_SURROGATE in text or r"\uD" in text) and _has_lone_surrogate(text):
        raise exc.InvalidFormat(f"stored text contains a surrogate without its partner: {text!r:.200}")


def _identity(kind: type[Any]) -> tuple[str, str]:
    # A reloaded module creates new classes of the same name, which replace the old ones.
    return kind.__module__, kind.__qualname__


def _not_serializable(value: Any, path: str) -> exc.NotSerializable:
    kind = type(value)
    return exc.NotSerializable(
        f"{path} has type {kind.__module__}.{kind.__qualname__}, which has no JSON representation: return"
        f" plain data or an id instead, or register it: stackl_flow.codec.register({kind.__qualname__}, ...)"
    )


__all__ = ["DEFAULT", "MAX_DEPTH", "Codec", "TextCodec", "decode", "encode", "register"]

DEFAULT: Final = Codec()
"""The codec that the library uses unless another is passed."""
encode: Final = DEFAULT.encode
decode: Final = DEFAULT.decode
register: Final = DEFAULT.register
