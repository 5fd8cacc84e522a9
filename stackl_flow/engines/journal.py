"""The journal: the state of a flow in memory, and one checkpoint per step in the backend.

Only the engine's thread uses it. Each step of the engine is one checkpoint: all atoms that changed, the
transitions for the history, and the flow's own state, in one transaction that lands only while this engine
still owns the flow. Until then, changes wait in a write buffer. Without a backend nothing is encoded, and the
flow detail is all there is.

When the journal takes a flow over, the atoms of the plan are matched with the stored ones by name. The rules
are TaskFlow's: atoms may have been added, removed or reordered since. Two differences that TaskFlow lets pass
are errors here: an atom that changed its kind, and a removed atom that still waits to be reverted.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow import states as st
from stackl_flow.atom import Atom
from stackl_flow.clock import Clock
from stackl_flow.codec import TextCodec
from stackl_flow.engines.commands import Transition
from stackl_flow.engines.executors.calls import Process
from stackl_flow.engines.plan import Plan
from stackl_flow.error_text import is_a
from stackl_flow.failure import Failure
from stackl_flow.persistence import serialization
from stackl_flow.persistence.base import Backend, Connection
from stackl_flow.persistence.metadata import PARTS, FlowMeta, changed_keys
from stackl_flow.persistence.models import AtomDetail, FlowDetail, RetryDetail, TaskDetail, new_uuids
from stackl_flow.persistence.records import AtomValue, AttemptsChange, Checkpoint, InputRow
from stackl_flow.persistence.records import Transition as StoredTransition
from stackl_flow.persistence.serialization import MetaLayout
from stackl_flow.retry import Retry

_LOG = redaction.get_logger(__name__)

_new_tuple: Any = tuple.__new__  # twice as fast as the constructors of named tuples

#: Stands for the result of an atom that has none at present.
MISSING: Final[Any] = object()

_STATES_WITH_VALUE: Final = frozenset({st.SUCCESS, st.REVERTING, st.REVERT_FAILURE, st.RETRYING})
#: Entering these states discards the progress reported before.
_STATES_RESETTING_PROGRESS: Final = frozenset({st.RUNNING, st.SUCCESS, st.REVERTING, st.REVERTED})
#: States in which a call of an atom begins.
_STATES_STARTING: Final = frozenset({st.RUNNING, st.REVERTING})
#: States that say something about attempts.
_STATES_NOTED: Final = frozenset({st.PENDING, st.RETRYING})
_STATES_FAILED: Final = frozenset({st.FAILURE, st.REVERT_FAILURE})
#: States with which a call of an atom ends.
_STATES_ENDING: Final = frozenset({st.SUCCESS, st.FAILURE, st.REVERTED, st.REVERT_FAILURE})
#: States in which an atom that is to be reverted has something to revert.
_STATES_TO_REVERT: Final = frozenset({st.RUNNING, st.SUCCESS, st.FAILURE, st.REVERTING, st.REVERT_FAILURE})


#: The share of the largest value that a result may have; and the others, which may be stored along with it.
_RESULT: Final = 1
_NOTE: Final = 2
#: A backend that accepts values of so many bytes has room for any failure; and how far a failure is cut.
_ROOM_FOR_ANY_FAILURE: Final = 8_000_000
_SHORTEST_FAILURE: Final = 1_024
#: A character takes at most so many bytes in a store.
_MAX_GROWTH: Final = 8
#: Reasons of transitions that no event of the flow explains.
_TAKEN_OVER: Final = "the flow has a new owner"
_RESET: Final = "the flow was reset"
_MAX_WHY: Final = 255


class AppliedTransition(NamedTuple):
    """A change of an atom's state, for notification."""

    number: int
    old: str
    new: str


