"""Opening the place where flows are stored, for looking or for working."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stackl_flow import exceptions as exc
from stackl_flow.control.factories import use_working_directory
from stackl_flow.persistence import backends
from stackl_flow.persistence.base import Backend

_PLAIN_NAMES = ("memory",)
_SQLITE = "sqlite:///"


class AsStored:
    """A codec that leaves values as the JSON they are stored as.

    An operator has to see a flow even where the types of its values are not importable.
    """

    def encode(self, value: Any) -> str:
        """Refuse: what was read this way must not be written back.

        Args:
            value: any value.

        Raises:
            NotImplementedError: always.
        """
        del value
        raise exc.NotImplementedError(
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


def address(text: str) -> str:
    """Make a storage address of what a person typed.

    Args:
        text: an address such as "sqlite:///flows.db", or just the path of an SQLite file.

    Returns:
        The address.
    """
    return text if "://" in text or text in _PLAIN_NAMES else f"{_SQLITE}{text}"


@contextmanager
def for_work(place: str) -> Iterator[Backend]:
    """Open a place to run flows in; its tables are made or brought up to date.

    Args:
        place: as for `address`.

    Yields:
        The backend.

    Raises:
        StorageFailure: it cannot be used; the message tells what to do.
    """
    with _fetch(address(place)) as backend:
        _upgrade(backend)
        yield backend


@contextmanager
def for_resuming(place: str) -> Iterator[Backend]:
    """Open a place that must exist already, to go on with flows in it.

    Args:
        place: as for `address`.

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
        place: as for `address`.

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
        place: as for `address`.

    Returns:
        What to call the place in messages, without any password.

    Raises:
        StorageFailure: it cannot be used.
        IncompatibleVersion: a newer version of this library made it.
    """
    with _fetch(address(place)) as backend:
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


def _existing(place: str) -> str:
    """Check that an SQLite file is there: connecting to it would make an empty one."""
    url = address(place)
    path = url.removeprefix(_SQLITE).partition("?")[0]
    if url.startswith(_SQLITE) and path and not path.startswith("file:") and not Path(path).exists():
        raise exc.StorageFailure(
            f"there is no database file '{Path(path).absolute()}': check --db and where you are,"
            f" or make it with `stackl-flow db upgrade`"
        )
    return url


def _validate(backend: Backend) -> None:
    with backend.get_connection() as connection:
        connection.validate()
