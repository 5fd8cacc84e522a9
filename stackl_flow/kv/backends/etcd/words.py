"""Items, checks and writes in the words of etcd's JSON gateway.

Before each value stands the mark of the commit that wrote it, by which a commit whose answer was lost is
known again.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stackl_flow.kv.items import ABSENT, PRESENT, Check, Item, Put
from stackl_flow.kv.shelf import above

MARK: Final = 12
_LEASE: Final = 16
_ORDER_DOWN: Final = {"sort_order": "DESCEND", "sort_target": "KEY"}


def text64(text: str) -> str:
    """Write a text as JSON carries bytes there."""
    return b64encode(text.encode()).decode()


def lease_name(number: int) -> str:
    """Name a lease by its number."""
    return f"{number:0{_LEASE}x}"


def lease_number(name: str) -> int | None:
    """Tell the number of a lease; None if it is no name of one."""
    try:
        number = int(name, 16) if len(name) == _LEASE else 0
    except ValueError:
        return None
    return number if 0 < number < 2**63 else None


class Words:
    """Puts items into words.

    Args:
        root: what all keys begin with in the cluster.
    """

    def __init__(self, root: str) -> None:
        self._root = root

    def key(self, key: str) -> str:
        """Write a key."""
        return text64(self._root + key)

    def read_key(self, told: str) -> str:
        """Read a key."""
        return b64decode(told).decode().removeprefix(self._root)

    def below(self, prefix: str) -> dict[str, str]:
        """Name the range of all keys that begin so."""
        return {"key": self.key(prefix), "range_end": self.key(above(prefix))}

    def span(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> dict[str, Any] | None:
        """Ask for items in order.

        Args:
            prefix: only items whose keys begin so.
            after: only items behind this key; in reverse, before it.
            limit: at most so many.
            reverse: the last key first. The server then reads all of them before it counts.

        Returns:
            The request, or None if there can be no such items.
        """
        low, high = prefix, above(prefix)
        if after and reverse:
            high = min(high, after)
        elif after and after >= prefix:
            low = after + "\0"
        if low >= high:
            return None
        asked: dict[str, Any] = {"key": self.key(low), "range_end": self.key(high), "limit": limit or 0}
        return asked | _ORDER_DOWN if reverse else asked

    def item(self, told: Mapping[str, str]) -> Item:
        """Read an item."""
        value = b64decode(told.get("value", ""))[MARK:].decode()
        lease = int(told.get("lease", 0))
        return Item(
            self.read_key(told["key"]),
            value,
            int(told["mod_revision"]),
            lease_name(lease) if lease else None,
        )

    def compare(self, check: Check) -> dict[str, str]:
        """Write a check."""
        if check.version in {ABSENT, PRESENT}:
            result = "EQUAL" if check.version == ABSENT else "GREATER"
            return {"target": "CREATE", "key": self.key(check.key), "result": result, "create_revision": "0"}
        version = str(check.version)
        return {"target": "MOD", "key": self.key(check.key), "result": "EQUAL", "mod_revision": version}

    def transaction(
        self,
        checks: Sequence[Check],
        puts: Sequence[Put],
        deletes: Sequence[str],
        lease: int,
        mark: str,
    ) -> dict[str, Any]:
        """Write a commit; when a check does not hold, the answer tells what was found for each.

        Args:
            checks: what must hold.
            puts: the items to write.
            deletes: the keys to delete.
            lease: number of the lease of those puts that have one.
            mark: the commit's own.

        Returns:
            The request.
        """
        success: list[dict[str, Any]] = []
        for put in puts:
            words = {"key": self.key(put.key), "value": text64(mark + put.value)}
            if put.lease is not None:
                words["lease"] = str(lease)
            success.append({"request_put": words})
        success += [{"request_delete_range": {"key": self.key(key)}} for key in deletes]
        found = [{"request_range": {"key": self.key(check.key), "keys_only": True}} for check in checks]
        return {"compare": [self.compare(check) for check in checks], "success": success, "failure": found}

    def reading(self, spans: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        """Ask for several keys and ranges at one moment."""
        return {"success": [{"request_range": span} for span in spans]}


def found_versions(answer: Mapping[str, Any]) -> list[int]:
    """Read what a commit that did not land found for each of its checks."""
    return [
        next((int(each["mod_revision"]) for each in told["response_range"].get("kvs", ())), ABSENT)
        for told in answer.get("responses", ())
    ]


def landed_at(answer: Mapping[str, Any], mark: str) -> int | None:
    """Look in what was read for the mark of a commit; tell the version it gave its items."""
    for told in answer.get("responses", ()):
        for each in told["response_range"].get("kvs", ()):
            if b64decode(each.get("value", ""))[:MARK] == mark.encode():
                return int(each["mod_revision"])
    return None