class WriteBuffer:
    """What changed since the last checkpoint.

    Attributes:
        atoms: changed atoms by UUID.
        transitions: rows for the history.
        flow_state_changed: whether the flow's state changed.
        metadata: the keys of the flow's metadata that changed; for values with a row for each item the names
            of the items that changed, otherwise None.
    """

    def __init__(self) -> None:
        self.atoms: dict[str, AtomDetail] = {}
        self.transitions: list[StoredTransition] = []
        self.flow_state_changed = False
        self.metadata: dict[str, set[str] | None] = {}
        self._encoded: dict[str, tuple[Any, str]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.atoms or self.transitions or self.metadata or self.flow_state_changed)

    def encode_result(self, detail: AtomDetail, result: Any, codec: TextCodec) -> str:
        """Encode a result now, to find out whether it can be stored, and keep the text for the checkpoint.

        Returns:
            The text.

        Raises:
            NotSerializable: the value has no JSON form.
        """
        text = codec.encode(result)
        self._encoded[detail.uuid] = (result, text)
        return text

    def add_metadata(self, key: str, old: Any, new: Any, codec: TextCodec | None) -> None:
        """Note that a key of the flow's metadata changes; values that are encoded alike do not count."""
        if serialization.has_named_items(old) and serialization.has_named_items(new):
            names = changed_keys(old, new)
            if codec is not None:
                both = [name for name in names if name in old and name in new]
                names.difference_update(name for name in both if _is_alike(codec, old[name], new[name]))
            known = self.metadata.setdefault(key, set()) if names else None
            if known is not None:
                known |= names
        else:
            self.metadata[key] = None

    def encode(self, flow: FlowDetail, codec: TextCodec, epoch: int, layout: MetaLayout) -> EncodedStep:
        """Encode the changes.

        Args:
            flow: the flow.
            codec: the codec.
            epoch: the epoch of its owner.
            layout: which keys of its metadata are stored where.

        Raises:
            NotSerializable: a value has no JSON form; the message names its atom.
        """
        encoded = self._encoded.get
        atoms = [
            (detail, serialization.encode_atom(codec, detail, encoded(uuid)))
            for uuid, detail in self.atoms.items()
        ]
        values: list[AtomValue] = []
        attempts: list[AttemptsChange] = []
        for _, atom in atoms:
            if atom.values:
                values += atom.values
            if atom.attempts is not None:
                attempts.append(atom.attempts)
        meta: str | None = None
        inputs: Sequence[InputRow] = ()
        if self.metadata:
            meta, inputs, layout = serialization.encode_changed_meta(codec, flow, self.metadata, layout)
        checkpoint = Checkpoint(
            flow.uuid,
            epoch,
            flow.state if self.flow_state_changed else None,
            meta,
            [atom.update for _, atom in atoms],
            self.transitions,
            values,
            attempts,
            inputs,
        )
        return EncodedStep(checkpoint, atoms, layout)


class EncodedStep(NamedTuple):
    """A checkpoint, and what is stored where once it is written."""

    checkpoint: Checkpoint
    atoms: Sequence[tuple[AtomDetail, serialization.EncodedAtom]]
    layout: MetaLayout


