"""Events and commands of the scheduler: frozen values without behaviour.

Events go in, commands come out; both are plain enough to be recorded and replayed. An atom is given by its
number in the plan.
"""

from __future__ import annotations

from typing import NamedTuple

from stackl_flow.patterns.deciders import Depth
from stackl_flow.retry import Decision

# ------------------------------------------------------------------ core events


class Executed(NamedTuple):
    """An atom's ``execute`` returned or raised."""

    atom: int
    ok: bool


class Reverted(NamedTuple):
    """An atom's ``revert`` returned or raised."""

    atom: int
    ok: bool


class RetryEvaluated(NamedTuple):
    """A retry decided how to handle a failure."""

    retry: int
    decision: Decision


class DecidersEvaluated(NamedTuple):
    """An atom's deciders were called: the widest depth among the rejections, or None if none rejected it."""

    atom: int
    depth: Depth | None


class Recalled(NamedTuple):
    """An executor returned a call before it started; the call still has to be made."""

    atom: int


class Interrupted(NamedTuple):
    """A call was broken off; what it did is unknown, so its atom stays as it is. Nothing new may start."""

    atom: int


class Unanswered(NamedTuple):
    """The questions of the last commands were not answered; they are asked again when the flow resumes."""


class Aborted(NamedTuple):
    """The loop could not perform a command; nothing new may start."""


class Suspended(NamedTuple):
    """Suspension was requested."""


Event = (
    Executed | Reverted | RetryEvaluated | DecidersEvaluated | Recalled | Interrupted | Unanswered | Aborted
    | Suspended
)  # fmt: skip


# ------------------------------------------------------------------ commands


class Transition(NamedTuple):
    """Set an atom's state and intention; ``state_changed`` is False if only the intention changes."""

    atom: int
    state: str
    intention: str
    state_changed: bool


class Batch(NamedTuple):
    """Store which atoms were selected together, so that a resumed run finishes them first."""

    executes: tuple[int, ...]
    reverts: tuple[int, ...]


class Execute(NamedTuple):
    """Call an atom's ``execute``."""

    atom: int


class Revert(NamedTuple):
    """Call an atom's ``revert``."""

    atom: int


class Recall(NamedTuple):
    """Recall an atom's call, if it has not started; answered by ``Recalled``."""

    atom: int


class EvaluateRetry(NamedTuple):
    """Ask a retry how to handle a failure; answered by ``RetryEvaluated``.

    ``failed`` is the atom that failed. ``child`` is the atom directly below the retry that the failure is
    reported for: the failed atom itself, or an inner retry that passed the decision on.
    """

    retry: int
    failed: int
    child: int


class EvaluateDeciders(NamedTuple):
    """Call an atom's deciders; answered by ``DecidersEvaluated``."""

    atom: int


class Finish(NamedTuple):
    """Nothing is left to do: the flow ends in this state."""

    state: str


Command = Transition | Batch | Execute | Revert | Recall | EvaluateRetry | EvaluateDeciders | Finish
