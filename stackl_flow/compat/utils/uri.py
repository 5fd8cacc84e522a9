"""URIs such as `parallel://?max_workers=2`, parsed and merged into settings, as in `taskflow.utils.misc`."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, parse_qsl, urlsplit

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class Uri(SplitResult):
    """A parsed URI."""

    __slots__ = ()

    def params(self, collapse: bool = True) -> dict[str, Any]:
        """Return the query parameters; with ``collapse``, only the last value of each."""
        return dict(parse_qsl(self.query)) if collapse else dict(parse_qs(self.query))


def parse_uri(uri: str) -> Uri:
    """Parse a URI.

    Raises:
        TypeError: the argument is not text.
        ValueError: the URI has no scheme.
    """
    if not isinstance(uri, str):
        raise TypeError(f"a URI must be text, not {uri!r} ({type(uri).__name__})")
    if not _SCHEME.match(uri):
        raise ValueError(f"URI '{uri}' has no scheme such as 'memory:'")
    return Uri(*urlsplit(uri))


def merge_uri(uri: Uri, conf: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the parts and parameters of a URI to settings, without overwriting, and return the settings."""
    host = uri.hostname
    if host and uri.port is not None:
        host = f"{host}:{uri.port}"
    parts = {"username": uri.username, "password": uri.password, "hostname": host}
    values: dict[str, Any] = {name: value for name, value in parts.items() if value}
    if uri.port is not None:
        values["port"] = uri.port
    for name, value in {**uri.params(), **values}.items():
        conf.setdefault(name, value)
    return conf


def extract_driver_and_conf(conf: str | Mapping[str, Any], conf_key: str) -> tuple[str, Mapping[str, Any]]:
    """Return the name of a plugin and its settings.

    Args:
        conf: the settings, or only the value of the key.
        conf_key: the key of the name, or of a URI with the name as scheme.

    Returns:
        The name, and the settings merged with the URI.
    """
    settings: Mapping[str, Any] = {conf_key: conf} if isinstance(conf, str) else conf
    value = settings[conf_key]
    try:
        uri = parse_uri(value)
    except (TypeError, ValueError):
        return value, settings
    return uri.scheme, merge_uri(uri, dict(settings))
