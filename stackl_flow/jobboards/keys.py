"""Where a board keeps what: the keys of its items, and nothing else.

A job's spot, ``group/priority/time-uuid``, stays the same for its whole life; what changes is under which
head it stands. So the waiting jobs of one kind lie in the order in which they are to be claimed, and the
first of them costs the same to find whether there are ten or a million behind it. Jobs that need the same
abilities share a group, so that nobody has to look past jobs that are not for him.

========================  ============================================================================
``waiting/<spot>``        the posting, free to be claimed
``claimed/<spot>``        the posting, with a claim that names its owner's lease
``owner/<lease>``         who claims on this lease; stands on it, so all his claims are over when he goes
``later/<time>/<spot>``   the posting, not to run before that time
``overdue/<time>/<spot>``  when a waiting job is to be given up; no value of its own
``trash/<time>-<uuid>``   the posting, with the reason
``done/<time>-<uuid>``    which jobs ended then, for their outcomes to be forgotten in time
``job/<uuid>``            the job's spot while it is on the board, its outcome afterwards
``key/<key>``             the uuid that was posted under this key
``group/<group>``         the abilities that jobs of this group need
``entity/<kind>/<name>``  who registered here; stands on a lease
``drain/<name>``          somebody is asked to stop and hand over what he has
``news/<writer>/<count>``  what a writer did last, for those who watch
========================  ============================================================================
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from stackl_flow.jobboards.job import Posting
from stackl_flow.kv.items import quote

#: Name of the group of jobs that anybody can do.
ANY = "any"


def group_of(needs: Iterable[str]) -> str:
    """Name the group of jobs that need just these abilities.

    Args:
        needs: the abilities.

    Returns:
        One segment of a key.
    """
    wanted = sorted(set(needs))
    return hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:16] if wanted else ANY


def stamp(at: float) -> str:
    """Write a time so that texts are in the order of times.

    Args:
        at: seconds since 1970 UTC.

    Returns:
        Microseconds, of fixed width.
    """
    return f"{max(0, round(at * 1_000_000)):017d}"


def spot_of(posting: Posting) -> str:
    """Say where among all others a job stands.

    Args:
        posting: the job.

    Returns:
        Its spot.
    """
    order = f"{posting.priority.rank}/{stamp(posting.created_on)}-{posting.uuid}"
    return f"{group_of(posting.needs)}/{order}"


class Places:
    """Makes the keys of one board.

    Args:
        board: the board's name; boards of different names may share a place.
    """

    def __init__(self, board: str) -> None:
        self.root = f"{quote(board)}/"

    def head(self, *parts: str) -> str:
        """Name everything under a head.

        Args:
            parts: the head, and what comes after it.

        Returns:
            A prefix of keys, with its last slash.
        """
        return f"{self.root}{'/'.join(parts)}/"

    def owner(self, lease: str) -> str:
        """Name the item that says who claims on a lease.

        Args:
            lease: the lease.

        Returns:
            Its key.
        """
        return self.at("owner", quote(lease or "none"))

    def at(self, *parts: str) -> str:
        """Name one item.

        Args:
            parts: its segments.

        Returns:
            Its key.
        """
        return self.root + "/".join(parts)
