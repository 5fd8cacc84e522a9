"""The state machines of flows, atoms, jobs and engines: built, checked and drawn from the tables.

The tables in ``states`` are what the engine obeys. Made into automaton machines they can also be
checked for slips that no single test would find, walked step by step, and drawn, so that the
pictures in the documents cannot drift from what runs. ``python -m stackl_flow.state_machines`` writes
the page ``docs/states.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from automaton.machines import FiniteMachine

from stackl_flow import exceptions as exc
from stackl_flow import states

Transition = tuple[str, str, str]


@dataclass(frozen=True)
class Table:
    """A named set of allowed transitions: what a machine is built from.

    Args:
        name: what transitions: "flow", "task" and so on.
        about: one sentence for the page.
        transitions: (from, event, to), in the order in which they are shown.
        start: the state in which a new one stands.
        terminal: the states that nothing leaves.
    """

    name: str
    about: str
    transitions: tuple[Transition, ...]
    start: str
    terminal: frozenset[str] = frozenset()

    @property
    def states(self) -> tuple[str, ...]:
        """All states, the start first, the others in the order in which transitions name them."""
        words = [self.start]
        for old, _, new in self.transitions:
            words += [old, new]
        return tuple(dict.fromkeys(words))


def _named(transitions: states.Transitions) -> tuple[Transition, ...]:
    """Name each transition's event after the state it leads to."""
    return tuple((old, new.lower(), new) for old, new in transitions)


FLOW = Table(
    "flow",
    "A flow that is at rest in SUCCESS, FAILURE, REVERTED or REVERT_FAILURE can be run again. In"
    " REVERT_FAILURE at least one revert failed: running the flow again takes the rollback up there.",
    _named(states.FLOW_TRANSITIONS),
    states.FLOW_START,
    states.FLOW_TERMINAL,
)
TASK = Table(
    "task",
    "A task that a decider left out stands in IGNORE; a retry above it may bring it back to PENDING.",
    _named(states.TASK_TRANSITIONS),
    states.TASK_START,
    states.TASK_TERMINAL,
)
RETRY = Table(
    "retry",
    "A retry transitions like a task and, besides, from SUCCESS over RETRYING into its next attempt.",
    _named(states.RETRY_TRANSITIONS),
    states.RETRY_START,
    states.RETRY_TERMINAL,
)
ENGINE = Table(
    "engine",
    "One run of an engine. `run_iter` yields these states as they are entered.",
    states.ENGINE_TRANSITIONS,
    states.ENGINE_START,
    states.ENGINE_TERMINAL,
)
JOB = Table(
    "job",
    "A job on a board. One whose owner gave it up, or died, is UNCLAIMED again.",
    _named(states.JOB_TRANSITIONS),
    states.JOB_START,
    states.JOB_TERMINAL,
)
TABLES = (FLOW, TASK, RETRY, ENGINE, JOB)


def find_faults(table: Table) -> list[str]:
    """Find what is wrong with a table.

    Args:
        table: the transitions to look at.

    Returns:
        One line for each fault: a transition that stands twice, an event that leads to two states, a
        state that cannot be reached, an end that can be left, a state without a way on.
    """
    found = []
    ways: dict[str, dict[str, str]] = {state: {} for state in table.states}
    for old, event, new in table.transitions:
        if event in ways[old]:
            found.append(f"{old} has two transitions for '{event}'")
        ways[old][event] = new
    reached, waiting = {table.start}, [table.start]
    while waiting:
        for state in ways[waiting.pop()].values():
            if state not in reached:
                reached.add(state)
                waiting.append(state)
    found += [f"{state} cannot be reached" for state in table.states if state not in reached]
    found += [
        f"{state} is terminal but can be left"
        for state in table.states
        if state in table.terminal and ways[state]
    ]
    found += [
        f"{state} has no way on" for state in table.states if not (state in table.terminal or ways[state])
    ]
    found += [
        f"{state} is terminal but in no transition" for state in sorted(table.terminal - set(table.states))
    ]
    return found


def build(table: Table) -> FiniteMachine:
    """Build the machine of a table.

    Args:
        table: the transitions it allows.

    Returns:
        A frozen machine; `copy()` it to walk it.

    Raises:
        InvalidFormat: the table has find_faults; all of them are named.
    """
    wrong = find_faults(table)
    if wrong:
        raise exc.InvalidFormat(f"Correct the transitions of '{table.name}' in states.py: {'; '.join(wrong)}")
    machine = FiniteMachine()
    for state in table.states:
        machine.add_state(state, terminal=state in table.terminal)
    for old, event, new in table.transitions:
        machine.add_transition(old, new, event)
    machine.default_start_state = table.start
    machine.freeze()
    return machine


def as_text(table: Table) -> str:
    """Draw the transitions as a Markdown table, one line a state.

    Args:
        table: the transitions to draw.

    Returns:
        The lines, without a final line break.
    """
    machine = build(table)
    onward: dict[str, list[str]] = {}
    for old, event, new in machine:
        onward.setdefault(old, []).append(new if event == new.lower() else f"{new} ({event})")
    lines = ["| from | to |", "|---|---|"]
    lines += [f"| {state} | {', '.join(onward.get(state, ['(the end)']))} |" for state in table.states]
    return "\n".join(lines)


def as_mermaid(table: Table) -> str:
    """Draw the transitions as a Mermaid state diagram.

    Args:
        table: the transitions to draw.

    Returns:
        The diagram's source, without a final line break.
    """
    lines = ["stateDiagram-v2", f"    [*] --> {table.start}"]
    for old, event, new in table.transitions:
        lines.append(f"    {old} --> {new}" + ("" if event == new.lower() else f": {event}"))
    lines += [f"    {state} --> [*]" for state in table.states if state in table.terminal]
    return "\n".join(lines)


def as_dot(table: Table) -> str:
    """Draw the transitions as a Graphviz digraph.

    Args:
        table: the transitions to draw.

    Returns:
        The graph's source, without a final line break.
    """
    lines = [f'digraph "{table.name}" {{', "    node [shape=box, style=rounded];"]
    lines.append(f'    "{table.start}" [style="rounded,bold"];')
    lines += [f'    "{state}" [peripheries=2];' for state in table.states if state in table.terminal]
    for old, event, new in table.transitions:
        lines.append(f'    "{old}" -> "{new}"' + (";" if event == new.lower() else f' [label="{event}"];'))
    return "\n".join([*lines, "}"])


def render_page() -> Iterator[str]:
    """Write the page ``docs/states.md``, block by block."""
    yield "# States\n"
    yield (
        "Generated from the tables in `stackl_flow/states.py` by `python -m stackl_flow.state_machines`.\n"
        "Every transition is checked against these tables and stored before the work that depends on it"
        " starts.\n"
    )
    for table in TABLES:
        yield f"## {table.name.capitalize()}\n"
        yield f"{table.about}\n"
        yield f"{as_text(table)}\n"
        yield f"```mermaid\n{as_mermaid(table)}\n```\n"


if __name__ == "__main__":
    sys.stdout.write("\n".join(render_page()))
