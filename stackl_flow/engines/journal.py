"""The journal: what has happened in a flow, written down before anything that depends on it begins.

Only the engine's thread comes here. Each step of the engine is one entry: all atoms that moved, the moves
themselves for the history, and the flow's own state, in one transaction that lands only while this engine is
still the flow's owner. Without a backend nothing is encoded and the flow detail itself is all there is.

A page of the journal: what is to be written with the next entry.

Compares a flow with what is stored of it, by the names of its atoms.

The rules are TaskFlow's: atoms may have been added, taken away or put in another order since. What it would
let pass and is refused here: an atom that became another kind of atom, and atoms that were taken away while
they still wait to be undone.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow import states as st
from stackl_flow.atom import Atom
from stackl_flow.clock import Clock
from stackl_flow.codec import TextCodec
from stackl_flow.engines.commands import Move, Moved
from stackl_flow.engines.plan import Plan
from stackl_flow.failure import Failure
from stackl_flow.persistence import serialization
from stackl_flow.persistence.base import Backend, Checkpoint, Connection
from stackl_flow.persistence.models import AtomDetail, FlowDetail, RetryDetail, TaskDetail, new_uuids
from stackl_flow.retry import Retry


class WriteBuffer:
    """Collects what changed since the last entry; turned when that has been written."""

    def __init__(self) -> None:
        self.atoms: dict[str, AtomDetail] = {}
        self.moves: list[tuple[str | None, str | None, str | None, float]] = []
        self.flow_moved = False
        self.meta_changed = False
        self._encoded: dict[str, tuple[Any, str]] = {}

    @property
    def blank(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.atoms or self.moves or self.meta_changed or self.flow_moved)

    def keep(self, detail: AtomDetail, result: Any, codec: TextCodec) -> None:
        """Encode a result now, so that it is known that it can be stored, and keep the text for the entry.

        Args:
            detail: whose result it is.
            result: what ``execute`` gave.
            codec: makes the text.

        Raises:
            NotSerializable: the value has no JSON form.
        """
        self._encoded[detail.uuid] = (result, codec.encode(result))

    def checkpoint(self, flow: FlowDetail, codec: TextCodec, epoch: int, owner: str) -> Checkpoint:
        """Put what changed into the form that is stored.

        Args:
            flow: the flow.
            codec: makes the text.
            epoch: the owner's epoch.
            owner: who writes.

        Returns:
            The entry.

        Raises:
            NotSerializable: a value has no JSON form; the message names its atom.
        """
        encoded = self._encoded.get
        return Checkpoint(
            flow.uuid,
            epoch,
            owner,
            flow.state if self.flow_moved else None,
            codec.encode(flow.meta) if self.meta_changed else None,
            [serialization.atom_update(codec, detail, encoded(uuid)) for uuid, detail in self.atoms.items()],
            self.moves,
        )


_BEGUN: Final = frozenset({st.RUNNING, st.SUCCESS, st.FAILURE, st.REVERTING, st.REVERT_FAILURE})


def match(flow: FlowDetail, plan: Plan) -> list[AtomDetail]:
    """Compare, and add a detail for each atom that has none.

    Args:
        flow: what is known of the flow.
        plan: what is to run.

    Returns:
        The details that were added.

    Raises:
        FlowChanged: the flow is not the one that was stored.
    """
    known = {detail.name: detail for detail in flow}
    fresh: list[Atom] = []
    for atom, name in zip(plan.atoms, plan.names, strict=True):
        detail = known.get(name)
        if detail is None:
            fresh.append(atom)
        elif isinstance(detail, RetryDetail) is not isinstance(atom, Retry):
            was, now = ("retry", "task") if isinstance(detail, RetryDetail) else ("task", "retry")
            raise exc.FlowChanged(
                f"atom '{name}' of flow '{flow.name}' ({flow.uuid}) is stored as a {was} and is a {now} now:"
                f" give the {now} another name, or run with the code that stored it"
            )
    if len(known) + len(fresh) > len(plan):
        _check_removed(flow, plan)
    return [_add(flow, atom, uuid) for atom, uuid in zip(fresh, new_uuids(len(fresh)), strict=True)]


def renew(flow: FlowDetail, plan: Plan, notes: Mapping[str, Any], stored: FlowDetail) -> list[AtomDetail]:
    """Put what is stored of a flow in the place of what is known here; whoever owned it may have gone on.

    Args:
        flow: what is known of the flow; it is changed.
        plan: what is to run.
        notes: notes that were taken since and wait to be stored.
        stored: what is stored of it.

    Returns:
        The details that were added, of atoms that are not stored.

    Raises:
        FlowChanged: the flow is not the one that was stored.
    """
    flow.update(_with_live_errors(stored, flow))
    flow.meta = {**flow.meta, **notes}
    return match(flow, plan)


def _with_live_errors(stored: FlowDetail, here: FlowDetail) -> FlowDetail:
    """Put errors that are still live in this process in the place of what is stored of them.

    So that a flow taken up in the process in which it failed raises the error itself, as TaskFlow does.
    """
    for known in here:
        if known.failure is None and known.revert_failure is None:
            continue
        read = stored.find(known.uuid)
        if read is not None:
            read.failure = _live(read.failure, known.failure)
            read.revert_failure = _live(read.revert_failure, known.revert_failure)
    return stored


def _live(read: Failure | None, known: Failure | None) -> Failure | None:
    if read is None or known is None or not known.matches(read) or known.traceback_str != read.traceback_str:
        return read
    return known


def _check_removed(flow: FlowDetail, plan: Plan) -> None:
    gone = [detail for detail in flow if detail.name not in plan.index]
    undo = [
        detail.name for detail in gone if detail.intention in (st.REVERT, st.RETRY) and detail.state in _BEGUN
    ]
    if undo:
        raise exc.FlowChanged(
            f"flow '{flow.name}' ({flow.uuid}) is being undone and no longer has {undo}, which still wait"
            f" to be reverted: resume it with the code that ran them"
        )
    _LOG.warning(
        "flow '%s' (%s) no longer has the atoms %s: what is stored of them is left alone",
        flow.name, flow.uuid, [detail.name for detail in gone],
    )  # fmt: skip


def _add(flow: FlowDetail, atom: Atom, uuid: str) -> AtomDetail:
    kind = RetryDetail if isinstance(atom, Retry) else TaskDetail
    detail: AtomDetail = kind(str(atom.name), uuid)
    detail.state = st.PENDING
    detail.intention = st.EXECUTE
    version: Any = atom.version
    detail.version = _dotted(tuple(version)) if isinstance(version, (list, tuple)) else version
    flow.add(detail)
    return detail


@functools.cache  # nearly all atoms share one
def _dotted(version: tuple[Any, ...]) -> str:
    return ".".join(map(str, version))


_LOG = redaction.get_logger(__name__)

#: Stands for the result of an atom that has none at present.
MISSING: Final[Any] = object()

_WITH_VALUE: Final = frozenset({st.SUCCESS, st.REVERTING, st.REVERT_FAILURE, st.RETRYING})


class Journal:
    """Keeps what is known of a flow.

    Args:
        flow_detail: the flow's detail.
        backend: where it is stored, or None to keep it in this process only.
        clock: tells when something happened.
        owner: under which name this engine owns the flow.
    """

    def __init__(self, flow_detail: FlowDetail, backend: Backend | None, clock: Clock, owner: str) -> None:
        self.flow = flow_detail
        self.backend = backend
        self.owner = owner
        self.epoch = 0
        self.plan: Plan | None = None
        self.details: list[AtomDetail] = []
        self.values: list[Any] = []
        self.failed: dict[str, AtomDetail] = {}
        self._by_name: dict[str, AtomDetail] | None = None
        self._clock = clock
        self._connection: Connection | None = None
        self._page = WriteBuffer()
        self._notes: dict[str, Any] = {}
        self._notes_of: dict[str, dict[str, Any]] = {}

    def open(self, plan: Plan) -> None:
        """Become the flow's owner, read what is stored and add what is new.

        Args:
            plan: what is to run.

        Raises:
            FlowChanged: the flow is not the one that was stored.
            StorageFailure: the backend cannot be used.
        """
        if self.backend is None:
            match(self.flow, plan)
        else:
            self._connection = self._connection or self.backend.get_connection()
            merge = functools.partial(renew, self.flow, plan, self._notes)
            self.epoch = self._connection.take_ownership(self.flow.uuid, self.owner, self._clock.now(), merge)
            # What an earlier run could not write did not happen.
            self._page = WriteBuffer()
            self._page.meta_changed = bool(self._notes)
            self._notes = {}
        self._by_name = None
        self.plan = plan
        for name, notes in self._notes_of.items():
            if name in self.by_name:
                self.touch(self.by_name[name], notes)
        self._notes_of = {}
        known = self.by_name
        self.details = [known[name] for name in plan.names]
        self.values = [_value_of(detail) for detail in self.details]
        self._note_taken_up()
        self.failed = {
            detail.name: detail
            for detail in self.flow  # those that the flow no longer has tell why it is being undone
            if detail.failure is not None or detail.revert_failure is not None
        }

    def _note_taken_up(self) -> None:
        """Note in the history which atoms were under way when their owner was lost, and begin again here."""
        if self.backend is not None:
            now = self._clock.now()
            self._page.moves += [
                (detail.name, detail.state, detail.state, now)
                for detail in self.details
                if detail.state in (st.RUNNING, st.REVERTING)
            ]

    def close(self) -> None:
        """Let go of the connection; the next write opens one again."""
        if self._connection is not None:
            self._connection.close()

    @property
    def by_name(self) -> dict[str, AtomDetail]:
        """The atoms' details by name."""
        if self._by_name is None:
            self._by_name = {detail.name: detail for detail in self.flow}
        return self._by_name

    def update_meta(self, pairs: Mapping[str, Any]) -> None:
        """Add to the flow's notes.

        Args:
            pairs: notes by name.
        """
        self.note({**self.flow.meta, **pairs})
        if self.plan is not None:
            self.commit()
        elif self.backend is not None:
            self._notes.update(pairs)  # the flow is not owned yet, and will be read anew when it is

    def note(self, meta: dict[str, Any]) -> None:
        """Replace the flow's notes; they are written with the next entry.

        Args:
            meta: the new notes.
        """
        self.flow.meta = meta
        self._page.meta_changed = True

    def state_of(self, atom: int) -> str:
        """Return an atom's state."""
        return self.details[atom].state or st.PENDING

    def keep_executed(self, number: int, result: Any) -> Any:
        """Note what ``execute`` gave.

        Args:
            number: the atom.
            result: what it gave, a ``Failure`` if it raised.

        Returns:
            The result, or the failure that it became: what cannot be stored counts as failed, so that the
            flow is undone while everything is still at hand.
        """
        detail = self.details[number]
        if self.backend is not None and not isinstance(result, Failure):
            try:
                self._page.keep(detail, result, self.backend.codec)
            except exc.NotSerializable as error:
                result = Failure.from_exception(
                    exc.NotSerializable(f"result of atom '{detail.name}': {error}", cause=error.cause)
                )
        if isinstance(result, Failure):
            detail.failure = result
            self.failed[detail.name] = detail
            if type(detail) is not RetryDetail:
                detail.results = None
            return result
        if type(detail) is RetryDetail:
            detail.results.append((result, {}))
        else:
            detail.results = result
        self.values[number] = result
        if detail.failure is not None or detail.revert_failure is not None:
            self.failed.pop(detail.name, None)
            detail.failure = detail.revert_failure = None
        detail.revert_results = None
        return result

    def keep_reverted(self, number: int, result: Any) -> None:
        """Note what ``revert`` gave; what ``execute`` gave is kept, for a failed revert to be tried again.

        Args:
            number: the atom.
            result: what it gave, a ``Failure`` if it raised.
        """
        detail = self.details[number]
        if isinstance(result, Failure):
            detail.revert_failure = result
            self.failed[detail.name] = detail
            return
        if self.backend is not None and result is not None:
            try:
                self.backend.codec.encode(result)
            except exc.NotSerializable as error:
                _LOG.warning("what reverting atom '%s' gave is not stored: %s", detail.name, error)
                result = None
        detail.revert_failure = None
        detail.revert_results = result
        if isinstance(detail, RetryDetail):
            detail.results = []

    def keep_attempt_failure(self, retry: int, asker: int, failure: Failure) -> None:
        """Note in a retry's history that an atom of its flow failed.

        Args:
            retry: the retry.
            asker: the atom on whose behalf the retry is asked.
            failure: what went wrong.
        """
        detail = self.details[retry]
        if isinstance(detail, RetryDetail) and detail.results:
            detail.results[-1][1].setdefault(self.details[asker].name, failure)
            self._page.atoms[detail.uuid] = detail

    def keep_progress(self, number: int, progress: float, details: dict[str, Any]) -> None:
        """Note how far a task has come.

        Args:
            number: the task.
            progress: from 0.0 to 1.0.
            details: what it said besides.
        """
        detail = self.details[number]
        detail.reported_progress = progress
        if details:
            try:
                if self.backend is not None:
                    self.backend.codec.encode(details)
            except exc.NotSerializable as error:
                _LOG.warning("progress details of atom '%s' are not stored: %s", detail.name, error)
            else:
                detail.progress_details = {"at_progress": progress, "details": details}
        self._page.atoms[detail.uuid] = detail

    def move(self, move: Move) -> Moved | None:
        """Note an atom's move.

        Args:
            move: the move.

        Returns:
            What there is to tell of it, or None.
        """
        number, state, intention, moved = move
        detail = self.details[number]
        old = detail.state or st.PENDING
        detail.state = state
        detail.intention = intention
        if self.backend is not None:
            self._page.atoms[detail.uuid] = detail
            if moved:
                self._page.moves.append((detail.name, old, state, self._clock.now()))
        if not moved:
            return None
        if state in _ANEW:
            detail.reported_progress = None
        if state not in _WITH_VALUE:
            self.values[number] = MISSING
        return Moved(number, old, state)

    def move_flow(self, state: str) -> tuple[bool, str]:
        """Note the flow's own move.

        Args:
            state: where it goes.

        Returns:
            Whether it moved, and where it was.

        Raises:
            InvalidState: the move is not allowed.
        """
        old = self.flow.state or st.PENDING
        if not st.check_flow_transition(old, state):
            return False, old
        self.flow.state = state
        self._page.flow_moved = True
        if self.backend is not None:
            self._page.moves.append((None, old, state, self._clock.now()))
        return True, old

    def reset_atoms(self) -> list[Moved]:
        """Set every atom back to its beginning.

        Returns:
            The moves made.
        """
        told: list[Moved] = []
        for number, detail in enumerate(self.details):
            old = detail.state or st.PENDING
            if old == st.PENDING and detail.intention == st.EXECUTE:
                continue
            detail.reset(st.PENDING)
            detail.reported_progress = detail.progress_details = None
            self.values[number] = MISSING
            self._page.atoms[detail.uuid] = detail
            if old != st.PENDING:
                told.append(Moved(number, old, st.PENDING))
                if self.backend is not None:
                    self._page.moves.append((detail.name, old, st.PENDING, self._clock.now()))
        self.failed.clear()
        return told

    def touch(self, detail: AtomDetail, notes: Mapping[str, Any] | None = None) -> None:
        """Have an atom's detail written with the next entry.

        Args:
            detail: the detail that was changed.
            notes: to be added to its notes.
        """
        if notes:
            detail.meta = {**detail.meta, **notes}
            if self.plan is None and self.backend is not None:
                self._notes_of.setdefault(detail.name, {}).update(notes)  # as for the flow's own
        self._page.atoms[detail.uuid] = detail

    def commit(self) -> None:
        """Write everything noted since the last time, in one transaction.

        Raises:
            OwnershipLost: another engine has taken the flow over; nothing was written.
            StorageFailure: the backend cannot write; nothing was written.
        """
        if self._connection is None or self.backend is None:
            self._page.atoms.clear()
            return
        page = self._page
        if not page.blank:
            entry = page.checkpoint(self.flow, self.backend.codec, self.epoch, self.owner)
            self._connection.checkpoint(entry)
            self._page = WriteBuffer()


#: States whose progress goes without saying, whatever was said before.
_ANEW: Final = frozenset({st.RUNNING, st.SUCCESS, st.REVERTING, st.REVERTED})


def _value_of(detail: AtomDetail) -> Any:
    if detail.state not in _WITH_VALUE or detail.failure is not None:
        return MISSING
    if isinstance(detail, RetryDetail):
        return detail.results[-1][0] if detail.results else MISSING
    return detail.results
