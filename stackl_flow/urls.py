"""Reads where something is kept: an address, or settings with an address in them, become one frozen value.

Addresses: ``memory``, ``memory://name``, ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``sqlite://``
(in memory), ``dir:///absolute/path``, ``driver://user:password@host/name``; options follow after ``?`` or
stand beside "connection" in the settings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qsl

from stackl_flow import exceptions as exc

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+.-]*\Z")
# Up to the last "@": a password may hold one that should have been written %40.
_PASSWORD: Final = re.compile(r"(?<=://)([^:/@]*):.*@")
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class BackendURL:
    """An address, taken apart.

    Attributes:
        backend: the kind of place: the scheme without any "+driver".
        scheme: the scheme as written.
        location: what stands between "//" and "?", as written.
        options: the options of the address and of the settings, as they were given.
        unmasked_url: the address without its options; it may hold a password.
        conf: the settings this was made of, with the whole address under "connection".
    """

    backend: str
    scheme: str
    location: str = field(repr=False)
    unmasked_url: str = field(repr=False)
    options: Mapping[str, Any] = field(repr=False)
    conf: Mapping[str, Any] = field(repr=False)

    @property
    def masked_url(self) -> str:
        """The address as it may be shown: without options and without the password."""
        return _PASSWORD.sub(r"\1:***@", self.unmasked_url)

    def conf_without(self, option: str) -> dict[str, Any]:
        """Return the settings without an option that somebody else has read.

        Args:
            option: its name.

        Returns:
            The settings, for those who know nothing of it.
        """
        kept = {name: value for name, value in self.conf.items() if name != option}
        for name, value in kept.items():
            if isinstance(value, str) and "?" in value:
                head, _, query = value.partition("?")
                rest = "&".join(part for part in query.split("&") if part.partition("=")[0] != option)
                kept[name] = f"{head}?{rest}" if rest else head
        return kept

    def read_options(self, **kinds: type[Any]) -> Options:
        """Read the options.

        Args:
            kinds: the options there are, each with its type: str, int, float or bool.

        Returns:
            The values of those that were given, by name.

        Raises:
            InvalidFormat: an option is unknown or of the wrong type.
        """
        given = {name: value for name, value in self.options.items() if value is not None}
        read = {name: self._read(name, value, kinds) for name, value in given.items()}
        return Options(self.masked_url, self.location, MappingProxyType(read))

    def _read(self, name: str, value: Any, kinds: Mapping[str, type[Any]]) -> Any:
        if name not in kinds:
            known = ", ".join(sorted(kinds)) or "none"
            raise exc.InvalidFormat(f"unknown option '{name}' for '{self.masked_url}': known are {known}")
        kind = kinds[name]
        try:
            return _boolean(value) if kind is bool else kind(value)
        except (ValueError, TypeError) as error:
            raise exc.InvalidFormat(
                f"option '{name}' of '{self.masked_url}' must be {kind.__name__}, not {value!r}", cause=error
            ) from error


@dataclass(frozen=True, slots=True)
class Options:
    """What a place's options say.

    Attributes:
        masked_url: the address as it may be shown.
        location: what stands between "//" and "?".
        values: the values of the options that were given, by name.
    """

    masked_url: str
    location: str
    values: Mapping[str, Any]


def _boolean(value: Any) -> bool:
    word = str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError(f"{value!r} is neither yes nor no")


def parse(conf: str | Mapping[str, Any], key: str = "connection") -> BackendURL:
    """Take an address apart.

    Args:
        conf: the address, or settings that hold it.
        key: where in the settings it is.

    Returns:
        The place.

    Raises:
        InvalidFormat: that is no address, or there is none in the settings.
    """
    if isinstance(conf, str):
        settings: dict[str, Any] = {key: conf}
    elif isinstance(conf, Mapping):
        settings = dict(conf)
    else:
        raise exc.InvalidFormat(
            f"an address or a dictionary with '{key}' is needed, not {type(conf).__name__}"
        )
    address = settings.get(key)
    if not isinstance(address, str) or not address.strip():
        raise exc.InvalidFormat(
            f"an address is needed under '{key}', such as 'memory' or 'sqlite:///flows.db', not {address!r}"
        )
    scheme, slashes, rest = address.strip().partition("://")
    if not slashes:
        scheme, _, query = scheme.partition("?")
        scheme = scheme.removesuffix(":")  # TaskFlow's programs write "dir:" for what stands beside it
        rest = f"?{query}"
    if not _NAME.match(scheme):
        shown = _PASSWORD.sub(r"\1:***@", address)
        word, colon, rest = address.strip().partition(":")
        meant = f", such as {word}://{rest.lstrip('/')}" if colon and _NAME.match(word) else ""
        raise exc.InvalidFormat(
            f"'{shown}' is no address: write 'memory', 'sqlite:///FILE' for a file, or KIND://PLACE{meant}"
        )
    location, _, query = rest.partition("?")
    options: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    options.update({name: value for name, value in settings.items() if name != key})
    return BackendURL(
        backend=scheme.partition("+")[0].lower(),
        scheme=scheme.lower(),
        location=location,
        unmasked_url=scheme + slashes + location,
        options=MappingProxyType(options),
        conf=MappingProxyType(settings),
    )
