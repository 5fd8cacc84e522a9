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
def test_the_tables_have_no_faults(table):
    assert state_machines.find_faults(table) == []


@each_table
def test_a_machine_allows_the_transitions_of_its_table_only(table):
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
    ("table", "check"),
    [
        (state_machines.FLOW, states.check_flow_transition),
        (state_machines.TASK, states.check_task_transition),
        (state_machines.RETRY, states.check_retry_transition),
        (state_machines.JOB, states.check_job_transition),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_checks_allow_the_transitions_of_the_table_only(table, check):
    transitions = {(old, new) for old, _, new in table.transitions}
    for old in table.states:
        for new in set(table.states) - {old}:
            allowed = False
            with contextlib.suppress(exc.InvalidState):
                allowed = check(old, new)
            assert allowed == ((old, new) in transitions)


def test_the_error_names_both_states():
    with pytest.raises(exc.InvalidState, match=r"SUSPENDED.*SUCCESS"):
        states.check_flow_transition(states.SUSPENDED, states.SUCCESS)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"start": "NOWHERE"}, "UNCLAIMED cannot be reached"),
        ({"terminal": frozenset({"CLAIMED", "COMPLETE"})}, "CLAIMED is terminal but has outgoing"),
        ({"terminal": frozenset()}, "COMPLETE has no outgoing"),
        ({"terminal": frozenset({"COMPLETE", "GONE"})}, "GONE is terminal but in no transition"),
        (
            {"transitions": (*state_machines.JOB.transitions, state_machines.JOB.transitions[0])},
            "UNCLAIMED has two transitions for 'claimed'",
        ),
    ],
)
def test_building_a_faulty_table_is_an_error(change, fault):
    with pytest.raises(exc.InvalidFormat, match=fault):
        state_machines.build(replace(state_machines.JOB, **change))


def test_markdown_mermaid_and_dot():
    assert "| CLAIMED | UNCLAIMED, COMPLETE |" in state_machines.as_text(state_machines.JOB)
    assert "| ANALYZING | SCHEDULING (schedule_next), WAITING (wait_finished)" in state_machines.as_text(
        state_machines.ENGINE
    )
    assert "UNCLAIMED --> CLAIMED" in state_machines.as_mermaid(state_machines.JOB)
    assert "COMPLETE --> [*]" in state_machines.as_mermaid(state_machines.JOB)
    assert '"RESUMING" -> "SCHEDULING" [label="schedule_next"];' in state_machines.as_dot(
        state_machines.ENGINE
    )


def test_the_states_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == "\n".join(state_machines.render_page()), (
        "run: python -m stackl_flow.state_machines > docs/states.md"
    )
