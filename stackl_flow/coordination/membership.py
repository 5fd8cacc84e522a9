"""Membership: which processes are connected, and requests to drain one of them.

Keys: ``<prefix>entity/<kind>/<name>`` (bound to the member's lease) and ``<prefix>drain/<name>``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from stackl_flow import codec
from stackl_flow import exceptions as exc
from stackl_flow.kv.items import Item, Lease, Put, quote
from stackl_flow.kv.store import KV


@dataclass(frozen=True, slots=True)
class Entity:
    """A member, such as a conductor.

    Attributes:
        kind: what it is.
        name: its name; unique among members of its kind.
        metadata: what it says of itself, such as host name and process id; JSON.
    """

    kind: str
    name: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Membership:
    """The members under one prefix of a store.

    Args:
        kv: the store.
        prefix: the prefix.
        on_unreadable: called with a member whose metadata cannot be read; it is listed without them.
    """

    def __init__(
        self, kv: KV, prefix: str, on_unreadable: Callable[[Item, Exception], None] | None = None
    ) -> None:
        self._kv = kv
        self._on_unreadable = on_unreadable
        self._entities = f"{prefix}entity/"
        self._drains = f"{prefix}drain/"

    def register(self, entity: Entity, lease: Lease) -> None:
        """Add or update a member until its lease ends, and clear a request to drain it.

        Raises:
            NotSerializable: its metadata have no JSON form.
        """
        key = f"{self._entities}{quote(entity.kind)}/{quote(entity.name)}"
        put = Put(key, codec.encode(dict(entity.metadata)), lease.id)
        self._kv.commit(puts=[put], deletes=[self._drain_key(entity.name)])

    def members(self, kind: str | None = None) -> list[Entity]:
        """Return the members (of one kind), ordered by kind and name."""
        prefix = self._entities if kind is None else f"{self._entities}{quote(kind)}/"
        return [self._entity_in(item) for item in self._kv.list(prefix)]

    def _entity_in(self, item: Item) -> Entity:
        kind, name = item.key.split("/")[-2:]
        metadata = None
        try:
            metadata = codec.decode(item.value)
            error = exc.InvalidFormat("its metadata are no object")
        except exc.InvalidFormat as cause:
            error = cause
        if not isinstance(metadata, dict):
            metadata = {}
            if self._on_unreadable is not None:
                self._on_unreadable(item, error)
        return Entity(unquote(kind), unquote(name), metadata)

    def request_drain(self, name: str) -> None:
        """Request that a member, on whatever machine, hands over its jobs and stops.

        Raises:
            NotFound: no member has this name.
        """
        names = [entity.name for entity in self.members()]
        if name not in names:
            registered = f"registered members: {', '.join(names)}" if names else "there are no members"
            raise exc.NotFound(f"no member '{name}' is registered; {registered}")
        self._kv.commit(puts=[Put(self._drain_key(name), "null")])

    def is_drain_requested(self, name: str) -> bool:
        """Return whether the member of this name is to stop."""
        return self._kv.get(self._drain_key(name)) is not None

    def _drain_key(self, name: str) -> str:
        return f"{self._drains}{quote(name)}"
