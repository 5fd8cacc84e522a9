"""Opens the storage of flows and boards: for running, for resuming, or read-only.

Read-only commands never create anything, and a missing file or directory is an error.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stackl_flow import exceptions as exc
from stackl_flow.persistence import backends
from stackl_flow.persistence.base import Backend
from stackl_flow.urls import expand_path

_PLAIN_NAMES = ("memory",)
_SQLITE = "sqlite:///"
#: URL schemes of files on this machine, with what a message calls them.
_LOCAL = {"sqlite": "database file", "dir": "directory", "directory": "directory", "file": "directory"}
_IN_MEMORY = ("sqlite://", "sqlite:///", "sqlite:///:memory:")

# ------------------------------------------------------------- URLs


def require_existing(url: str, option: str, remedy: str) -> str:
    """Check that the file or directory of a URL exists, and return the URL.

    Args:
        url: a URL, or the path of a SQLite file.
        option: the command line option that it was passed with.
        remedy: the command that creates it.

    Raises:
        StorageFailure: it does not exist.
    """
    url = expand_path(url)
    scheme, _, rest = url.partition("://")
    path = (url.removeprefix(_SQLITE) if scheme == "sqlite" else rest).partition("?")[0]
    kind = _LOCAL.get(scheme)
    if kind and path and not path.startswith((":", "/:", "file:")) and not Path(path).exists():
        raise exc.StorageFailure(
            f"{kind} '{Path(path).absolute()}' does not exist: check {option} and the current directory,"
            f" or create it with {remedy}"
        )
    return url


def require_shared(url: str, option: str) -> None:
    """Check that other processes can reach a store.

    Args:
        url: a URL, or the path of a SQLite file.
        option: the command line option that it was passed with.

    Raises:
        StorageFailure: it is in the memory of this process.
    """
    full_url = expand_path(url)
    if full_url.partition("?")[0] in {*_PLAIN_NAMES, *_IN_MEMORY} or full_url.startswith("memory:"):
        raise exc.StorageFailure(
            f"'{url}' is in the memory of this process and is lost when it ends: pass {option} a URL that"
            " conductors can reach, such as the path of a file"
        )


# ------------------------------------------------------------- backends


@contextmanager
def open_for_running(url: str) -> Iterator[Backend]:
    """Open storage in which flows run; its tables are created or migrated if needed.

    Args:
        url: a URL, or the path of a SQLite file.

    Raises:
        StorageFailure: it cannot be used.
    """
    with _fetch(expand_path(url)) as backend:
        _upgrade(backend)
        yield backend


@contextmanager
def open_for_resuming(url: str) -> Iterator[Backend]:
    """Open existing storage to resume flows in it.

    Args:
        url: a URL, or the path of a SQLite file.

    Raises:
        StorageFailure: it does not exist or cannot be used.
    """
    with _fetch(_require_database(url)) as backend:
        _validate(backend)
        yield backend


@contextmanager
def open_read_only(url: str) -> Iterator[Backend]:
    """Open existing storage for queries; values are returned as stored JSON, and none can be written.

    Args:
        url: a URL, or the path of a SQLite file.

    Raises:
        StorageFailure: it does not exist or cannot be used.
    """
    with _fetch(_require_database(url), codec=RawJSONCodec()) as backend:
        _validate(backend)
        yield backend


def upgrade_database(url: str) -> str:
    """Create the tables of a database, or migrate them to the version of this library.

    Args:
        url: a URL, or the path of a SQLite file.

    Returns:
        The name of the database for messages, without any password.

    Raises:
        StorageFailure: it cannot be used.
        IncompatibleVersion: a newer version of this library created it.
    """
    with _fetch(expand_path(url)) as backend:
        _upgrade(backend)
        return backend.name


class RawJSONCodec:
    """A codec that returns values as the JSON they are stored as.

    An operator has to see a flow even if the types of its values cannot be imported here.
    """

    def encode(self, value: Any) -> str:
        """Refuse to write: values that were read this way must not be written back.

        Raises:
            NotSupported: always.
        """
        del value
        raise exc.NotSupported("this backend was opened read-only: open it with the usual codec to write")

    def decode(self, text: str) -> Any:
        """Parse JSON.

        Raises:
            InvalidFormat: the text is not JSON.
        """
        try:
            return json.loads(text, object_hook=_with_plain_arguments)
        except ValueError as error:
            raise exc.InvalidFormat(
                f"stored text is not JSON ({error}): {text!r:.200}", cause=error
            ) from error


def _with_plain_arguments(data: dict[str, Any]) -> dict[str, Any]:
    """Return a stored object; if it is a failure, with the arguments of its exception as a list."""
    arguments = data.get("exc_args")
    if "exc_type_names" in data and isinstance(arguments, dict):
        data["exc_args"] = arguments.get("$tuple", [])
    return data


def _require_database(url: str) -> str:
    return require_existing(url, "--db", "`stackl-flow db upgrade`")


def _fetch(url: str, **options: Any) -> Backend:
    with errors_as_storage_failure():
        return backends.fetch(url, **options)


def _upgrade(backend: Backend) -> None:
    with backend.get_connection() as connection:
        connection.upgrade()


def _validate(backend: Backend) -> None:
    with backend.get_connection() as connection:
        connection.validate()


@contextmanager
def errors_as_storage_failure() -> Iterator[None]:
    """Report an invalid URL or an unknown backend as storage that cannot be used.

    Raises:
        StorageFailure: the URL is invalid.
    """
    add_working_directory()  # the URL may name a codec, which may be a module there
    try:
        yield
    except (exc.NotFound, exc.InvalidFormat) as error:
        raise exc.StorageFailure(str(error.args[0]), cause=error.cause) from error


def add_working_directory() -> str:
    """Put the current directory first on the import path, and return it."""
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    return directory
