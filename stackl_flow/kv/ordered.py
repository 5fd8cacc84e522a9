"""Key ranges in key order, and a bounded log of recent changes: what several stores need in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from sortedcontainers import SortedList

#: Number of changes that a ``ChangeLog`` keeps. A waiter calls ``wait`` again soon; one that is later than
#: this many changes returns early.
CHANGE_LOG_SIZE: Final = 4096


def prefix_end(prefix: str) -> str:
    """Return the exclusive upper bound of the range of keys with a prefix."""
    return prefix + "\x7f"  # above every character that a key may have


def root_of(key: str) -> str:
    """Return the first segment of a key: what is of another root, such as another board, wakes no waiter.

    Args:
        key: a key, or a prefix. A prefix without a "/" has no root, and its waiters are woken by all.
    """
    root, slash, _ = key.partition("/")
    return root if slash else ""


def keys_in_range(keys: SortedList[str], prefix: str, after: str, *, reverse: bool) -> Iterator[str]:
    """Iterate over the keys with a prefix, in key order.

    Args:
        keys: all keys.
        prefix: the common prefix.
        after: exclusive lower bound, with ``reverse`` the exclusive upper bound; empty for none.
        reverse: descending order.
    """
    low, high, include_low = prefix, prefix_end(prefix), True
    if after and reverse:
        high = min(high, after)
    elif after and after >= low:
        low, include_low = after, False
    return keys.irange(low, high, (include_low, False), reverse=reverse) if low <= high else iter(())


class ChangeLog:
    """The last changed keys with their revisions, oldest first. Not thread-safe.

    Args:
        since: the log is complete for changes after this revision.
    """

    def __init__(self, since: int) -> None:
        self._complete_since = since
        self._changes: deque[tuple[int, str]] = deque()

    def append(self, revision: int, key: str) -> None:
        """Record a change; revisions must not decrease."""
        if len(self._changes) == CHANGE_LOG_SIZE:
            self._complete_since = self._changes.popleft()[0]
        self._changes.append((revision, key))

    def has_changed(self, prefix: str, since: int) -> bool:
        """Return whether a key with the prefix may have changed after a revision.

        The answer is True, too, if the log does not reach back to that revision.
        """
        if since < self._complete_since:
            return True
        for revision, key in reversed(self._changes):
            if revision <= since:
                return False
            if key.startswith(prefix):
                return True
        return False
