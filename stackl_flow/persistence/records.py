"""What passes between this library and a backend: frozen rows whose values are text already.

A backend never sees a user's value, only the JSON text of it. Times are seconds since 1970 in UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class BookRecord(NamedTuple):
    """A log book as it is stored."""

    uuid: str
    name: str
    meta: str | None
    created_at: float
    updated_at: float | None


class FlowRecord(NamedTuple):
    """A flow as it is stored, with its owner: the epoch grows by one each time that somebody takes it."""

    uuid: str
    book_uuid: str
    name: str
    state: str | None
    meta: str | None
    epoch: int
    owner: str | None
    created_at: float
    updated_at: float | None


class AtomRecord(NamedTuple):
    """An atom as it is stored; ``kind`` is "TASK_DETAIL" or "RETRY_DETAIL"."""

    uuid: str
    flow_uuid: str
    kind: str
    name: str
    version: str | None
    state: str | None
    intention: str | None
    results: str | None
    failure: str | None
    revert_results: str | None
    revert_failure: str | None
    meta: str | None


class AtomMove(NamedTuple):
    """All that can change in an atom's row while it runs."""

    uuid: str
    state: str | None
    intention: str | None
    results: str | None
    failure: str | None
    revert_results: str | None
    revert_failure: str | None
    meta: str | None


class Transition(NamedTuple):
    """One move in the history of a flow; ``atom`` is None when the flow itself moved."""

    seq: int
    atom: str | None
    old: str | None
    new: str | None
    at: float
    owner: str


class Checkpoint(NamedTuple):
    """What one step of an engine changed; it lands whole, and only while the epoch is still the owner's.

    ``transitions`` are (atom or None, old state, new state, at). A ``flow_state`` or ``flow_meta`` of None
    leaves the stored one.
    """

    flow_uuid: str
    epoch: int
    owner: str
    flow_state: str | None
    flow_meta: str | None
    atoms: Sequence[AtomMove]
    transitions: Sequence[tuple[str | None, str | None, str | None, float]]


class Changes(NamedTuple):
    """Rows to be written together: books new or changed, flows and atoms new, flows and atoms changed."""

    books: Sequence[BookRecord] = ()
    new_flows: Sequence[FlowRecord] = ()
    flows: Sequence[FlowRecord] = ()
    new_atoms: Sequence[AtomRecord] = ()
    atoms: Sequence[AtomRecord] = ()
