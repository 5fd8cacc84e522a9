"""Addresses such as `parallel://?max_workers=2`, taken apart and merged into settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, parse_qsl, urlsplit

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class Uri(SplitResult):
    """An address, taken apart."""

    __slots__ = ()

    def params(self, collapse: bool = True) -> dict[str, Any]:
        """Read what stands after the question mark.

        Args:
            collapse: of a name that is given several times, take the last value only.

        Returns:
            Values by name, or lists of them.
        """
        return dict(parse_qsl(self.query)) if collapse else dict(parse_qs(self.query))


def parse_uri(uri: str) -> Uri:
    """Take an address apart.

    Args:
        uri: the address.

    Returns:
        Its parts.

    Raises:
        TypeError: that is no text.
        ValueError: it does not begin with a scheme.
    """
    if not isinstance(uri, str):
        raise TypeError(f"Can only parse text as an address, not {uri!r} ({type(uri).__name__})")
    if not _SCHEME.match(uri):
        raise ValueError(f"Uri '{uri}' does not begin with a scheme, such as 'memory:'")
    return Uri(*urlsplit(uri))


def merge_uri(uri: Uri, conf: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add user, password, host, port and parameters of an address to settings.

    Args:
        uri: the address, taken apart.
        conf: the settings; what stands there already stays.

    Returns:
        The same settings.
    """
    host = uri.hostname
    if host and uri.port is not None:
        host = f"{host}:{uri.port}"
    found = {"username": uri.username, "password": uri.password, "hostname": host}
    told: dict[str, Any] = {name: value for name, value in found.items() if value}
    if uri.port is not None:
        told["port"] = uri.port
    for name, value in {**uri.params(), **told}.items():
        conf.setdefault(name, value)
    return conf


def extract_driver_and_conf(conf: str | Mapping[str, Any], conf_key: str) -> tuple[str, Mapping[str, Any]]:
    """Read the name of a plug-in, and its settings, out of settings.

    Args:
        conf: the settings, or the one value that would stand under the key.
        conf_key: under which the plug-in's name, or an address that begins with it, stands.

    Returns:
        The name, and the settings with what the address says.
    """
    settings: Mapping[str, Any] = {conf_key: conf} if isinstance(conf, str) else conf
    found = settings[conf_key]
    try:
        uri = parse_uri(found)
    except (TypeError, ValueError):
        return found, settings
    return uri.scheme, merge_uri(uri, dict(settings))