class Journal:
    """Records what happens in a flow.

    Args:
        flow_detail: the flow.
        backend: where it is stored; None keeps it in this process.
        clock: provides the times of transitions.
        owner: name under which this engine owns the flow.

    Attributes:
        epoch: owner epoch of this engine, 0 before ``take_ownership``.
        plan: the plan, or None before ``take_ownership``.
        details: atom details by number.
        values: results by number, MISSING where there is none at present.
        failed: details of atoms with a failure, by name.
        failures_version: changes with the failures of ``execute``.
        clock: provides the times.
        process: the process that owns the flow.
        queues: whether calls may wait before they start: then the start of a call is recorded when it is
            reported, and not with RUNNING or REVERTING.
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
        self.failures_version = 0
        self._by_name: dict[str, AtomDetail] | None = None
        self.clock = clock
        self.process = Process()
        self.queues = False
        self._connection: Connection | None = None
        self._buffer = WriteBuffer()
        # Metadata set before the flow is owned; the stored flow is read again when it is.
        self._unowned_metadata: dict[str, Any] = {}
        # Which keys of the metadata are stored where; None until one of them changes.
        self._layout: MetaLayout | None = None
        self._unowned_atom_metadata: dict[str, dict[str, Any]] = {}

    # ------------------------------------------------------------------ ownership

    def take_ownership(self, plan: Plan) -> None:
        """Become the flow's owner, read what is stored, and add details for new atoms.

        Raises:
            FlowChanged: the plan does not match what is stored.
            StorageFailure: the backend cannot be used.
        """
        if not self.process.is_here:  # forked before the run: the connection belongs to the parent
            self.process = Process()
            self._connection = None
        if self.backend is None:
            _match(self.flow, plan)
        else:
            self._connection = self._connection or self.backend.get_connection()
            refresh = functools.partial(_refresh, self.flow, plan)
            self.epoch = self._connection.take_ownership(
                self.flow.uuid, self.owner, self.clock.now(), refresh
            )
            # What an earlier run could not write did not happen.
            self._buffer = WriteBuffer()
            self._layout = None
            self._move_parts()
            self._change_metadata(self._unowned_metadata)
            self._unowned_metadata = {}
        self.index_atoms(plan)
        for name, metadata in self._unowned_atom_metadata.items():
            if name in self.by_name:
                self.save_atom(self.by_name[name], metadata)
        self._unowned_atom_metadata = {}
        if self.backend is not None:  # the history shows which atoms the lost owner was running
            now = self.clock.now()
            for detail in self.details:
                if detail.state in _STATES_STARTING:
                    self._buffer.transitions.append(
                        StoredTransition(
                            0, detail.name, detail.state, detail.state, now, self.owner, _TAKEN_OVER
                        )
                    )
                    self._begin(detail)
                    self._buffer.atoms[detail.uuid] = detail

    def index_atoms(self, plan: Plan) -> None:
        """Build the lookups by number and by name from the flow detail.

        ``take_ownership`` calls this. Call it yourself only after you added details to a flow that no engine
        runs. ``failed`` includes atoms that the plan no longer has: they explain why the flow is being
        reverted.
        """
        self._by_name = None
        self.plan = plan
        by_name = self.by_name
        self.details = [by_name[name] for name in plan.names]
        self.values = [current_value(detail) for detail in self.details]
        self.failures_version += 1
        self.failed = {
            detail.name: detail
            for detail in self.flow
            if detail.failure is not None or detail.revert_failure is not None
        }

    def close(self) -> None:
        """Close the connection; the next write opens it again."""
        if self._connection is not None and self.process.is_here:  # otherwise it is the parent's
            self._connection.close()

    @property
    def by_name(self) -> dict[str, AtomDetail]:
        """The atoms' details by name."""
        if self._by_name is None:
            self._by_name = {detail.name: detail for detail in self.flow}
        return self._by_name

    def state_of(self, number: int) -> str:
        """Return an atom's state."""
        return self.details[number].state or st.PENDING

    # ------------------------------------------------------------------ results

    def record_executed(self, number: int, result: Any) -> Any:
        """Record the result of ``execute``, a ``Failure`` if it raised.

        Returns:
            The result, or the failure that replaces it: a result that cannot be stored counts as a failure,
            so that the flow is reverted while all values are still there.
        """
        detail = self.details[number]
        failed = issubclass(type(result), Failure)  # isinstance() would ask the result
        if self.backend is not None and not failed:
            try:
                text = self._buffer.encode_result(detail, result, self.backend.codec)
                self._check_size(f"the result of atom '{detail.name}'", text, _RESULT)
            except exc.NotSerializable as error:
                failed = True
                result = Failure.from_exception(
                    exc.NotSerializable(f"result of atom '{detail.name}': {error}", cause=error.cause)
                )
            except exc.ValueTooLarge as error:
                failed = True
                result = Failure.from_exception(error)
        if failed:
            detail.failure = result = self._storable(result)
            self.failed[detail.name] = detail
            self.failures_version += 1
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
            self.failures_version += 1
            detail.failure = detail.revert_failure = None
        detail.revert_results = None
        return result

    def record_reverted(self, number: int, result: Any) -> None:
        """Record the result of ``revert``, a ``Failure`` if it raised.

        The result of ``execute`` is kept, so that a failed revert can be tried again.
        """
        detail = self.details[number]
        if is_a(result, Failure):
            detail.revert_failure = self._storable(result)
            self.failed[detail.name] = detail
            return
        if self.backend is not None and result is not None:
            try:
                self._check_size("it", self.backend.codec.encode(result), _NOTE)
            except (exc.NotSerializable, exc.ValueTooLarge) as error:
                _LOG.warning("revert result of atom '%s' is not stored: %s", detail.name, error)
                result = None
        detail.revert_failure = None
        detail.revert_results = result
        if isinstance(detail, RetryDetail):
            detail.results = []

    def record_attempt_failure(self, retry: int, child: int, failure: Failure) -> None:
        """Add a failure to a retry's current attempt, under the name of the atom it is reported for."""
        detail = self.details[retry]
        if isinstance(detail, RetryDetail) and detail.results:
            detail.results[-1][1].setdefault(self.details[child].name, failure)
            self._buffer.atoms[detail.uuid] = detail

    def record_progress(self, number: int, progress: float, details: dict[str, Any]) -> None:
        """Record a task's progress, from 0.0 to 1.0; empty details leave those reported before."""
        detail = self.details[number]
        detail.reported_progress = progress
        if details:
            try:
                if self.backend is not None:
                    text = self.backend.codec.encode(details)
                    self._check_size("they", text, _NOTE)
                    details = self.backend.codec.decode(text)  # the task may change its own in place
            except (exc.NotSerializable, exc.ValueTooLarge) as error:
                _LOG.warning("progress details of atom '%s' are not stored: %s", detail.name, error)
            else:
                detail.progress_details = {"at_progress": progress, "details": details}
        self._buffer.atoms[detail.uuid] = detail

    def _check_size(self, what: str, text: str, share: int) -> None:
        """Check that the backend accepts a text; what it stores once would be in the way of all that follows.

        Raises:
            ValueTooLarge: it does not; ``what`` names the text.
        """
        connection = self._connection
        limit = None if connection is None else connection.max_value
        if connection is None or self.backend is None or limit is None:
            return
        limit //= share
        if _MAX_GROWTH * len(text) <= limit:
            return
        size = connection.stored_size(text)
        if size > limit:
            raise exc.ValueTooLarge(
                f"{what} has {size} bytes, and '{self.backend.name}' accepts {limit}: store it elsewhere and "
                f"return a reference to it, or give the backend a codec that does so",
                size=size,
                limit=limit,
            )

    def _check_values(self, pairs: Mapping[str, Any], old: Mapping[str, Any], of_what: str) -> None:
        """Check values before anything is changed: a bad one is in the way of all later commits.

        Args:
            pairs: the values by name.
            old: those that are there; the same objects are not checked again, whatever became of them.
            of_what: what they are, for the error message.

        Raises:
            NotSerializable: a value has no JSON form.
            ValueTooLarge: the backend does not accept a value.
        """
        if self.backend is None:
            return
        for name, value in pairs.items():
            parts, before = {name: value}, {name: old.get(name, MISSING)}
            if serialization.has_named_items(value):
                parts, before = value, before[name] if isinstance(before[name], dict) else {}
            for key, part in parts.items():
                if before.get(key, MISSING) is part:
                    continue
                try:
                    text = self.backend.codec.encode(part)
                except exc.NotSerializable as error:
                    raise exc.NotSerializable(f"'{key}' {of_what}: {error}", cause=error.cause) from error
                self._check_size(f"'{key}' {of_what}", text, _RESULT)

    def _storable(self, failure: Failure) -> Failure:
        """Return a failure that the backend accepts: the same one, or one with shorter texts."""
        connection = self._connection
        limit = None if connection is None else connection.max_value
        if self.backend is None or connection is None or limit is None or limit > _ROOM_FOR_ANY_FAILURE:
            return failure
        codec, size = self.backend.codec, limit // _NOTE
        while size > _SHORTEST_FAILURE:
            text = codec.encode(serialization.failure_to_json(failure, codec))
            if connection.stored_size(text) <= limit // _NOTE:
                break
            size //= 2
            failure = failure.shortened(size)
        return failure

    def set_started(self, number: int, at: float) -> None:
        """Set when the work of a call began; written with the atom's next transition."""
        self.details[number].started_at = at

    def record_started(self, number: int, at: float) -> None:
        """Record when the work of a running call began; written with the next commit."""
        detail = self.details[number]
        detail.started_at = at
        self._buffer.atoms[detail.uuid] = detail

    def _note_attempt(self, detail: AtomDetail, old: str, state: str) -> None:
        """Count the attempts of an atom, and forget when an earlier call began."""
        if state == st.PENDING:
            detail.started_at = None
            # A recalled call did not start, so this is not another attempt.
            detail.attempt += old != st.RUNNING
        else:
            detail.attempt += 1

    def _begin(self, detail: AtomDetail) -> None:
        """Set the start of a call that is about to be handed over, if it cannot wait before it starts."""
        can_wait = self.queues and type(detail) is not RetryDetail
        detail.started_at = None if can_wait or self.backend is None else self.clock.now()

    # ------------------------------------------------------------------ transitions

    def apply(self, transition: Transition) -> AppliedTransition | None:
        """Apply a transition of an atom; returns None if only the intention changed."""
        number, state, intention, state_changed = transition
        detail = self.details[number]
        old = detail.state or st.PENDING
        detail.state = state
        detail.intention = intention
        if state_changed:
            if state in _STATES_STARTING:
                self._begin(detail)
            elif state in _STATES_NOTED:
                self._note_attempt(detail, old, state)
        if self.backend is not None:
            self._buffer.atoms[detail.uuid] = detail
            if state_changed:
                start = detail.started_at if old in _STATES_STARTING and state in _STATES_ENDING else None
                why = _why(detail) if state in _STATES_FAILED else None
                self._add_transition(detail.name, old, state, why, start)
        if not state_changed:
            return None
        if state in _STATES_RESETTING_PROGRESS:
            detail.reported_progress = None
        if state not in _STATES_WITH_VALUE:
            self.values[number] = MISSING
        return AppliedTransition(number, old, state)

    def change_flow_state(self, state: str) -> tuple[bool, str]:
        """Change the flow's state.

        Returns:
            Whether the state changed, and the previous state.

        Raises:
            InvalidState: the transition is not allowed.
        """
        old = self.flow.state or st.PENDING
        if not st.check_flow_transition(old, state):
            return False, old
        self.flow.state = state
        self._buffer.flow_state_changed = True
        if self.backend is not None:
            self._add_transition(None, old, state)
        return True, old

    def force_flow_state(self, state: str) -> None:
        """Set the flow's state without checking the transition and without a row in the history."""
        self.flow.state = state
        self._buffer.flow_state_changed = True

    def reset_atoms(self) -> list[AppliedTransition]:
        """Reset every atom to PENDING; returns the transitions that this took."""
        applied: list[AppliedTransition] = []
        for number, detail in enumerate(self.details):
            old = detail.state or st.PENDING
            if old == st.PENDING and detail.intention == st.EXECUTE:
                continue
            detail.reset(st.PENDING)
            detail.attempt += old != st.PENDING
            detail.started_at = None
            detail.reported_progress = detail.progress_details = None
            self.values[number] = MISSING
            self._buffer.atoms[detail.uuid] = detail
            if old != st.PENDING:
                applied.append(AppliedTransition(number, old, st.PENDING))
                if self.backend is not None:
                    self._add_transition(detail.name, old, st.PENDING, _RESET)
        self.failed.clear()
        self.failures_version += 1
        return applied

    # ------------------------------------------------------------------ other changes

    def update_metadata(self, pairs: Mapping[str, Any]) -> None:
        """Add to the flow's metadata, and commit if the flow is owned.

        Raises:
            NotSerializable: a value has no JSON form; nothing was changed.
            ValueTooLarge: the backend does not accept it; nothing was changed.
        """
        self._check_values(pairs, self.flow.meta, f"in the meta of flow '{self.flow.name}'")
        self._change_metadata(pairs)
        if self.plan is not None:
            self.commit()
        elif self.backend is not None:
            self._unowned_metadata.update(pairs)

    def set_metadata(self, key: str, value: Any) -> None:
        """Set a key of the flow's metadata, or remove it if the value is None, with the next commit."""
        if value is not None:
            self._change_metadata({key: value})
        elif key in self.flow.meta:
            self._find_layout()
            self._buffer.metadata[key] = None
            del self.flow.meta[key]

    def _change_metadata(self, pairs: Mapping[str, Any]) -> None:
        if not pairs:
            return
        self._find_layout()
        codec = None if self.backend is None else self.backend.codec
        for key, value in pairs.items():
            self._buffer.add_metadata(key, self.flow.meta.get(key), value, codec)
            self.flow.meta[key] = value

    def _move_parts(self) -> None:
        """Have inputs that an older version stored with the row of the flow moved to rows of their own."""
        meta = self.flow.meta
        inline = meta.inline if isinstance(meta, FlowMeta) else meta.keys()
        if not PARTS.isdisjoint(inline):
            self._find_layout()
            self._buffer.metadata.update(dict.fromkeys(PARTS.intersection(inline)))

    def _find_layout(self) -> None:
        """Find out which keys of the metadata are stored where, before the first of them changes."""
        if self._layout is None:
            meta = self.flow.meta
            inline = meta.inline if isinstance(meta, FlowMeta) else frozenset(meta)
            self._layout = MetaLayout(inline, meta.keys() - inline)

    def _add_transition(
        self,
        atom: str | None,
        old: str,
        new: str,
        why: str | None = None,
        started_at: float | None = None,
    ) -> None:
        self._buffer.transitions.append(
            _new_tuple(StoredTransition, (0, atom, old, new, self.clock.now(), self.owner, why, started_at))
        )

    def save_atom(self, detail: AtomDetail, metadata: Mapping[str, Any] | None = None) -> None:
        """Add to an atom's metadata, if given, and have the atom written with the next commit.

        Raises:
            NotSerializable: a value has no JSON form; nothing was changed.
            ValueTooLarge: the backend does not accept it; nothing was changed.
        """
        if metadata:
            self._check_values(metadata, detail.meta, f"in the meta of atom '{detail.name}'")
            detail.meta = {**detail.meta, **metadata}
            if self.plan is None and self.backend is not None:
                self._unowned_atom_metadata.setdefault(detail.name, {}).update(metadata)
        self._buffer.atoms[detail.uuid] = detail

    def replace_atom(self, detail: AtomDetail, changed: AtomDetail) -> None:
        """Overwrite an atom with a changed copy, without checking transitions, and update the lookups.

        Nothing is written; call ``save_atom`` for that.
        """
        detail.update(changed)
        self.failures_version += 1
        if detail.failure is None and detail.revert_failure is None:
            self.failed.pop(detail.name, None)
        else:
            self.failed[detail.name] = detail
        number = None if self.plan is None else self.plan.index.get(detail.name)
        if number is not None:
            self.values[number] = current_value(detail)

    def commit(self) -> None:
        """Write the buffer in one transaction.

        Raises:
            OwnershipLost: another engine has taken the flow over, or this is a forked child; nothing was
                written.
            StorageFailure: the backend cannot write; nothing was written.
        """
        if self.process.generation is not Process.current:
            self.process.check(f"flow '{self.flow.name}' ({self.flow.uuid})")
        if self._connection is None or self.backend is None:
            self._buffer.atoms.clear()
            return
        buffer = self._buffer
        if not buffer.is_empty:
            layout = self._layout or MetaLayout()
            step = buffer.encode(self.flow, self.backend.codec, self.epoch, layout)
            self._connection.checkpoint(step.checkpoint)
            self._buffer = WriteBuffer()
            self._layout = None if self._layout is None else step.layout
            for detail, encoded in step.atoms:
                detail.stored = encoded.stored


