"""State machines of flows, tasks, retries, engines and jobs, built from the tables in `stackl_flow.states`.

The machines check the tables for mistakes and draw them. ``python -m stackl_flow.state_machines`` prints the
page ``docs/states.md``.
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
    """A transition table.

    Attributes:
        name: "flow", "task", "retry", "engine" or "job".
        description: a sentence for the page.
        transitions: (from, event, to), in display order.
        start: the initial state.
        terminal: the states without outgoing transitions.
    """

    name: str
    description: str
    transitions: tuple[Transition, ...]
    start: str
    terminal: frozenset[str] = frozenset()

    @property
    def states(self) -> tuple[str, ...]:
        """All states: the initial one, then the others in display order."""
        names = [self.start]
        for old, _, new in self.transitions:
            names += [old, new]
        return tuple(dict.fromkeys(names))


def _with_events(transitions: states.Transitions) -> tuple[Transition, ...]:
    """Name the event of each transition after its new state."""
    return tuple((old, new.lower(), new) for old, new in transitions)


FLOW = Table(
    "flow",
    "A flow in SUCCESS, FAILURE, REVERTED or REVERT_FAILURE can be run again. In REVERT_FAILURE, at least one"
    " revert failed: running the flow again resumes the rollback.",
    _with_events(states.FLOW_TRANSITIONS),
    states.FLOW_START,
    states.FLOW_TERMINAL,
)
TASK = Table(
    "task",
    "RUNNING means that the work may have started: it is stored before the call is handed to an executor. If"
    " the flow fails or is suspended before the work starts, the call is recalled and the task is PENDING"
    " again. A task that a decider skipped is in IGNORE; a retry of its flow or of an enclosing one may reset"
    " it to PENDING.",
    _with_events(states.TASK_TRANSITIONS),
    states.TASK_START,
    states.TASK_TERMINAL,
)
RETRY = Table(
    "retry",
    "A retry has the transitions of a task and, for its next attempt, those from SUCCESS over RETRYING to"
    " RUNNING.",
    _with_events(states.RETRY_TRANSITIONS),
    states.RETRY_START,
    states.RETRY_TERMINAL,
)
ENGINE = Table(
    "engine",
    "A run of an engine. `run_iter` yields each state as it is entered.",
    states.ENGINE_TRANSITIONS,
    states.ENGINE_START,
    states.ENGINE_TERMINAL,
)
JOB = Table(
    "job",
    "A job on a board. It becomes UNCLAIMED again if its owner abandons it or dies.",
    _with_events(states.JOB_TRANSITIONS),
    states.JOB_START,
    states.JOB_TERMINAL,
)
TABLES = (FLOW, TASK, RETRY, ENGINE, JOB)


def find_faults(table: Table) -> list[str]:
    """Return the faults of a table, one line each.

    Faults are ambiguous events, unreachable states, terminal states with outgoing transitions, and other
    states without any.
    """
    found = []
    outgoing: dict[str, dict[str, str]] = {state: {} for state in table.states}
    for old, event, new in table.transitions:
        if event in outgoing[old]:
            found.append(f"{old} has two transitions for '{event}'")
        outgoing[old][event] = new
    reached, queue = {table.start}, [table.start]
    while queue:
        for state in outgoing[queue.pop()].values():
            if state not in reached:
                reached.add(state)
                queue.append(state)
    found += [f"{state} cannot be reached" for state in table.states if state not in reached]
    found += [
        f"{state} is terminal but has outgoing transitions"
        for state in table.states
        if state in table.terminal and outgoing[state]
    ]
    found += [
        f"{state} has no outgoing transitions"
        for state in table.states
        if not (state in table.terminal or outgoing[state])
    ]
    found += [
        f"{state} is terminal but in no transition" for state in sorted(table.terminal - set(table.states))
    ]
    return found


def build(table: Table) -> FiniteMachine:
    """Build the machine of a table, frozen; use ``copy()`` to step it.

    Raises:
        InvalidFormat: the table has faults; the message lists all of them.
    """
    faults = find_faults(table)
    if faults:
        raise exc.InvalidFormat(
            f"Correct the transitions of '{table.name}' in states.py: {'; '.join(faults)}"
        )
    machine = FiniteMachine()
    for state in table.states:
        machine.add_state(state, terminal=state in table.terminal)
    for old, event, new in table.transitions:
        machine.add_transition(old, new, event)
    machine.default_start_state = table.start
    machine.freeze()
    return machine


def as_text(table: Table) -> str:
    """Return the transitions as a Markdown table, one row per state."""
    machine = build(table)
    outgoing: dict[str, list[str]] = {}
    for old, event, new in machine:
        outgoing.setdefault(old, []).append(new if event == new.lower() else f"{new} ({event})")
    lines = ["| from | to |", "|---|---|"]
    lines += [f"| {state} | {', '.join(outgoing.get(state, ['(terminal)']))} |" for state in table.states]
    return "\n".join(lines)


def as_mermaid(table: Table) -> str:
    """Return the transitions as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {table.start}"]
    for old, event, new in table.transitions:
        lines.append(f"    {old} --> {new}" + ("" if event == new.lower() else f": {event}"))
    lines += [f"    {state} --> [*]" for state in table.states if state in table.terminal]
    return "\n".join(lines)


def as_dot(table: Table) -> str:
    """Return the transitions as a Graphviz digraph."""
    lines = [f'digraph "{table.name}" {{', "    node [shape=box, style=rounded];"]
    lines.append(f'    "{table.start}" [style="rounded,bold"];')
    lines += [f'    "{state}" [peripheries=2];' for state in table.states if state in table.terminal]
    for old, event, new in table.transitions:
        lines.append(f'    "{old}" -> "{new}"' + (";" if event == new.lower() else f' [label="{event}"];'))
    return "\n".join([*lines, "}"])


def render_page() -> Iterator[str]:
    """Yield the page ``docs/states.md``, block by block."""
    yield "# States\n"
    yield (
        "Generated from the tables in `stackl_flow/states.py` by `python -m stackl_flow.state_machines`.\n"
        "Every transition is checked against these tables and stored before the work that depends on it"
        " starts.\n"
    )
    for table in TABLES:
        yield f"## {table.name.capitalize()}\n"
        yield f"{table.description}\n"
        yield f"{as_text(table)}\n"
        yield f"```mermaid\n{as_mermaid(table)}\n```\n"


if __name__ == "__main__":
    sys.stdout.write("\n".join(render_page()))
