"""Which provider an atom sees if several provide the same name."""

import pytest

from stackl_flow import GraphFlow, LinearFlow, UnorderedFlow, retry
from stackl_flow import exceptions as exc
from tests.engines.tasks import Keep, Step, final_state


def gives(name, value="x"):
    return Step(name, [], provides=value)


def seen_by(load, flow, keep, **kwargs):
    load(flow, **kwargs).run()
    return keep.executed[0]["x"]


@pytest.fixture
def keep():
    return Keep(requires=["x"])


def test_nearest_earlier_provider_in_a_linear_flow(load, keep):
    flow = LinearFlow("f").add(gives("a"), gives("b"), keep, gives("c"))
    assert seen_by(load, flow, keep) == "B"


def test_own_flow_before_outer_flows(load, keep):
    inner = LinearFlow("in").add(gives("b"), keep)
    assert seen_by(load, LinearFlow("out").add(gives("a"), inner), keep) == "B"


def test_outer_flow_if_the_own_flow_has_no_provider(load, keep):
    deep = LinearFlow("deep").add(gives("y", "other"), keep)
    flow = LinearFlow("out").add(gives("a"), LinearFlow("in").add(deep), gives("c"))
    assert seen_by(load, flow, keep) == "A"


def test_provider_inside_an_earlier_flow(load, keep):
    earlier = LinearFlow("in").add(gives("a"), gives("b"))
    assert seen_by(load, LinearFlow("out").add(gives("z"), earlier, keep), keep) == "B"


def test_siblings_in_an_unordered_flow_are_not_visible(load, keep):
    with pytest.raises(exc.MissingDependencies, match=r"keep.*\['x'\]"):
        load(UnorderedFlow("f").add(gives("a"), keep)).run()


def test_provider_before_an_unordered_flow_is_visible_inside(load, keep):
    group = UnorderedFlow("u").add(gives("b"), keep)
    assert seen_by(load, LinearFlow("f").add(gives("a"), group), keep) == "A"


def test_providers_in_an_unordered_flow_are_visible_after_it(load, keep):
    group = UnorderedFlow("u").add(gives("a"))
    assert seen_by(load, LinearFlow("f").add(group, keep), keep) == "A"


def test_only_linked_predecessors_are_visible_in_a_graph(load, keep):
    a, b = gives("a"), gives("b")
    flow = GraphFlow("f").add(a, b, keep, resolve_requires=False, resolve_existing=False).link(b, keep)
    assert seen_by(load, flow, keep) == "B"


def test_indirect_predecessors_are_visible_in_a_graph(load, keep):
    a, b = gives("a"), gives("b", "other")
    flow = GraphFlow("f").add(a, b, keep, resolve_requires=False, resolve_existing=False)
    assert seen_by(load, flow.link(a, b).link(b, keep), keep) == "A"


def test_unlinked_providers_are_not_visible_in_a_graph(load, keep):
    flow = GraphFlow("f").add(gives("a"), keep, resolve_requires=False, resolve_existing=False)
    with pytest.raises(exc.MissingDependencies, match="keep"):
        load(flow).run()


def test_linked_predecessors_are_visible_inside_a_flow_in_a_graph(load, keep):
    inner = LinearFlow("in").add(keep)
    assert seen_by(load, GraphFlow("f").add(gives("a"), inner), keep) == "A"


def test_retry_of_the_own_flow_is_visible(load):
    keep = Keep(requires=["n"])
    inner = LinearFlow("in", retry=retry.Times(1, "ri", provides="n")).add(keep)
    load(LinearFlow("out", retry=retry.ForEach([7], "ro", provides="n")).add(inner)).run()
    assert keep.executed == [{"n": 1}]


def test_provider_in_the_flow_before_its_retry(load, keep):
    flow = LinearFlow("f", retry=retry.ForEach([7], "r", provides="x")).add(gives("a"), keep)
    assert seen_by(load, flow, keep) == "A"


# ------------------------------------------------------------------ injected values


def test_injected_values_before_provided_values(load, keep):
    assert seen_by(load, LinearFlow("f").add(gives("a"), keep), keep, store={"x": "given"}) == "given"


def test_values_injected_into_the_atom_before_those_of_the_flow(load):
    keep = Keep(requires=["x"], inject={"x": "own"})
    assert seen_by(load, LinearFlow("f").add(gives("a"), keep), keep, store={"x": "given"}) == "own"


def test_transient_values_before_stored_values(load, keep):
    engine = load(LinearFlow("f").add(keep), store={"x": "stored"})
    engine.storage.inject({"x": "passing"}, transient=True)
    engine.run()
    assert keep.executed == [{"x": "passing"}]


def test_transient_values_of_an_atom_before_stored_ones(load, keep):
    engine = load(LinearFlow("f").add(keep), store={"x": "flow"})
    engine.compile()
    engine.prepare()
    engine.storage.inject_atom_args("keep", {"x": "stored"}, transient=False)
    engine.storage.inject_atom_args("keep", {"x": "passing"}, transient=True)
    engine.run()
    assert keep.executed == [{"x": "passing"}]


def test_values_injected_into_an_atom_are_not_visible_to_others(load, keep):
    other = Keep("other", requires=["x"], inject={"x": 1})
    with pytest.raises(exc.MissingDependencies, match="keep"):
        load(LinearFlow("f").add(other, keep)).run()


# ------------------------------------------------------------------ providers that were ignored


def test_ignored_provider_fails_the_atom_that_requires_it(load, keep):
    a, b = Step("a", []), gives("b")
    flow = GraphFlow("f").add(a, b, keep)
    flow.link(a, b, decider=lambda history: False, decider_depth="ATOM")
    engine = load(flow)
    with pytest.raises(exc.NotFound, match=r"'keep' requires 'x'.*'b'"):
        engine.run()


def test_next_provider_replaces_an_ignored_one(load, keep):
    a, b, z = Step("a", []), gives("b"), gives("z")
    flow = GraphFlow("f").add(z, a, b, keep, resolve_requires=False, resolve_existing=False)
    flow.link(z, a).link(a, b, decider=lambda history: False, decider_depth="ATOM").link(b, keep)
    assert seen_by(load, flow, keep) == "Z"


def test_revert_receives_the_same_values_as_execute(load):
    keep = Keep(requires=["x"])
    flow = LinearFlow("f").add(gives("a"), keep, gives("b"), Step("bad", [], fails=1))
    final_state(load(flow), ValueError)
    assert keep.reverted[0]["x"] == "A"
