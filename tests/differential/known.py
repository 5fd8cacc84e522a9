"""Where we differ from TaskFlow on purpose: one list, each with its reason.

A random flow on which we end as TaskFlow can end, in one of the orders open to it, needs no entry here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from stackl_flow.testing.flows import Case, Outcome


@dataclass(frozen=True, slots=True)
class Known:
    """A difference on purpose: its name, why, and whether two outcomes differ in this and nothing else."""

    name: str
    why: str
    explains: Callable[[Case, Outcome, Outcome], bool]


def translated(theirs: Outcome) -> Outcome:
    """Say TaskFlow's outcome in our words: a flow whose revert failed is in REVERT_FAILURE, not FAILURE.

    TaskFlow's FAILURE mixes two things: an engine that was told never to resolve (or broke), and a flow
    stuck in its rollback. The second needs an operator, so with us it has a name of its own (DESIGN 4.6).
    """
    if "REVERT_FAILURE" not in theirs.atom_states.values() or "FAILURE" not in theirs.flow_states:
        return theirs
    states = tuple("REVERT_FAILURE" if state == "FAILURE" else state for state in theirs.flow_states)
    return replace(theirs, flow_states=states)


KNOWN: tuple[Known, ...] = ()
