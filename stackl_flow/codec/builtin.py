"""The JSON forms of Python's own types, and those that Enums, dataclasses and pydantic models get unasked."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, Final

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
