"""What the decision core hears and says: frozen values, no behaviour.

Events go in, commands come out; both are plain enough to be recorded and replayed. An ``atom`` is
its number in the plan.
"""

from __future__ import annotations

from typing import NamedTuple

from stackl_flow.patterns.deciders import Depth
from stackl_flow.retry import Decision


class Executed(NamedTuple):
    """An atom's ``execute`` came back."""

    atom: int
    ok: bool


class Reverted(NamedTuple):
    """An atom's ``revert`` came back."""

    atom: int
    ok: bool


class Consulted(NamedTuple):
    """A retry said what is to be done."""

    retry: int
    decision: Decision


class Voted(NamedTuple):
    """An atom's deciders were asked: the widest "no", or None to let it run."""

    atom: int
    depth: Depth | None


class Dropped(NamedTuple):
    """An executor never began what it was handed, so that is still to be done."""

    atom: int


class Broke(NamedTuple):
    """The shell could not carry a command out; nothing new is to start."""


class Suspended(NamedTuple):
    """Somebody asked for a pause."""


Event = Executed | Reverted | Consulted | Voted | Dropped | Broke | Suspended


class Move(NamedTuple):
    """An atom goes to a state, or only its intention changes (then ``state`` is where it is)."""

    atom: int
    state: str
    intention: str
    moved: bool


class Moved(NamedTuple):
    """What an atom's move came to, for those who want to be told."""

    number: int
    old: str
    new: str


class Wave(NamedTuple):
    """These atoms were chosen together; to be remembered, so that no others join them after a crash."""

    executes: tuple[int, ...]
    reverts: tuple[int, ...]


class Execute(NamedTuple):
    """Have an atom executed."""

    atom: int


class Revert(NamedTuple):
    """Have an atom reverted."""

    atom: int


class Consult(NamedTuple):
    """Ask a retry what is to be done about a failure; answer with ``Consulted``.

    ``failed`` is the atom that failed, ``asker`` the atom that the retry answers for: the failed
    one, or an inner retry that would not decide.
    """

    retry: int
    failed: int
    asker: int


class Vote(NamedTuple):
    """Ask an atom's deciders; answer with ``Voted``."""

    atom: int


class Finish(NamedTuple):
    """Nothing is left to be done: the flow comes to rest in this state."""

    state: str


Command = Move | Wave | Execute | Revert | Consult | Vote | Finish