def _is_alike(codec: TextCodec, old: Any, new: Any) -> bool:
    """Return whether two values have the same text; the old one may have been changed in place."""
    try:
        return codec.encode(old) == codec.encode(new)
    except exc.NotSerializable:
        return False


def _why(detail: AtomDetail) -> str | None:
    """Return why an atom failed: the type of its error."""
    failure = detail.failure if detail.state == st.FAILURE else detail.revert_failure
    return None if failure is None else str(failure.exc_type_names[0])[:_MAX_WHY]


def current_value(detail: AtomDetail) -> Any:
    """Return what an atom provides at present, or MISSING."""
    if detail.state not in _STATES_WITH_VALUE or detail.failure is not None:
        return MISSING
    if isinstance(detail, RetryDetail):
        return detail.results[-1][0] if detail.results else MISSING
    return detail.results


# ------------------------------------------------------------------ matching a plan with what is stored


def _match(flow: FlowDetail, plan: Plan) -> list[AtomDetail]:
    """Compare a plan with a flow detail; add and return a detail for each atom that has none."""
    known = {detail.name: detail for detail in flow}
    new: list[Atom] = []
    for atom, name in zip(plan.atoms, plan.names, strict=True):
        detail = known.get(name)
        if detail is None:
            new.append(atom)
        elif isinstance(detail, RetryDetail) is not isinstance(atom, Retry):
            was, now = ("retry", "task") if isinstance(detail, RetryDetail) else ("task", "retry")
            raise exc.FlowChanged(
                f"atom '{name}' of flow '{flow.name}' ({flow.uuid}) is stored as a {was} and is now a {now}:"
                f" give the {now} another name, or run the flow with the code that stored it"
            )
    if len(known) + len(new) > len(plan):
        _check_removed(flow, plan)
    return [_add_detail(flow, atom, uuid) for atom, uuid in zip(new, new_uuids(len(new)), strict=True)]


