"""The values of the key-value API, the rules for keys and commits, and the errors that all stores share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote as _percent_encode

from stackl_flow import exceptions as exc

#: As the version of a check: no item may exist under the key.
ABSENT: Final = 0
#: As the version of a check: an item of any version must exist.
PRESENT: Final = -1

MAX_KEY: Final = 400
MAX_SEGMENT: Final = 200
#: Limits are not lowered below so many bytes of a commit.
_MIN_COMMIT: Final = 32_768
_SEGMENT: Final = rf"(?!\.\.?(?:/|\Z))[!-.0-~]{{1,{MAX_SEGMENT}}}"
_KEY: Final = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*\Z")
_PREFIX: Final = re.compile(r"[!-~]*\Z")


class Item(NamedTuple):
    """A stored item.

    Attributes:
        key: its key.
        value: its value, JSON text.
        version: an integer above 0 that grows with every write of the key, also across deletes. It can serve
            as a fencing token.
        lease: the id of the lease that the item is attached to, or None.
    """

    key: str
    value: str
    version: int
    lease: str | None = None


class Check(NamedTuple):
    """A precondition of a commit: the item has this version, or is ``ABSENT`` or ``PRESENT``."""

    key: str
    version: int


class Put(NamedTuple):
    """An item to write, attached to a lease or to none, whatever it was attached to before."""

    key: str
    value: str
    lease: str | None = None


class Lease(NamedTuple):
    """A time to live, shared by the items attached to it, that starts again with each ``extend``.

    Attributes:
        id: its identity. Any process that has it can use the lease.
        ttl: the time to live in seconds.
    """

    id: str
    ttl: float


class Limits(NamedTuple):
    """Upper bounds of a store; None stands for no bound.

    Attributes:
        value: bytes of one value.
        commit: bytes of one commit (see ``commit_size``).
        operations: puts and deletes of one commit together; its checks are counted on their own.
        overhead: bytes that each check, put and delete adds to a commit beside its key and its value.
    """

    value: int | None = None
    commit: int | None = None
    operations: int | None = None
    overhead: int = 0

    def commit_size(self, checks: Iterable[Check], puts: Iterable[Put], deletes: Iterable[str]) -> int:
        """Return the size of a commit in bytes: its values, and each key with ``overhead``."""
        overhead = self.overhead
        size = sum([len(check.key) + overhead for check in checks])
        size += sum([len(key) + overhead for key in deletes])
        return size + sum([len(put.key) + overhead + text_size(put.value) for put in puts])

    def below(self, size: int) -> Limits:
        """Return lower limits, for a server that was found to refuse a commit of this size."""
        commit = max(size // 4 * 3, _MIN_COMMIT)
        room = commit - 4 * (MAX_KEY + self.overhead)
        return self._replace(commit=commit, value=room if self.value is None else min(self.value, room))

    def fit(self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str] = ()) -> bool:
        """Return whether the store takes these as one commit."""
        operations = self.operations
        if operations is not None and max(len(checks), len(puts) + len(deletes)) > operations:
            return False
        return self.commit is None or self.commit_size(checks, puts, deletes) <= self.commit


def text_size(text: str) -> int:
    """Return the size of a text in bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def quote(text: str) -> str:
    """Encode any text, such as a name from a user, as one segment of a key.

    Args:
        text: the text; not empty. Different texts give different segments.
    """
    segment = _percent_encode(text, safe="-._~:@+=,")
    return segment.replace(".", "%2E") if segment in {".", ".."} else segment


def validate_key(key: str) -> None:
    """Raise ``InvalidFormat`` unless every store can keep an item under this key."""
    if len(key) > MAX_KEY or not _KEY.match(key):
        raise exc.InvalidFormat(
            f"invalid key {key!r:.500}: use segments of printable ASCII joined by '/' (none empty, '.' or "
            f"'..'; at most {MAX_SEGMENT} characters each, {MAX_KEY} in all); quote() encodes any text as one"
        )


def validate_prefix(prefix: str) -> None:
    """Raise ``InvalidFormat`` unless keys can begin with this prefix; the empty one is valid."""
    if not _PREFIX.match(prefix):
        raise exc.InvalidFormat(f"invalid prefix {prefix!r:.500}: keys consist of printable ASCII")


