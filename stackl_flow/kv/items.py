"""What passes between a place and those who use it: frozen values, and the rules for keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote as _percent

from stackl_flow import exceptions as exc

#: In a check: there must be no such item.
ABSENT: Final = 0
#: In a check: there must be such an item, of whatever version.
PRESENT: Final = -1

MAX_KEY: Final = 400
MAX_SEGMENT: Final = 200
_PART: Final = rf"(?!\.\.?(?:/|\Z))[!-.0-~]{{1,{MAX_SEGMENT}}}"
_KEY: Final = re.compile(rf"{_PART}(?:/{_PART})*\Z")
_PREFIX: Final = re.compile(r"[!-~]*\Z")


class Item(NamedTuple):
    """What is kept under a key.

    ``version`` is a whole number above zero. It changes with each write of the item, always upwards, also
    when the item was deleted in between; so it can serve as a fencing number. ``lease`` is the identity of
    the lease the item stands on, or None.
    """

    key: str
    value: str
    version: int
    lease: str | None = None


class Check(NamedTuple):
    """What must hold for a commit to land: the item has this version, or is ``ABSENT``, or ``PRESENT``."""

    key: str
    version: int


class Put(NamedTuple):
    """An item to be written; one that is put without a lease stands on none, whatever it stood on."""

    key: str
    value: str
    lease: str | None = None


class Lease(NamedTuple):
    """A promise to be heard of again within ``ttl`` seconds; items on a lease that ran out are gone."""

    id: str
    ttl: float


class Limits(NamedTuple):
    """What a place takes: bytes in one value, bytes and operations in one commit; None is no limit."""

    value: int | None = None
    commit: int | None = None
    operations: int | None = None


def validate_key(key: str) -> None:
    """Refuse a key that some place could not keep.

    Args:
        key: segments of printable ASCII without spaces, joined by "/".

    Raises:
        InvalidFormat: it is no such key, or too long.
    """
    if len(key) > MAX_KEY or not _KEY.match(key):
        raise exc.InvalidFormat(
            f"{key!r:.500} is no key: write segments of printable ASCII joined by '/' (none empty, '.' or "
            f"'..'; at most {MAX_SEGMENT} characters each, {MAX_KEY} in all); quote() makes one of any text"
        )


def validate_prefix(prefix: str) -> None:
    """Refuse a prefix that no key can begin with.

    Args:
        prefix: the beginning of keys; empty for all.

    Raises:
        InvalidFormat: it is none.
    """
    if not _PREFIX.match(prefix):
        raise exc.InvalidFormat(f"{prefix!r:.500} is no prefix: keys are made of printable ASCII")


def quote(text: str) -> str:
    """Make one segment of a key out of any text, such as a name that a user gave.

    Args:
        text: the text; not empty.

    Returns:
        The segment; different texts give different segments.
    """
    segment = _percent(text, safe="-._~:@+=,")
    return segment.replace(".", "%2E") if segment in {".", ".."} else segment


def validate_commit(checks: Iterable[Check], puts: Iterable[Put], deletes: Iterable[str]) -> str | None:
    """Refuse a commit that makes no sense.

    Args:
        checks: its checks.
        puts: its puts.
        deletes: its deletes.

    Returns:
        The one lease that its puts stand on, or None.

    Raises:
        InvalidFormat: a key is no key or is written twice, a value is no text, or there are several leases.
    """
    try:
        return _validate_commit(checks, puts, deletes)
    except (AttributeError, TypeError, ValueError) as error:
        raise exc.InvalidFormat(
            "a commit takes lists: [Check(key, version)], [Put(key, text)] and [key]; a value is JSON text,"
            f" as json.dumps makes it ({error})",
            cause=error,
        ) from error


def validate_size(
    place: str, limits: Limits, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str]
) -> None:
    """Refuse a commit that is more than a place takes.

    Args:
        place: what to call the place.
        limits: what it takes.
        checks: the checks of the commit.
        puts: its puts.
        deletes: its deletes.

    Raises:
        StorageFailure: it is too much.
    """
    value, commit, operations = limits
    if operations is not None and max(len(checks), len(puts) + len(deletes)) > operations:
        raise limit_error(place, f"{len(puts) + len(deletes)} items and {len(checks)} checks", operations)
    if value is None and commit is None:
        return
    sizes = [len(put.value.encode()) for put in puts]
    for put, size in zip(puts, sizes, strict=True):
        if value is not None and size > value:
            raise limit_error(place, f"{size} bytes under '{put.key}'", value)
    if commit is not None and sum(sizes) > commit:
        raise limit_error(place, f"{sum(sizes)} bytes", commit)


def limit_error(place: str, what: str, limit: int) -> exc.StorageFailure:
    """Say that a commit is more than a place takes.

    Args:
        place: what to call the place.
        what: how much it is.
        limit: how much it takes.

    Returns:
        The error.
    """
    return exc.StorageFailure(
        f"{what} in one commit are more than '{place}' takes ({limit}): "
        f"write less at once, or keep large values aside (a codec can do that)"
    )


def _validate_commit(checks: Iterable[Check], puts: Iterable[Put], deletes: Iterable[str]) -> str | None:
    written: set[str] = set()
    leases: set[str] = set()
    for key, _ in checks:
        validate_key(key)
    for put in puts:
        if put.lease is not None:
            leases.add(put.lease)
        _written_once(put.key, written)
        if not put.value.isascii():
            _check_text(put)
    for key in deletes:
        _written_once(key, written)
    if len(leases) > 1:
        raise exc.InvalidFormat(f"the puts of one commit may stand on one lease, not on {len(leases)}")
    return leases.pop() if leases else None


def _written_once(key: str, written: set[str]) -> None:
    validate_key(key)
    if key in written:
        raise exc.InvalidFormat(f"key '{key}' is written twice in one commit")
    written.add(key)


def _check_text(put: Put) -> None:
    try:
        put.value.encode()
    except UnicodeEncodeError as error:
        raise exc.InvalidFormat(
            f"the value of '{put.key}' is no text that UTF-8 can write: {error}"
        ) from error


def conflict_error(check: Check, found: int) -> exc.Conflict:
    """Make the error for a check that did not hold.

    Args:
        check: the check.
        found: the version that is stored; ``ABSENT`` if there is no such item.

    Returns:
        The error, to be raised.
    """
    words = {ABSENT: "absent", PRESENT: "present"}
    wanted = words.get(check.version, f"at version {check.version}")
    stored = words.get(found, f"at version {found}")
    return exc.Conflict(
        f"item '{check.key}' is {stored}, and had to be {wanted}: nothing was written; read it again"
    )


def is_satisfied(check: Check, found: int) -> bool:
    """Say whether a check holds.

    Args:
        check: the check.
        found: the version that is stored; ``ABSENT`` if there is no such item.

    Returns:
        True if it does.
    """
    return found == check.version or (check.version == PRESENT and found != ABSENT)


def lease_lost_error(lease: str) -> exc.LeaseLost:
    """Make the error for a lease that is not there.

    Args:
        lease: its identity.

    Returns:
        The error, to be raised.
    """
    return exc.LeaseLost(
        f"lease '{lease}' ran out or was given up, and what stood on it is gone: ask for another one"
    )
