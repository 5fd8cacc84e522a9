"""The decision core: what runs next.

A pure object. Events go in, commands come out; no I/O, no clock, no lock, no thread, no user code.
Each move updates the counts of its neighbours only (see ``board``), so that a decision costs the same
in a flow of ten atoms and of a million.

The rules are TaskFlow's. Atoms that are chosen together run together, even when one of them fails; a failed
atom's nearest retry is asked what to do, then those around it; a decider's "no" has atoms ignored.

Waves: what a serial engine chose together.

All of a wave comes back before anything else is chosen, even when one of its atoms fails. For that to hold
across a crash, a wave of several atoms is noted with the flow, in the transaction in which its first atom
begins: a run that takes the flow up finishes that wave before it chooses anew, and ends like the first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from stackl_flow import states as st
from stackl_flow.engines import atom_table
from stackl_flow.engines import atom_table as m
from stackl_flow.engines import commands as c
from stackl_flow.engines.atom_table import AtomTable
from stackl_flow.engines.commands import Wave
from stackl_flow.engines.plan import Plan
from stackl_flow.retry import Decision

#: Name of the note in the flow's meta; there only while a wave of several atoms is under way.
META_WAVE: Final = "wave"

NONE: Final = Wave((), ())


def wave_of(picked: Sequence[int], board: AtomTable) -> Wave:
    """Say what is to be remembered of a choice.

    Args:
        picked: the atoms that were chosen.
        board: where they stand.

    Returns:
        The wave; none of a lone atom, whose own state says it all.
    """
    if len(picked) <= 1:
        return NONE
    return Wave(
        tuple(index for index in picked if board.want[index] < m.REVERT),
        tuple(index for index in picked if board.want[index] >= m.REVERT),
    )


def left_of(wave: Wave, board: AtomTable) -> list[int]:
    """Say which atoms of a wave have not begun.

    Args:
        wave: what was chosen.
        board: where every atom stands now.

    Returns:
        Their numbers.
    """
    left = [index for index in wave.executes if board.may_execute(index)]
    return left + [index for index in wave.reverts if board.may_revert(index)]


def noted(meta: Mapping[str, Any], wave: Wave, plan: Plan) -> dict[str, Any]:
    """Put a wave into a flow's notes, by name, as atoms are matched by name when the flow is taken up.

    Args:
        meta: the notes so far.
        wave: what was chosen.
        plan: gives the names.

    Returns:
        The new notes.
    """
    notes = {name: value for name, value in meta.items() if name != META_WAVE}
    if wave != NONE:
        names = plan.names
        notes[META_WAVE] = {kind: [names[index] for index in part] for kind, part in wave._asdict().items()}
    return notes


def read(meta: Mapping[str, Any], plan: Plan) -> Wave:
    """Find the wave in a flow's notes.

    Args:
        meta: the notes.
        plan: gives the numbers; an atom that it does not have is left out.

    Returns:
        The wave.
    """
    if META_WAVE not in meta:
        return NONE
    kinds = {
        kind: tuple(plan.index[name] for name in names if name in plan.index)
        for kind, names in meta[META_WAVE].items()
    }
    return Wave(**kinds)


class Scheduler:
    """Decides one run of a plan.

    Args:
        plan: what runs.
        states: each atom's state at the beginning, as words of ``states``; all PENDING if left out.
        intentions: each atom's intention at the beginning; all EXECUTE if left out.
        slots: how many calls may be under way at once; None for no limit.
        in_waves: choose anew only when all that was chosen before has come back, as a serial engine does.
        wave: what an earlier run chose last, as far as it told.
        defer_reverts: an inner retry that gives up has everything undone, not only its own flow.
        never_resolve: a failure stops the flow; nothing is undone and no retry is asked.
    """

    __slots__ = (
        "_asking", "_broken", "_chosen", "_defer", "_failed", "_finished", "_in_waves", "_out", "_parked",
        "_picked", "_plan", "_ready", "_slots", "_stuck", "_suspended", "_voting",
        "_wave", "board", "resolves", "running",
    )  # fmt: skip

    def __init__(
        self,
        plan: Plan,
        states: Sequence[str] | None = None,
        intentions: Sequence[str] | None = None,
        *,
        slots: int | None = None,
        in_waves: bool = False,
        wave: c.Wave = NONE,
        defer_reverts: bool = False,
        never_resolve: bool = False,
    ) -> None:
        count = len(plan)
        self._plan = plan
        self._slots = slots
        self._in_waves = in_waves
        self._wave = wave
        self._defer = defer_reverts
        self.resolves = not never_resolve
        self.board = AtomTable(
            plan,
            [m.STATE_OF[word] for word in states] if states else bytes(count),
            [m.INTENTION_OF[word] for word in intentions] if intentions else bytes(count),
        )
        self.running = 0
        self._ready: deque[int] = deque()
        self._picked: list[int] = []
        self._chosen = bytearray(count)
        self._voting: set[int] = set()
        self._failed: deque[int] = deque()
        self._asking: tuple[int, int, int] | None = None
        self._suspended = self._broken = self._parked = self._stuck = self._finished = False
        self._out: list[c.Command] = []

    @property
    def awaiting(self) -> int:
        """How many atoms are chosen and not begun."""
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """Whether the next decision begins nothing, if nothing else happens before it."""
        if self._held or self._failed or self._ready:
            return self._held
        return self._stuck or self._parked or not self.board.any_free()

    def start(self) -> list[c.Command]:
        """Take up the flow where its states say it was left.

        Returns:
            The first commands.
        """
        self._out = []
        state, want = self.board.state, self.board.want
        for index, mark in enumerate(state):
            if mark in (m.RUNNING, m.REVERTING, m.RETRYING):
                self._pick(index)
            elif mark == m.FAILED and want[index] == m.EXECUTE and self.resolves:
                self._failed.append(index)
        if self._in_waves:  # what is left of the last wave is to come back before anything else is chosen
            for index in left_of(self._wave, self.board):
                self._pick(index)
            self._line_up()
        else:
            self._tell_wave(NONE)
        self.board.freed = list(range(len(self._plan)))
        self._go_on()
        return self._out

    def handle(self, events: Iterable[c.Event]) -> list[c.Command]:
        """Hear what happened and say what is to be done.

        Args:
            events: what happened, in order.

        Returns:
            The commands, in the order in which they are to be carried out. Moves are to be durable
            before the calls that follow them begin.
        """
        return self.hear(events) + self.decide()

    def hear(self, events: Iterable[c.Event]) -> list[c.Command]:
        """Hear what happened, without saying yet what is to be done next.

        Args:
            events: what happened, in order.

        Returns:
            The moves that follow from it.
        """
        self._out = []
        for event in events:
            self._hear(event)
        return self._out

    def decide(self) -> list[c.Command]:
        """Say what is to be done next.

        Returns:
            The commands, as for ``handle``.
        """
        self._out = []
        self._go_on()
        return self._out

    def _hear(self, event: c.Event) -> None:
        if type(event) is c.Executed:  # nearly always, and a match costs more
            self._executed(*event)
            return
        match event:
            case c.Reverted(index, ok):
                self._reverted(index, ok)
            case c.Consulted():
                self._consulted(event)
            case c.Voted():
                self._voted(event)
            case c.Dropped(index):
                self.running -= 1
                self._ready.append(index)
            case c.Broke():
                self._broken = True
                self._asking = None
                self._voting.clear()
            case c.Suspended():
                self._suspended = True

    def _executed(self, index: int, ok: bool) -> None:
        self.running -= 1
        if ok:
            self._move(index, m.SUCCEEDED, self.board.want[index])
            if self.board.want[index] >= m.REVERT:
                self.board.freed.append(index)
            return
        self._move(index, m.FAILED, self.board.want[index])
        self._mark_chosen()
        if not self.resolves:
            self._stuck = True
        else:
            self._failed.append(index)

    def _reverted(self, index: int, ok: bool) -> None:
        self.running -= 1
        self._move(index, m.REVERTED if ok else m.REVERT_FAILED, self.board.want[index])
        self._parked = self._parked or not ok

    def _consulted(self, event: c.Consulted) -> None:
        assert self._asking is not None  # noqa: S101  an answer to no question is a bug of the shell
        failed, _, first = self._asking
        self._asking = None
        if event.decision == Decision.RETRY:
            if self.board.want[event.retry] != m.REVERT:
                self._intend(event.retry, m.RETRY)
            self._undo(atom_table.touched_after(self._plan, self.board, event.retry))
        elif event.decision == Decision.REVERT_ALL:
            self._undo(atom_table.touched(self.board))
        else:
            self._ask(failed, event.retry, event.retry if first < 0 else first)

    def _voted(self, event: c.Voted) -> None:
        self._voting.discard(event.atom)
        if event.depth is None:
            self._pick(event.atom)
            return
        for index in atom_table.silenced(self._plan, event.atom, event.depth):
            if self.board.state[index] != m.IGNORED:
                self._move(index, m.IGNORED, m.IGNORE)

    # --------------------------------------------------------------- deciding

    def _go_on(self) -> None:
        while self._failed and self._asking is None and not self._broken:
            failed = self._failed.popleft()
            self._ask(failed, failed, -1)
        if self._asking is not None or self._voting:
            return
        if not (self._suspended or self._broken or self._parked or self._stuck):
            self._choose()
            if self._voting:
                return
        self._begin()
        if self.running == 0 and not self._finished and (not self._ready or self._held):
            self._finished = True
            if not self._ready:
                self._tell_wave(NONE)
            self._out.append(c.Finish(self._rest()))

    @property
    def _held(self) -> bool:
        """Whether even what is chosen is not to begin."""
        return self._suspended or self._broken

    def _choose(self) -> None:
        """Choose what is to run next, unless what was chosen before is still to come back."""
        if self._in_waves and (self.running or self._ready):
            return
        board = self.board
        while board.freed and not self._voting:  # a "no" may set others free
            freed, board.freed = board.freed, []
            for index in freed:
                if not self._chosen[index]:
                    self._weigh(index)
        if self._voting:
            return
        if self._in_waves:
            self._tell_wave(wave_of(self._picked, self.board))
        self._line_up()

    def _line_up(self) -> None:
        """Have what is picked wait for its turn."""
        if len(self._picked) > 1:
            self._picked.sort(key=self._rank)
        self._ready.extend(self._picked)
        self._picked.clear()

    def _tell_wave(self, wave: c.Wave) -> None:
        if wave != self._wave:
            self._wave = wave
            self._out.append(wave)

    def _weigh(self, index: int) -> None:
        """Choose an atom if it is free, or have its deciders asked."""
        if self.board.may_execute(index):
            if index not in self._plan.deciders:
                self._pick(index)
            elif index not in self._voting:
                self._voting.add(index)
                self._out.append(c.Vote(index))
        elif self.board.may_revert(index):
            self._pick(index)

    def _pick(self, index: int) -> None:
        self._chosen[index] = 1
        self._picked.append(index)

    def _rank(self, index: int) -> tuple[int, int]:
        """Higher priority first; then in the order of the flow, backwards when undoing."""
        back = self.board.want[index] >= m.REVERT and self.board.state[index] != m.RUNNING
        return -self._plan.atoms[index].priority, -index if back else index

    def _begin(self) -> None:
        """Begin what is chosen, as far as there are slots."""
        while self._ready and not self._held and self.running != self._slots:
            index = self._ready.popleft()
            self._mark(index)
            self._chosen[index] = 0
            self.running += 1
            reverting = self.board.state[index] == m.REVERTING
            self._out.append(c.Revert(index) if reverting else c.Execute(index))

    def _mark_chosen(self) -> None:
        """Mark what is chosen as begun: a failure is not to make a resumed run differ from this one."""
        for index in (*self._ready, *self._picked):
            self._mark(index)

    def _mark(self, index: int) -> None:
        board = self.board
        state, want = board.state[index], board.want[index]
        if state == m.PENDING:
            self._move(index, m.RUNNING, want)
        elif state == m.RETRYING or (want == m.RETRY and state != m.RUNNING):
            if state != m.RETRYING:
                self._move(index, m.RETRYING, m.EXECUTE)
            for later in atom_table.undone_after(self._plan, board, index, wholly=state == m.RETRYING):
                self._move(later, m.PENDING, m.EXECUTE)
            self._move(index, m.RUNNING, m.EXECUTE)
        elif state not in (m.RUNNING, m.REVERTING):
            self._move(index, m.REVERTING, want)

    def _ask(self, failed: int, asker: int, first: int) -> None:
        retry = self._plan.retry_of[asker]
        if retry >= 0:
            self._asking = (failed, asker, first)
            self._out.append(c.Consult(retry, failed, asker))
        elif first < 0 or self._defer:
            self._undo(atom_table.touched(self.board))
        else:
            self._intend(first, m.REVERT)
            self._undo(atom_table.touched_after(self._plan, self.board, first))

    def _undo(self, indexes: Iterable[int]) -> None:
        for index in indexes:
            self._intend(index, m.REVERT)

    def _rest(self) -> str:
        """Say in which state the flow comes to rest."""
        if self._broken or self._stuck:
            return st.FAILURE
        if self._parked:
            return st.REVERT_FAILURE
        board = self.board
        if self._suspended and (self._ready or self._picked or board.any_free()):
            return st.SUSPENDED
        return st.SUCCESS if board.all_well() else st.REVERTED

    # ----------------------------------------------------------------- saying

    def _move(self, index: int, state: int, intention: int) -> None:
        moved = self.board.state[index] != state
        self.board.put(index, state, intention)
        self._out.append(c.Move(index, m.STATES[state], m.INTENTIONS[intention], moved))

    def _intend(self, index: int, intention: int) -> None:
        if self.board.want[index] != intention:
            self._move(index, self.board.state[index], intention)
        self.board.freed.append(index)
