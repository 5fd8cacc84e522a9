"""A write in the making: what was read is checked when it lands; what is to be written can be read."""

from __future__ import annotations

from stackl_flow.kv.base import KV
from stackl_flow.kv.items import ABSENT, Check, Item, Put


class Draft:
    """Collects what one transaction reads and writes, until it is committed as a whole.

    Args:
        kv: the place.
    """

    def __init__(self, kv: KV) -> None:
        self._kv = kv
        self._read: dict[str, int] = {}
        self._puts: dict[str, str] = {}
        self._deletes: set[str] = set()

    def get(self, key: str) -> str | None:
        """Read a value; the commit lands only if it is still the same.

        Args:
            key: its key.

        Returns:
            The value, or None.
        """
        if key in self._puts:
            return self._puts[key]
        item = self._kv.get(key)
        self._read.setdefault(key, ABSENT if item is None else item.version)
        return None if item is None or key in self._deletes else item.value

    def list(self, prefix: str) -> list[Item]:
        """Read items; nothing is checked for them, so something that changes with them has to be read too.

        Args:
            prefix: the beginning of their keys.

        Returns:
            The items in order.
        """
        found = {item.key: item for item in self._kv.list(prefix) if item.key not in self._deletes}
        written = (key for key in self._puts if key.startswith(prefix))
        found.update((key, Item(key, self._puts[key], ABSENT)) for key in written)
        return [found[key] for key in sorted(found)]

    def put(self, key: str, value: str) -> None:
        """Write an item when all is committed.

        Args:
            key: its key.
            value: its value.
        """
        self._deletes.discard(key)
        self._puts[key] = value

    def delete(self, key: str) -> None:
        """Delete an item when all is committed.

        Args:
            key: its key.
        """
        self._puts.pop(key, None)
        self._deletes.add(key)

    def commit(self) -> None:
        """Write all of it, or nothing.

        Raises:
            Conflict: something that was read has changed.
        """
        if self._puts or self._deletes:
            self._kv.commit(
                [Check(key, version) for key, version in self._read.items()],
                [Put(key, value) for key, value in self._puts.items()],
                sorted(self._deletes),
            )
