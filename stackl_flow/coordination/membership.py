"""Who is at a board, and how to ask one of them to leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from stackl_flow import codec
from stackl_flow import exceptions as exc
from stackl_flow.jobboards.job import DRAIN, ENTITY
from stackl_flow.jobboards.keys import Places
from stackl_flow.kv.items import Lease, Put, quote
from stackl_flow.kv.store import KV


@dataclass(frozen=True, slots=True)
class Entity:
    """Somebody who is at the board, such as a conductor.

    Attributes:
        kind: what he is.
        name: what he is called.
        metadata: what else there is to know of him; JSON.
    """

    kind: str
    name: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Presence:
    """Knows who is at one board.

    Args:
        kv: where its items are.
        places: makes their keys.
    """

    def __init__(self, kv: KV, places: Places) -> None:
        self._kv = kv
        self._places = places

    def register(self, entity: Entity, lease: Lease) -> None:
        """Put somebody on the list; an order to leave that he had is void.

        Args:
            entity: who.
            lease: he is struck off when it ends.

        Raises:
            NotSerializable: his metadata have no JSON form.
        """
        key = self._places.at(ENTITY, quote(entity.kind), quote(entity.name))
        put = Put(key, codec.encode(dict(entity.metadata)), lease.id)
        self._kv.commit(puts=[put], deletes=[self._places.at(DRAIN, quote(entity.name))])

    def here(self, kind: str | None = None) -> list[Entity]:
        """Say who is here.

        Args:
            kind: only those of this kind.

        Returns:
            Those who registered and are still alive, by kind and name.
        """
        head = self._places.head(ENTITY) if kind is None else self._places.head(ENTITY, quote(kind))
        found = ((item.key.split("/")[-2:], item.value) for item in self._kv.list(head))
        return [Entity(unquote(kind), unquote(name), codec.decode(text)) for (kind, name), text in found]

    def drain(self, name: str) -> None:
        """Ask somebody, on whatever machine, to stop and hand over what he has.

        Args:
            name: under which he registered.

        Raises:
            NotFound: nobody of that name is here.
        """
        names = [entity.name for entity in self.here()]
        if name not in names:
            raise exc.NotFound(
                f"nobody called '{name}' is at this board: {', '.join(names) or 'it is empty'}"
            )
        self._kv.commit(puts=[Put(self._places.at(DRAIN, quote(name)), "null")])

    def is_drained(self, name: str) -> bool:
        """Say whether somebody is asked to stop.

        Args:
            name: under which he registered.
        """
        return self._kv.get(self._places.at(DRAIN, quote(name))) is not None
