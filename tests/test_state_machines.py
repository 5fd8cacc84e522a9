"""The transition tables are sound, the machines follow them, and docs/states.md matches them."""

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
from automaton import exceptions as automaton_errors

from stackl_flow import exceptions as exc
from stackl_flow import state_machines, states

PAGE = Path(__file__).parent.parent / "docs" / "states.md"

each_table = pytest.mark.parametrize("table", state_machines.TABLES, ids=lambda table: table.name)


@each_table
def test_a_table_has_no_faults(table):
    assert state_machines.find_faults(table) == []


@each_table
def test_a_machine_makes_every_move_of_its_table_and_no_other(table):
    allowed = {(old, event): new for old, event, new in table.transitions}
    events = {event for _, event, _ in table.transitions}
    frozen = state_machines.build(table)
    for state in table.states:
        if state in table.terminal:
            continue
        for event in events:
            machine = frozen.copy()
            machine.initialize(state)
            if (state, event) in allowed:
                machine.process_event(event)
                assert machine.current_state == allowed[state, event]
            else:
                with pytest.raises(automaton_errors.NotFound):
                    machine.process_event(event)


@pytest.mark.parametrize(
    ("table", "allows"),
    [
        (state_machines.FLOW, states.check_flow_transition),
        (state_machines.TASK, states.check_task_transition),
        (state_machines.RETRY, states.check_retry_transition),
        (state_machines.JOB, states.check_job_transition),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_gate_allows_just_the_moves_of_the_table(table, allows):
    transitions = {(old, new) for old, _, new in table.transitions}
    for old in table.states:
        for new in set(table.states) - {old}:
            allowed = False
            with contextlib.suppress(exc.InvalidState):
                allowed = allows(old, new)
            assert allowed == ((old, new) in transitions)


def test_a_refused_move_names_both_states():
    with pytest.raises(exc.InvalidState, match=r"SUSPENDED.*SUCCESS"):
        states.check_flow_transition(states.SUSPENDED, states.SUCCESS)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"start": "NOWHERE"}, "UNCLAIMED cannot be reached"),
        ({"terminal": frozenset({"CLAIMED", "COMPLETE"})}, "CLAIMED is terminal but can be left"),
        ({"terminal": frozenset()}, "COMPLETE has no way on"),
        ({"terminal": frozenset({"COMPLETE", "GONE"})}, "GONE is terminal but in no move"),
        (
            {"transitions": (*state_machines.JOB.transitions, state_machines.JOB.transitions[0])},
            "UNCLAIMED has two transitions for 'claimed'",
        ),
    ],
)
def test_a_faulty_table_is_refused_with_the_fault_named(change, fault):
    with pytest.raises(exc.InvalidFormat, match=fault):
        state_machines.build(replace(state_machines.JOB, **change))


def test_a_table_is_drawn_three_ways():
    assert "| CLAIMED | UNCLAIMED, COMPLETE |" in state_machines.as_text(state_machines.JOB)
    assert "| ANALYZING | SCHEDULING (schedule_next), WAITING (wait_finished)" in state_machines.as_text(
        state_machines.ENGINE
    )
    assert "UNCLAIMED --> CLAIMED" in state_machines.as_mermaid(state_machines.JOB)
    assert "COMPLETE --> [*]" in state_machines.as_mermaid(state_machines.JOB)
    assert '"RESUMING" -> "SCHEDULING" [label="schedule_next"];' in state_machines.as_dot(
        state_machines.ENGINE
    )


def test_the_page_of_states_is_in_step_with_the_tables():
    assert PAGE.read_text(encoding="utf-8") == "\n".join(state_machines.render_page()), (
        "run: python -m stackl_flow.state_machines > docs/states.md"
    )
