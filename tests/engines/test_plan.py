"""Plans: the compiled form of a flow."""

import dataclasses

import pytest

from stackl_flow import GraphFlow, LinearFlow, UnorderedFlow, retry
from stackl_flow import exceptions as exc
from stackl_flow.engines.plan import FLOW, FLOW_END, RETRY, TASK, compile_flow
from tests.engines.tasks import Step, steps


def names_after(plan, name):
    """Return the names of all atoms after one."""
    return {plan.names[number] for number in plan.dependents_of(plan.index[name])}


def test_atoms_are_numbered_in_serial_running_order():
    a, b, c, d = steps("abcd", [])
    inner = GraphFlow("in").add(d, c).link(c, d)
    plan = compile_flow(LinearFlow("out", retry=retry.Times(1, "r")).add(a, inner, b))
    assert plan.names == ("r", "a", "c", "d", "b")
    assert [plan.index[name] for name in plan.names] == [0, 1, 2, 3, 4]
    assert plan.atoms[1] is a
    assert len(plan) == 5
    assert plan.name == "out"


def test_kinds_of_nodes():
    plan = compile_flow(LinearFlow("f", retry=retry.Times(1, "r")).add(*steps("a", [])))
    assert plan.kinds == (RETRY, TASK, FLOW, FLOW_END)


def test_edges_of_a_linear_flow():
    plan = compile_flow(LinearFlow("f").add(*steps("abc", [])))
    begin, end = 3, 4
    assert plan.successors == ((1,), (2,), (end,), (0,), ())
    assert plan.predecessors == ((begin,), (0,), (1,), (), (2,))


def test_unordered_items_are_between_begin_and_end():
    plan = compile_flow(UnorderedFlow("f").add(*steps("abc", [])))
    begin, end = 3, 4
    assert plan.successors[begin] == (0, 1, 2)
    assert plan.predecessors[end] == (0, 1, 2)


def test_edges_between_wide_flows_are_a_sum_not_a_product():
    first = UnorderedFlow("one").add(*(Step(f"a{n}", []) for n in range(100)))
    second = UnorderedFlow("two").add(*(Step(f"b{n}", []) for n in range(100)))
    plan = compile_flow(LinearFlow("f").add(first, second))
    assert sum(map(len, plan.successors)) < 450
    assert names_after(plan, "a0") == {f"b{n}" for n in range(100)}


def test_retry_precedes_the_items_of_its_flow():
    inner = LinearFlow("in", retry=retry.Times(1, "ri")).add(*steps("b", []))
    plan = compile_flow(LinearFlow("out", retry=retry.Times(1, "ro")).add(*steps("a", []), inner))
    answer = {name: plan.retry_of[plan.index[name]] for name in plan.names}
    retries = {name: plan.names[number] if number >= 0 else None for name, number in answer.items()}
    assert retries == {"ro": None, "a": "ro", "ri": "ro", "b": "ri"}
    assert names_after(plan, "ri") == {"b"}


def test_empty_flow_connects_its_neighbours():
    plan = compile_flow(LinearFlow("f").add(*steps("a", []), UnorderedFlow("hole"), *steps("b", [])))
    assert names_after(plan, "a") == {"b"}


def test_plan_of_a_lone_task():
    plan = compile_flow(Step("a", []))
    assert (plan.names, plan.kinds, plan.scopes) == (("a",), (TASK,), ())


def test_plan_is_frozen():
    plan = compile_flow(Step("a", []))
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.name = "b"


def test_decider_before_a_flow_applies_to_its_first_atoms():
    a, b, c, d = steps("abcd", [])
    inner = UnorderedFlow("in").add(b, LinearFlow("deep").add(c, d))
    plan = compile_flow(GraphFlow("f").add(a, inner).link(a, inner, decider=lambda history: True))
    assert {plan.names[number] for number in plan.deciders} == {"b", "c"}


def test_export_as_graph():
    a, b, c = steps("abc", [])
    flow = GraphFlow("f").add(a, b, LinearFlow("in", retry=retry.Times(1, "r")).add(c))
    graph = compile_flow(flow.link(a, b, decider=lambda history: True, decider_depth="FLOW")).graph()
    assert {node: data["kind"] for node, data in graph.nodes(data=True)} == {
        "a": "task", "b": "task", "c": "task", "r": "retry",
        "f[0": "flow", "f]0": "flow_end", "in[1": "flow", "in]1": "flow_end",
    }  # fmt: skip
    assert graph.nodes["c"]["parent"] == "in[1"
    assert graph.nodes["in[1"]["parent"] == "f[0"
    assert graph.nodes["f[0"]["parent"] is None
    assert graph.nodes["f]0"]["label"] == "f"
    assert {node: data["partner"] for node, data in graph.nodes(data=True) if data["partner"]} == {
        "f[0": "f]0", "f]0": "f[0", "in[1": "in]1", "in]1": "in[1",
    }  # fmt: skip
    assert graph.edges["a", "b"]["decider"] == "FLOW"
    assert graph.has_edge("in[1", "r")
    assert graph.has_edge("r", "c")


def test_atom_with_the_name_of_a_flow_node_has_its_own_node():
    graph = compile_flow(LinearFlow("f").add(Step("f[0", []), Step("f]0", []))).graph()
    assert {data["label"]: data["kind"] for _, data in graph.nodes(data=True)} == {
        "f[0": "task", "f]0": "task", "f": "flow_end",
    }  # fmt: skip
    begin = graph.nodes["f[0"]["parent"]
    assert (graph.nodes[begin]["kind"], graph.nodes[graph.nodes[begin]["partner"]]["kind"]) == (
        "flow", "flow_end",
    )  # fmt: skip
    assert len(graph) == 4


def test_two_flows_with_the_same_name():
    twins = [LinearFlow("twin").add(Step(name, [])) for name in "ab"]
    assert compile_flow(LinearFlow("f").add(*twins)).names == ("a", "b")


def test_task_in_two_positions_is_rejected():
    task = Step("a", [])
    with pytest.raises(exc.Duplicate, match="Step 'a' is in the flow more than once"):
        compile_flow(LinearFlow("f").add(task, LinearFlow("in").add(task)))


def test_flow_in_two_positions_is_rejected():
    inner = LinearFlow("in").add(Step("a", []))
    with pytest.raises(exc.Duplicate, match="'in' is in the flow more than once"):
        compile_flow(LinearFlow("f").add(LinearFlow("x").add(inner), LinearFlow("y").add(inner)))


def test_retry_in_two_flows_is_rejected():
    shared = retry.Times(1, "r")
    flows = [LinearFlow(name, retry=shared).add(Step(name, [])) for name in "ab"]
    with pytest.raises(exc.Duplicate, match="Times 'r' is in the flow more than once"):
        compile_flow(LinearFlow("f").add(*flows))


def test_retry_among_the_items_is_rejected():
    with pytest.raises(exc.NotAnAtom, match="not a task or flow"):
        compile_flow(LinearFlow("f").add(retry.Times(1, "r")))