def _refresh(flow: FlowDetail, plan: Plan, stored: FlowDetail) -> list[AtomDetail]:
    """Replace a flow detail by what is stored, which a previous owner may have changed, and match it.

    Args:
        flow: the flow detail; it is changed.
        plan: the plan.
        stored: what is stored.
    """
    _restore_exceptions(stored, flow)
    if isinstance(stored.meta, FlowMeta):
        stored.meta.take_over(flow.meta)
    flow.update(stored)
    return _match(flow, plan)


def _restore_exceptions(stored: FlowDetail, flow: FlowDetail) -> None:
    """Replace stored failures by those that still have their exception in this process.

    A flow that is resumed in the process in which it failed then raises the exception itself, as in TaskFlow.
    """
    for known in flow:
        if known.failure is None and known.revert_failure is None:
            continue
        detail = stored.find(known.uuid)
        if detail is not None:
            detail.failure = _with_exception(detail.failure, known.failure)
            detail.revert_failure = _with_exception(detail.revert_failure, known.revert_failure)


def _with_exception(stored: Failure | None, known: Failure | None) -> Failure | None:
    if stored is None or known is None:
        return stored
    is_same = known.matches(stored) and known.traceback_str == stored.traceback_str
    return known if is_same else stored


def _check_removed(flow: FlowDetail, plan: Plan) -> None:
    removed = [detail for detail in flow if detail.name not in plan.index]
    to_revert = [
        detail.name
        for detail in removed
        if detail.intention in (st.REVERT, st.RETRY) and detail.state in _STATES_TO_REVERT
    ]
    if to_revert:
        raise exc.FlowChanged(
            f"flow '{flow.name}' ({flow.uuid}) is being reverted and no longer has the atoms {to_revert},"
            f" which still have to be reverted: resume it with the code that ran them"
        )
    _LOG.warning(
        "flow '%s' (%s) no longer has the atoms %s: their stored details are left unchanged",
        flow.name, flow.uuid, [detail.name for detail in removed],
    )  # fmt: skip


def _add_detail(flow: FlowDetail, atom: Atom, uuid: str) -> AtomDetail:
    kind = RetryDetail if isinstance(atom, Retry) else TaskDetail
    detail: AtomDetail = kind(str(atom.name), uuid)
    detail.state = st.PENDING
    detail.intention = st.EXECUTE
    version: Any = atom.version
    detail.version = _format_version(tuple(version)) if isinstance(version, (list, tuple)) else version
    flow.add(detail)
    return detail


@functools.cache  # nearly all atoms have the same
def _format_version(version: tuple[Any, ...]) -> str:
    return ".".join(map(str, version))
