"""SQL databases, for key-value stores and persistence alike: URLs, engines, errors, retries.

`open_database` reads a URL and returns the `Database` for it: `SQLite`, `PostgreSQL`, `MySQL`, or the generic
base class for any other database that SQLAlchemy supports. The driver is imported at that point.
"""

from __future__ import annotations

from typing import Any, Final, cast

from stackl_flow import plugins, urls
from stackl_flow.databases.base import Database, ErrorKind
from stackl_flow.databases.retrying import Retrying, RetryPolicy

__all__ = ["Database", "ErrorKind", "RetryPolicy", "Retrying", "open_database"]

_NAMESPACE: Final = "stackl_flow.databases"
_BUILTIN: Final = {
    "mariadb": "stackl_flow.databases.mysql:MySQL",
    "mysql": "stackl_flow.databases.mysql:MySQL",
    "postgresql": "stackl_flow.databases.postgresql:PostgreSQL",
    "sqlite": "stackl_flow.databases.sqlite:SQLite",
}


def open_database(url: urls.BackendURL, **options: type[Any]) -> Database:
    """Return the database of a URL; no connection is made yet.

    Args:
        url: the parsed URL.
        options: names and types of options that the caller reads itself, from ``Database.options``.

    Raises:
        InvalidFormat: the URL or one of its options is invalid.
        NotFound: the driver is not installed.
    """
    database = Database
    if url.backend in _BUILTIN:
        database = cast(
            "type[Database]", plugins.load_backend(url.backend, url.masked_url, _NAMESPACE, _BUILTIN)
        )
    return database(url, **options)
