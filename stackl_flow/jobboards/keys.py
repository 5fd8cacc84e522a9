"""The keys of a board's items in its store.

The sort key of a job, ``group/priority/time-uuid``, stays the same for its whole life; what changes is the
prefix in front of it. So the waiting jobs of a group are stored in the order in which they are claimed, and
the first of them is found at the same cost whether there are ten behind it or a million. Jobs that require
the same capabilities form a group, so that a conductor never reads jobs that it cannot claim.

==============================  ==========================================================================
``waiting/<sort key>``          the record of a job that can be claimed
``claimed/<sort key>``          the record of a claimed job, with the owner's lease in its last claim
``owner/<lease>``               the owner of a lease; bound to that lease, and so are all its claims
``scheduled/<time>/<sort key>``  the record of a job that cannot be claimed before that time
``expiring/<time>/<sort key>``  when a waiting job becomes a dead letter; no value
``dead/<time>-<uuid>``          the record of a dead letter, with the reason
``log/<state>/<time>-<uuid>``   which jobs ended then, in this state: the order of listings, and of retention
``ended/<time>-<uuid>``         the same of earlier releases, for jobs of all states
``job/<uuid>``                  the job's sort key while it is on the board, its outcome afterwards
``name/<hash>/<time>-<uuid>``   a job of this name, posted then; no value
``key/<key>``                   the uuid of the job that was posted under an idempotency key
``holder/<lease>``              a lease that claims were made with; stays when the lease has expired
``unreadable/<hash>``           an entry that was set aside (see ``unreadable``)
``group/<group>``               the capabilities that jobs of this group require
``membership/...``              see ``coordination.membership``
``event/...``                   see ``coordination.change_feed`` and ``events``
==============================  ==========================================================================
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Final

from stackl_flow.coordination.leases import owner_key
from stackl_flow.jobboards.record import SCHEDULED, JobRecord
from stackl_flow.kv.items import quote

# Prefixes besides the states of jobs.
OWNER: Final = "owner"
EXPIRING: Final = "expiring"
ENDED: Final = "ended"
LOG: Final = "log"
JOB: Final = "job"
NAME: Final = "name"
HOLDER: Final = "holder"
UNREADABLE_ENTRY: Final = "unreadable"
KEY: Final = "key"
GROUP: Final = "group"
MEMBERSHIP: Final = "membership"
EVENT: Final = "event"

#: The group of jobs that require no capability.
ANY: Final = "any"


def group_of(capabilities: Iterable[str]) -> str:
    """Return the group, one segment of a key, of jobs that require exactly these capabilities."""
    names = sorted(set(capabilities))
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16] if names else ANY


def time_key(at: float) -> str:
    """Return a time (seconds since 1970 UTC) as text of fixed width that sorts in the order of time."""
    return f"{max(0, round(at * 1_000_000)):017d}"


def time_of_key(text: str) -> float:
    """Return the time of a text that ``time_key`` made."""
    return int(text) / 1_000_000


def sort_key(record: JobRecord) -> str:
    """Return the position of a job in the order of its board."""
    if not record.position:
        order = f"{record.priority.rank}/{time_key(record.created_on)}-{record.uuid}"
        object.__setattr__(record, "position", f"{group_of(record.required_capabilities)}/{order}")
    return record.position


def name_tail(name: str, created_on: float, uuid: str) -> str:
    """Return the key of a job in the index of names, after the prefix of the index."""
    return f"{_hash_of(name)}/{time_key(created_on)}-{uuid}"


def names_prefix(name: str) -> str:
    """Return the prefix of all jobs of a name in the index of names, after the prefix of the index."""
    return f"{_hash_of(name)}/"


def _hash_of(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


class BoardKeys:
    """Makes the keys of one board; boards of different names may share a store."""

    def __init__(self, board: str) -> None:
        self.root = f"{quote(board)}/"
        self._owners = self.prefix(OWNER)

    def prefix(self, *segments: str) -> str:
        """Return the prefix, with its last slash, of all keys that begin with these segments."""
        return f"{self.root}{'/'.join(segments)}/"

    def key(self, *segments: str) -> str:
        """Return the key of one item."""
        return self.root + "/".join(segments)

    def scheduled(self, record: JobRecord) -> str:
        """Return the key of a job that cannot be claimed yet."""
        return self.key(SCHEDULED, time_key(record.not_before or 0.0), sort_key(record))

    def unreadable(self, key: str) -> str:
        """Return the key under which an entry of another key is set aside."""
        return self.key(UNREADABLE_ENTRY, _hash_of(key))

    def owner(self, lease: str) -> str:
        """Return the key of the item that names the owner of a lease."""
        return owner_key(self._owners, lease)
