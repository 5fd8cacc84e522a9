"""Entries that cannot be read: they are set aside, so that all other jobs go on.

An entry may have been damaged, edited by hand, or written by another release. Every read of a board passes it
over and notes it here. It is logged once, and at the next opportunity it is set aside, in its own commit:

* A damaged entry is moved out of the way, with its text and the reason. The job that it held has ended, in
  the state ``unreadable``.
* An entry that a newer release may be able to read stays where it is, for that release; it is only listed.

Nothing is deleted before an operator discards it.
"""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.clock import Clock
from stackl_flow.jobboards import transactions
from stackl_flow.jobboards.keys import EXPIRING, JOB, LOG, UNREADABLE_ENTRY, BoardKeys, sort_key, time_of_key
from stackl_flow.jobboards.record import BOARD_STATES, DEAD, SCHEDULED, JobRecord
from stackl_flow.kv.items import ABSENT, Check, Item, Put
from stackl_flow.kv.store import KV

_LOG: Final = redaction.get_logger(__name__)

#: What reading a damaged entry, or one of another release, raises.
UNREADABLE_ERRORS: Final = (exc.InvalidFormat, exc.IncompatibleVersion)
#: Number of entries whose log lines are remembered.
_MAX_NOTED: Final = 10_000
_PAGE: Final = 128
#: Seconds that are shown for an entry whose time is damaged.
_UNKNOWN_TIME: Final = 0.0


class UnreadableEntry(NamedTuple):
    """An entry of a board that cannot be read.

    Attributes:
        id: identifies it, for ``discard`` and ``restore``.
        key: where it was found, without the name of the board: its kind, such as ``waiting``, and the rest.
        reason: why it cannot be read.
        at: when it was found, in seconds since 1970 UTC.
        uuid: uuid of the job that it belongs to; empty if that is unknown.
        text: what was stored; None while it stays where it was found, for a newer release.
    """

    id: str
    key: str
    reason: str
    at: float
    uuid: str = ""
    text: str | None = None

    @property
    def kind(self) -> str:
        """What it is, such as ``waiting`` (a waiting job), ``dead`` or ``log``."""
        return self.key.partition("/")[0]


