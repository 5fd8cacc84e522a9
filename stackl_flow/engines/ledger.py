"""The ledger: what has happened in a flow, written down before anything that depends on it begins.

Only the engine's thread comes here. Each step of the engine is one entry: all atoms that moved, the moves
themselves for the history, and the flow's own state, in one transaction that lands only while this engine is
still the flow's owner. Without a backend nothing is encoded and the flow detail itself is all there is.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import secrecy
from stackl_flow import states as st
from stackl_flow.clock import Clock
from stackl_flow.engines import matching
from stackl_flow.engines.commands import Move, Moved
from stackl_flow.engines.page import Page
from stackl_flow.engines.plan import Plan
from stackl_flow.failure import Failure
from stackl_flow.persistence.base import Backend, Connection
from stackl_flow.persistence.models import AtomDetail, FlowDetail, RetryDetail

_LOG = secrecy.logger(__name__)

#: Stands for the result of an atom that has none at present.
MISSING: Final[Any] = object()

_WITH_VALUE: Final = frozenset({st.SUCCESS, st.REVERTING, st.REVERT_FAILURE, st.RETRYING})


class Ledger:
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
        self._page = Page()
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
            matching.match(self.flow, plan)
        else:
            self._connection = self._connection or self.backend.get_connection()
            match = functools.partial(matching.renew, self.flow, plan, self._notes)
            self.epoch = self._connection.take_up(self.flow.uuid, self.owner, self._clock.now(), match)
            # What an earlier run could not write did not happen.
            self._page = Page()
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
        detail.told_progress = progress
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
            detail.told_progress = None
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
            detail.told_progress = detail.progress_details = None
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
            self._page = Page()


#: States whose progress goes without saying, whatever was said before.
_ANEW: Final = frozenset({st.RUNNING, st.SUCCESS, st.REVERTING, st.REVERTED})


def _value_of(detail: AtomDetail) -> Any:
    if detail.state not in _WITH_VALUE or detail.failure is not None:
        return MISSING
    if isinstance(detail, RetryDetail):
        return detail.results[-1][0] if detail.results else MISSING
    return detail.results