def validate_commit(checks: Iterable[Check], puts: Iterable[Put], deletes: Iterable[str]) -> str | None:
    """Validate the arguments of a commit.

    Returns:
        The lease that its puts are attached to, or None.

    Raises:
        InvalidFormat: a key is invalid or written twice, a value is not text, or there are several leases.
    """
    try:
        return _validate_commit(checks, puts, deletes)
    except (AttributeError, TypeError, ValueError) as error:
        raise exc.InvalidFormat(
            "invalid arguments of commit(): pass lists of Check(key, version), Put(key, text) and keys; a "
            f"value is JSON text, as json.dumps makes it ({error})",
            cause=error,
        ) from error


def _validate_commit(checks: Iterable[Check], puts: Iterable[Put], deletes: Iterable[str]) -> str | None:
    written: set[str] = set()
    leases: set[str] = set()
    for key, _ in checks:
        validate_key(key)
    for put in puts:
        if put.lease is not None:
            leases.add(put.lease)
        _add_written(put.key, written)
        if not put.value.isascii():
            _validate_text(put)
    for key in deletes:
        _add_written(key, written)
    if len(leases) > 1:
        raise exc.InvalidFormat(
            f"the puts of one commit name {len(leases)} leases: attach them to one lease, or split the commit"
        )
    return leases.pop() if leases else None


def _add_written(key: str, written: set[str]) -> None:
    validate_key(key)
    if key in written:
        raise exc.InvalidFormat(f"key '{key}' is written twice in one commit: put or delete it once")
    written.add(key)


def _validate_text(put: Put) -> None:
    try:
        put.value.encode()
    except UnicodeEncodeError as error:
        raise exc.InvalidFormat(
            f"the value of '{put.key}' cannot be encoded as UTF-8 ({error}): remove the lone surrogates"
        ) from error


def validate_size(
    store: str, limits: Limits, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str]
) -> None:
    """Raise ``ValueTooLarge`` if a commit exceeds the limits of a store.

    Args:
        store: the name of the store, for the message.
        limits: its limits.
        checks: the checks of the commit.
        puts: its puts.
        deletes: its deletes.
    """
    if limits.value is not None:
        for put in puts:
            if len(put.value) > limits.value or text_size(put.value) > limits.value:
                what, size = f"the value under '{put.key}'", text_size(put.value)
                raise value_too_large(store, what, size, limits.value)
    if limits.fit(checks, puts, deletes):
        return
    operations = limits.operations
    if operations is not None and max(len(checks), len(puts) + len(deletes)) > operations:
        raise exc.ValueTooLarge(
            f"a commit of {len(puts) + len(deletes)} items and {len(checks)} checks is larger than "
            f"'{store}' accepts ({operations} of each): nothing was written; write less at once"
        )
    size = limits.commit_size(checks, puts, deletes)
    raise value_too_large(store, f"a commit of {len(puts)} items", size, limits.commit)


def value_too_large(
    store: str, what: str, size: int | None, limit: int | None, cause: BaseException | None = None
) -> exc.ValueTooLarge:
    """Return the error for a value or a commit that is larger than a store accepts.

    Args:
        store: the name of the store.
        what: what is too large.
        size: its size in bytes, if known.
        limit: the limit in bytes, if known.
        cause: the error of the store.
    """
    has_size = "" if size is None else f" has {size} bytes and"
    accepts = "accepts" if limit is None else f"accepts ({limit} bytes)"
    return exc.ValueTooLarge(
        f"{what}{has_size} is larger than '{store}' {accepts}: nothing was written; write less at once, or "
        f"store large values elsewhere and pass a reference (a codec can do that)",
        cause=cause,
        size=size,
        limit=limit,
    )


def is_satisfied(check: Check, version: int) -> bool:
    """Return whether a check holds for the stored version, which is ``ABSENT`` without an item."""
    return version == check.version or (check.version == PRESENT and version != ABSENT)


def conflict_error(check: Check, version: int) -> exc.Conflict:
    """Return the error for a check that does not hold for the stored version."""
    names = {ABSENT: "absent", PRESENT: "present"}
    required = names.get(check.version, f"at version {check.version}")
    stored = names.get(version, f"at version {version}")
    return exc.Conflict(
        f"conflict on item '{check.key}': it is {stored}, required was {required}; nothing was written; read "
        f"the item again and retry"
    )


def lease_lost_error(lease: str) -> exc.LeaseLost:
    """Return the error for a lease that does not exist (any more)."""
    return exc.LeaseLost(
        f"lease '{lease}' has expired or was revoked, and its items are deleted: request a new lease"
    )