class UnreadableEntries:
    """The entries of a board that cannot be read: iterate over them, discard or restore them.

    Iteration yields an ``UnreadableEntry`` for each, in no particular order; ``len`` counts them.
    """

    def __init__(self, kv: KV, keys: BoardKeys, clock: Clock) -> None:
        self._kv = kv
        self._keys = keys
        self._clock = clock
        self._noted: OrderedDict[str, int] = OrderedDict()
        self._pending: deque[tuple[Item, str, bool]] = deque()

    # ------------------------------------------------------------- for operators

    def __iter__(self) -> Iterator[UnreadableEntry]:
        after = ""
        while page := self._kv.list(self._keys.prefix(UNREADABLE_ENTRY), after=after, limit=_PAGE):
            entries = [(item, self._entry_of(item)) for item in page]
            in_place = [item_key for item, (entry, item_key, _) in entries if entry.text is None and item_key]
            found = {item.key: item.version for item in self._kv.get_many(in_place) if item is not None}
            for item, (entry, item_key, version) in entries:
                if entry.text is None and item_key and found.get(item_key) != version:
                    self._drop(item)  # it was changed since, by a release that can read it
                else:
                    yield entry
            after = page[-1].key

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def discard(self, id: str) -> None:  # noqa: A002  the attribute's name
        """Delete an entry for good.

        Raises:
            NotFound: there is no such entry.
        """
        item, entry, key, version = self._find(id)
        checks, deletes = [Check(item.key, item.version)], [item.key]
        if entry.text is None and key:
            checks.append(Check(key, version))
            deletes.append(key)
        elif entry.uuid:
            deletes += self._location_of(entry.uuid)
        try:
            self._kv.commit(checks, (), deletes)
        except exc.Conflict as error:
            raise _not_found(id) from error

    def restore(self, id: str) -> None:  # noqa: A002  the attribute's name
        """Put an entry back where it was found, for a release that can read it.

        Raises:
            NotFound: there is no such entry, or another one is in its place.
        """
        item, entry, key, _ = self._find(id)
        puts = []
        if entry.text is not None:
            puts.append(Put(key, entry.text))
            if entry.uuid:
                location = {"sort_key": _position(entry.key), "not_before": _due_time(entry.key)}
                puts.append(Put(self._keys.key(JOB, entry.uuid), json.dumps(location)))
        checks = [Check(item.key, item.version), *([Check(key, ABSENT)] if puts else [])]
        try:
            self._kv.commit(checks, puts, [item.key])
        except exc.Conflict as error:
            raise _not_found(id) from error
        self._noted.pop(key, None)

    # ------------------------------------------------------------- for readers

    def read_record(self, item: Item, state: str) -> JobRecord | None:
        """Return the record in an item of a state; None if it is unreadable, which is noted."""
        try:
            record = JobRecord.from_text(item.value)
        except UNREADABLE_ERRORS as error:
            self.note(item, error)
            return None
        if item.key != self._key_of(record, state, item.key):
            self.note(item, exc.InvalidFormat("it is stored under a key that is not its own"))
            return None
        return record

    def read_time(self, item: Item, text: str) -> float | None:
        """Return the time in a part of an item's key; None if it is none, which is noted."""
        if len(text) == _TIME_WIDTH and text.isdigit():
            return time_of_key(text)
        self.note(item, exc.InvalidFormat("its key has no time"))
        return None

    def note(self, item: Item, error: Exception) -> None:
        """Log an unreadable item, once, and have it set aside."""
        if self._noted.get(item.key) == item.version:
            return
        self._noted[item.key] = item.version
        if len(self._noted) > _MAX_NOTED:
            self._noted.popitem(last=False)
        reason = redaction.redact(str(error)).partition("\n")[0]
        _LOG.warning("entry '%s' cannot be read and is set aside: %s", item.key, reason)
        self._pending.append((item, reason, isinstance(error, exc.IncompatibleVersion)))

    def set_aside(self) -> None:
        """Set aside what was noted; call it outside transactions, in any thread."""
        while True:
            try:
                noted = self._pending.popleft()  # no other thread takes it
            except IndexError:
                return
            try:
                self._set_aside(*noted)
            except BaseException:
                self._pending.appendleft(noted)
                raise

    def _set_aside(self, item: Item, reason: str, stays: bool) -> None:
        now = self._clock.now()
        uuid = self._uuid_of(item.key)
        entry = {
            "key": item.key,
            "version": item.version,
            "reason": reason,
            "at": now,
            "uuid": uuid,
            "text": item.value,
        }
        try:
            if not stays and self._move(item, uuid, entry, now):
                return
            put = Put(self._keys.unreadable(item.key), json.dumps({**entry, "text": None}))
            self._kv.commit([Check(item.key, item.version)], [put])
        except exc.Conflict:
            return  # another process did, or it was written again

    def _move(self, item: Item, uuid: str, entry: dict[str, Any], now: float) -> bool:
        """Move an item out of the way; return False if it is too large."""
        location = (uuid, _name_in(item.value)) if self._is_its_only_record(item, uuid) else None
        try:
            self._kv.commit(*transactions.set_aside(self._keys, item, entry, location, now))
        except exc.ValueTooLarge:
            _LOG.debug("entry '%s' is too large to be moved", item.key)
            return False
        return True

    # ------------------------------------------------------------- internals

    def _key_of(self, record: JobRecord, state: str, key: str) -> str:
        """Return the key that a record belongs under."""
        if state == SCHEDULED:
            return self._keys.scheduled(record)
        if state == DEAD:
            time_text = key.rpartition("/")[2].partition("-")[0]
            return self._keys.key(DEAD, f"{time_text}-{record.uuid}")
        return self._keys.key(state, sort_key(record))

    def _uuid_of(self, key: str) -> str:
        kind, _, rest = key.removeprefix(self._keys.root).partition("/")
        if kind == JOB:
            return rest
        return rest.rpartition("/")[2].partition("-")[2] if kind in {*BOARD_STATES, DEAD} else ""

    def _is_its_only_record(self, item: Item, uuid: str) -> bool:
        """Return whether a job is on the board by this item."""
        kind, _, rest = item.key.removeprefix(self._keys.root).partition("/")
        if kind not in BOARD_STATES or not uuid:
            return False
        location = self._kv.get(self._keys.key(JOB, uuid))
        return location is None or _sort_key_in(location.value) in {rest, rest.partition("/")[2]}

    def _location_of(self, uuid: str) -> list[str]:
        """Return the key of the state of an unreadable job."""
        key = self._keys.key(JOB, uuid)
        location = self._kv.get(key)
        return [key] if location is not None and '"state": "unreadable"' in location.value else []

    def _entry_of(self, item: Item) -> tuple[UnreadableEntry, str, int]:
        """Return an entry, with the key and the version of the item that it is about."""
        id_ = item.key.rpartition("/")[2]
        try:
            values: dict[str, Any] = json.loads(item.value)
            key = str(values["key"])
            text = values.get("text")
            return (
                UnreadableEntry(
                    id_,
                    key.removeprefix(self._keys.root),
                    str(values.get("reason", "")),
                    float(values.get("at", _UNKNOWN_TIME)),
                    str(values.get("uuid", "")),
                    text if text is None else str(text),
                ),
                key,
                int(values.get("version", 0)),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = f"what was set aside cannot be read, either ({error})"
            found = item.key.removeprefix(self._keys.root)
            return UnreadableEntry(id_, found, reason, _UNKNOWN_TIME, "", item.value), "", 0

    def _find(self, id_: str) -> tuple[Item, UnreadableEntry, str, int]:
        try:
            item = self._kv.get(self._keys.key(UNREADABLE_ENTRY, id_))
        except exc.InvalidFormat as error:
            raise _not_found(id_) from error
        if item is None:
            raise _not_found(id_)
        return item, *self._entry_of(item)

    def _drop(self, item: Item) -> None:
        try:
            self._kv.commit([Check(item.key, item.version)], (), [item.key])
        except exc.Conflict:
            _LOG.debug("'%s' was changed meanwhile", item.key)


_TIME_WIDTH: Final = 17
#: Kinds of entries whose keys begin with a time.
_TIMED: Final = frozenset({SCHEDULED, EXPIRING, LOG})


def _position(key: str) -> str:
    """Return the sort key in a key without the name of the board."""
    kind, _, rest = key.partition("/")
    return rest.partition("/")[2] if kind in _TIMED else rest


def _due_time(key: str) -> float | None:
    kind, _, rest = key.partition("/")
    text = rest.partition("/")[0]
    return time_of_key(text) if kind == SCHEDULED and text.isdigit() else None


def _sort_key_in(text: str) -> object:
    try:
        location = json.loads(text)
    except ValueError:
        return None
    return location.get("sort_key") if isinstance(location, dict) else None


def _name_in(text: str) -> str:
    """Return the name in the text of a damaged record, if it can be found."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    name = values.get("name") if isinstance(values, dict) else ""
    return name if isinstance(name, str) else ""


def _not_found(id_: str) -> exc.NotFound:
    return exc.NotFound(
        f"no unreadable entry '{id_}': it was discarded or restored, or it can be read now; list them again"
    )
