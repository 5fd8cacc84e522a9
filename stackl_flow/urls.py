"""Backend URLs: where flows, jobs or items are stored, parsed into one frozen value.

Every backend takes a URL, or a dictionary of settings with the URL under "connection": ``memory``,
``memory://name``, ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``sqlite://`` (in memory),
``dir:///absolute/path``, ``driver://user:password@host/name``. Options follow after ``?`` or are further keys
of the dictionary. The path of a file, such as ``flows.db`` or ``./flows``, is the URL of that SQLite file; a
path without a dot or slash would be read as the name of a backend.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote

from stackl_flow import exceptions as exc

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+.-]*\Z")
# Texts that are not paths: the name of a backend, "dir:" as TaskFlow programs write it, and malformed URLs
# such as "redis:/localhost". One letter and a colon may be a drive.
_NOT_A_PATH: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*\Z|[A-Za-z][A-Za-z0-9+]+:")
#: Schemes without a login: an "@" is part of a path.
_WITHOUT_LOGIN: Final = frozenset({"memory", "sqlite", "dir", "directory", "file"})
#: What may stand between a login and the path: hosts with ports.
_HOSTS: Final = re.compile(r"[^@:]*(?::\d*)?(?:,[^@:]*(?::\d*)?)*\Z|[^@]*\]:?\d*\Z")
#: Options whose value may contain an "@".
_WITH_AT: Final = frozenset(
    {"user", "username", "password", "sentinel_kwargs", "options", "application_name"}
)
#: Options whose value no message shows.
_SECRET_OPTIONS: Final = frozenset(
    {"password", "auth_data", "sentinel_kwargs", "keyfile_password", "ssl_password"}
)
_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class BackendURL:
    """A parsed backend URL with its options.

    Attributes:
        backend: the name of the backend: the scheme without a "+driver" suffix, in lower case.
        scheme: the scheme, in lower case.
        location: the part between "//" and "?".
        options: the options of the query and the settings, unconverted.
        unmasked_url: the URL without its options. It may contain a password.
        conf: the settings, with the complete URL under "connection".
    """

    backend: str
    scheme: str
    location: str = field(repr=False)
    unmasked_url: str = field(repr=False)
    options: Mapping[str, Any] = field(repr=False)
    conf: Mapping[str, Any] = field(repr=False)

    @property
    def masked_url(self) -> str:
        """The URL for messages and logs, without options and with the password masked."""
        return _mask_password(self.unmasked_url)

    @property
    def login(self) -> tuple[str, str]:
        """User and password of the URL, unquoted; empty without a login."""
        login, _, _ = self._split_location()
        user, _, password = login.partition(":")
        return unquote(user), unquote(password)

    @property
    def location_without_login(self) -> str:
        """The location without user and password."""
        return self._split_location()[2]

    def _split_location(self) -> tuple[str, str, str]:
        if self.backend in _WITHOUT_LOGIN or self.location.startswith("/"):
            return "", "", self.location
        return self.location.rpartition("@")

    def conf_without(self, option: str) -> dict[str, Any]:
        """Return the settings without an option that the caller handles itself."""
        conf = {name: value for name, value in self.conf.items() if name != option}
        for name, value in conf.items():
            if isinstance(value, str) and "?" in value:
                head, _, query = value.partition("?")
                rest = "&".join(part for part in query.split("&") if part.partition("=")[0] != option)
                conf[name] = f"{head}?{rest}" if rest else head
        return conf

    def read_options(self, **types: type[Any]) -> Options:
        """Check and convert the options; options that are None count as not given.

        Args:
            types: the options that the backend supports, with their types: str, int, float or bool.

        Raises:
            InvalidFormat: an option is unknown or has the wrong type.
        """
        given = {name: value for name, value in self.options.items() if value is not None}
        values = {name: self._convert(name, value, types) for name, value in given.items()}
        return Options(self.masked_url, self.location, MappingProxyType(values))

    def _convert(self, name: str, value: Any, types: Mapping[str, type[Any]]) -> Any:
        if name not in types:
            known = ", ".join(sorted(types)) or "none"
            raise exc.InvalidFormat(
                f"unknown option '{name}' in '{self.masked_url}': known options are {known}"
            )
        kind = types[name]
        try:
            return _to_bool(value) if kind is bool else kind(value)
        except (ValueError, TypeError) as error:
            if name in _SECRET_OPTIONS:  # the error of the conversion may quote it
                raise exc.InvalidFormat(f"option '{name}' in '{self.masked_url}' is malformed") from None
            raise exc.InvalidFormat(
                f"option '{name}' in '{self.masked_url}' must be {kind.__name__}, not {value!r}", cause=error
            ) from error


@dataclass(frozen=True, slots=True)
class Options:
    """The converted options of a backend URL.

    Attributes:
        masked_url: the URL for messages and logs.
        location: the part between "//" and "?".
        values: the options that were given, by name.
    """

    masked_url: str
    location: str
    values: Mapping[str, Any]


def _mask_password(url: str) -> str:
    """Mask everything from the first colon of the login to the last "@", whatever the password contains."""
    login, at, rest = url.rpartition("@")
    scheme, slashes, login = login.partition("://") if "://" in login else ("", "", login)
    user, colon, _ = login.partition(":")
    if not at or not colon:
        return url
    if not slashes:
        user = f"{user}:***" if login.count(":") > 1 else user  # "redis:user:password@host"
    return f"{scheme}{slashes}{user}:***@{rest}"


def quote_login(url: str) -> str:
    """Return a URL with the special characters of user and password quoted, whether they were or not.

    A password may have been written as it is, with characters that end a login or begin the options. Where
    the first "@" that could end the login is followed by something else than hosts, a path and options, the
    login ends at the last one.
    """
    scheme, _, rest = url.partition("://")
    if "@" not in rest or rest.startswith("/") or scheme.partition("+")[0].lower() in _WITHOUT_LOGIN:
        return url
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    login, at, hosts = authority.rpartition("@")
    path, _, query = rest[len(authority) :].partition("?")
    if "@" in path or not _HOSTS.match(hosts) or not _are_options(query):
        login, at, _ = rest.rpartition("@")
    if not at:
        return url
    user, colon, password = login.partition(":")
    return f"{scheme}://{_quote(user)}{colon}{_quote(password)}@{rest[len(login) + 1 :]}"


def _are_options(query: str) -> bool:
    """Return whether every "@" of a query is in the value of an option that may contain one."""
    return all(part.partition("=")[0] in _WITH_AT for part in query.split("&") if "@" in part)


def _quote(text: str) -> str:
    return quote(_PERCENT.sub("%25", text), safe="%!$'()*,;=~+")


def _to_bool(value: Any) -> bool:
    text = str(value).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError(f"{value!r} is not a boolean: write yes or no")


def expand_path(text: str) -> str:
    """Return the URL of a SQLite file for its path; any other text as it is."""
    if "://" in text or _NOT_A_PATH.match(text.partition("?")[0]):
        return text
    return f"sqlite:///{text}"


def parse(conf: str | Mapping[str, Any], key: str = "connection") -> BackendURL:
    """Parse a backend URL.

    Args:
        conf: the URL or the path of a SQLite file, or settings that contain one.
        key: the key of the URL in the settings.

    Raises:
        InvalidFormat: the URL is missing or malformed.
    """
    if isinstance(conf, str):
        settings: dict[str, Any] = {key: conf}
    elif isinstance(conf, Mapping):
        settings = dict(conf)
    else:
        raise exc.InvalidFormat(f"expected a URL or a dictionary with '{key}', not {type(conf).__name__}")
    url = settings.get(key)
    if not isinstance(url, str) or not url.strip():
        raise exc.InvalidFormat(
            f"'{key}' must be a URL such as 'memory' or 'sqlite:///flows.db', not {url!r}"
        )
    url = settings[key] = quote_login(expand_path(url.strip()))
    scheme, slashes, rest = url.partition("://")
    if not slashes:
        scheme, _, query = scheme.partition("?")
        scheme = scheme.removesuffix(":")  # TaskFlow programs write "dir:" and give the path as an option
        rest = f"?{query}"
    if not _SCHEME.match(scheme):
        head, colon, rest = url.partition(":")
        example = f", such as {head}://{rest.lstrip('/')}" if colon and _SCHEME.match(head) else ""
        if "@" in url:
            example = ""
        shown = _mask_password(url) if "@" in url else url.partition("?")[0]
        raise exc.InvalidFormat(
            f"invalid URL '{shown}': write 'memory', 'sqlite:///FILE' or SCHEME://LOCATION{example}"
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
