"""Opening the place where flows are stored, for looking or for working."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stackl_flow import exceptions as exc
from stackl_flow import urls
from stackl_flow.control.runs import use_working_directory
from stackl_flow.persistence import backends
from stackl_flow.persistence.base import Backend

_PLAIN_NAMES = ("memory",)
_SQLITE = "sqlite:///"
#: What lies in files of this machine.
_KINDS = {"sqlite": "database file", "dir": "directory", "directory": "directory", "file": "directory"}
_IN_MEMORY = ("sqlite://", "sqlite:///", "sqlite:///:memory:")


class AsStored:
    """A codec that leaves values as the JSON they are stored as.

    An operator has to see a flow even where the types of its values are not importable.
    """

    def encode(self, value: Any) -> str:
        """Refuse: what was read this way must not be written back.

        Args:
            value: any value.

        Raises:
            NotSupported: always.
        """
        del value
        raise exc.NotSupported(
            "this backend was opened for looking only: open it with the usual codec to write"
        )

    def decode(self, text: str) -> Any:
        """Read JSON text.

        Args:
            text: the stored text.

        Returns:
            Plain JSON data.

        Raises:
            InvalidFormat: the text is no JSON.
        """
        try:
            return json.loads(text)
        except ValueError as error:
            raise exc.InvalidFormat(
                f"stored text is not JSON ({error}): {text!r:.200}", cause=error
            ) from error


def check_shared(place: str, option: str) -> None:
    """Refuse a place in memory for what another process is to find there.

    Args:
        place: a URL, or the path of a SQLite file.
        option: which option it was given to.

    Raises:
        StorageFailure: it is in the memory of this process.
    """
    url = urls.expand_path(place)
    if url.partition("?")[0] in {*_PLAIN_NAMES, *_IN_MEMORY} or url.startswith("memory:"):
        raise exc.StorageFailure(
            f"'{place}' is in the memory of this command and gone with it: give {option} a place that"
            " conductors reach, too, such as the path of a file"
        )


@contextmanager
def for_work(place: str) -> Iterator[Backend]:
    """Open a place to run flows in; its tables are made or brought up to date.

    Args:
        place: a URL, or the path of a SQLite file.

    Yields:
        The backend.

    Raises:
        StorageFailure: it cannot be used; the message tells what to do.
    """
    with _fetch(urls.expand_path(place)) as backend:
        _upgrade(backend)
        yield backend


@contextmanager
def for_resuming(place: str) -> Iterator[Backend]:
    """Open a place that must exist already, to go on with flows in it.

    Args:
        place: a URL, or the path of a SQLite file.

    Yields:
        The backend.

    Raises:
        StorageFailure: it is not there or cannot be used.
    """
    with _fetch(_existing(place)) as backend:
        _validate(backend)
        yield backend


@contextmanager
def for_looking(place: str) -> Iterator[Backend]:
    """Open a place that must exist already, to read what is in it.

    Args:
        place: a URL, or the path of a SQLite file.

    Yields:
        A backend that gives values as the JSON they are stored as, and refuses to write any.

    Raises:
        StorageFailure: it is not there or cannot be used.
    """
    with _fetch(_existing(place), codec=AsStored()) as backend:
        _validate(backend)
        yield backend


def upgrade(place: str) -> str:
    """Make the tables of a place, or bring them to the version of this code.

    Args:
        place: a URL, or the path of a SQLite file.

    Returns:
        What to call the place in messages, without any password.

    Raises:
        StorageFailure: it cannot be used.
        IncompatibleVersion: a newer version of this library made it.
    """
    with _fetch(urls.expand_path(place)) as backend:
        _upgrade(backend)
        return backend.name


@contextmanager
def told_as_storage() -> Iterator[None]:
    """Tell of an address that makes no sense as of a place that cannot be used.

    Raises:
        StorageFailure: there is no such place; the message tells what to do.
    """
    use_working_directory()  # the address may name a codec, which may be in a module here
    try:
        yield
    except (exc.NotFound, exc.InvalidFormat) as error:
        raise exc.StorageFailure(str(error.args[0]), cause=error.cause) from error


def _fetch(url: str, **options: Any) -> Backend:
    with told_as_storage():
        return backends.fetch(url, **options)


def _upgrade(backend: Backend) -> None:
    with backend.get_connection() as connection:
        connection.upgrade()


def existing(place: str, option: str, remedy: str) -> str:
    """Check that a file or directory is there: whoever only looks must not make an empty one.

    Args:
        place: a URL, or the path of a SQLite file.
        option: which option it was given to.
        remedy: what makes one.

    Returns:
        The address.

    Raises:
        StorageFailure: it is not there.
    """
    url = urls.expand_path(place)
    scheme, _, rest = url.partition("://")
    path = (url.removeprefix(_SQLITE) if scheme == "sqlite" else rest).partition("?")[0]
    kind = _KINDS.get(scheme)
    if kind and path and not path.startswith((":", "/:", "file:")) and not Path(path).exists():
        raise exc.StorageFailure(
            f"there is no {kind} '{Path(path).absolute()}': check {option} and where you are,"
            f" or make it with {remedy}"
        )
    return url


def _existing(place: str) -> str:
    return existing(place, "--db", "`stackl-flow db upgrade`")


def _validate(backend: Backend) -> None:
    with backend.get_connection() as connection:
        connection.validate()
