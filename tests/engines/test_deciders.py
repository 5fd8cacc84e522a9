"""Deciders: which of them are called, and the depth of a rejection."""

import pytest

from stackl_flow import Depth, GraphFlow, LinearFlow, engines, retry, states
from stackl_flow.persistence import backends, factory
from tests.engines.tasks import Step, final_state, states_of, steps


def no(history):
    return False


def yes(history):
    return True


def chain(log, depth, decider=no):
    """Create a -> b (with a decider) -> c -> a flow that contains d."""
    a, b, c, d = steps("abcd", log)
    sub = LinearFlow("sub").add(d)
    flow = GraphFlow("f").add(a, b, c, sub)
    return flow.link(a, b, decider=decider, decider_depth=depth).link(b, c).link(c, sub)


@pytest.mark.parametrize(
    ("depth", "ignored"),
    [
        (None, "bcd"),
        (Depth.ALL, "bcd"),
        (Depth.FLOW, "bc"),
        (Depth.NEIGHBORS, "bc"),
        (Depth.ATOM, "b"),
        ("ALL", "bcd"),
        ("flow", "bc"),
        ("Neighbors", "bc"),
        ("atom", "b"),
    ],
)
def test_depth_of_a_rejection(load, log, depth, ignored):
    engine = load(chain(log, depth))
    engine.run()
    assert engine.storage.get_flow_state() == states.SUCCESS
    assert log == [name for name in "abcd" if name not in ignored]
    found = states_of(engine)
    assert "".join(name for name in "abcd" if found[name] == states.IGNORE) == ignored


def test_depth_neighbors_ignores_direct_successors_only(load, log):
    a, b, c, d = steps("abcd", log)
    flow = (
        GraphFlow("f").add(a, b, c, d).link(a, b, decider=no, decider_depth="NEIGHBORS").link(b, c).link(c, d)
    )
    load(flow).run()
    assert log == ["a", "d"]


def test_depth_flow_ignores_all_later_atoms_in_the_same_flow(load, log):
    a, b, c, d, e = steps("abcde", log)
    inner = GraphFlow("in").add(a, b, c, d).link(a, b, decider=no, decider_depth="FLOW").link(b, c).link(c, d)
    load(LinearFlow("out").add(inner, e)).run()
    assert log == ["a", "e"]


def test_accepting_decider_lets_everything_run(load, log):
    load(chain(log, None, yes)).run()
    assert log == ["a", "b", "c", "d"]


@pytest.mark.parametrize("answer", [0, "", None, []])
def test_falsy_values_reject(load, log, answer):
    load(chain(log, None, lambda history: answer)).run()
    assert log == ["a"]


def test_history_contains_results_of_links_with_deciders_only(load, log):
    seen = []

    def look(history):
        seen.append(history)
        return True

    a, b, c, d = steps("abcd", log)
    flow = GraphFlow("f").add(a, b, c, d).link(a, d, decider=look).link(b, d, decider=yes).link(c, d)
    load(flow).run()
    assert seen == [{"a": "A", "b": "B"}]


@pytest.mark.parametrize(
    ("depths", "ignored"),
    [
        (("ATOM", "ALL"), "cde"),
        (("ALL", "ATOM"), "cde"),
        (("ATOM", "FLOW"), "cd"),
        (("ATOM", "NEIGHBORS"), "cd"),
        (("ATOM", "ATOM"), "c"),
    ],
)
def test_widest_of_several_rejections_applies(load, log, depths, ignored):
    a, b, c, d, e = steps("abcde", log)
    sub = LinearFlow("sub").add(e)
    flow = GraphFlow("f").add(a, b, c, d, sub).link(c, d).link(d, sub)
    for source, depth in zip((a, b), depths, strict=True):
        flow.link(source, c, decider=no, decider_depth=depth)
    engine = load(flow)
    engine.run()
    found = states_of(engine)
    assert "".join(name for name in "abcde" if found[name] == states.IGNORE) == ignored


def test_one_rejection_is_enough(load, log):
    a, b, c = steps("abc", log)
    flow = GraphFlow("f").add(a, b, c).link(a, c, decider=yes).link(b, c, decider=no)
    load(flow).run()
    assert sorted(log) == ["a", "b"]


def test_deciders_of_ignored_sources_are_skipped(load, log):
    calls = []

    def never(history):
        calls.append("never")
        return False

    def look(history):
        calls.append(history)
        return True

    a, b, c, d = steps("abcd", log)
    flow = GraphFlow("f").add(a, b, c, d)
    flow.link(a, b, decider=no, decider_depth="ATOM").link(b, d, decider=never).link(c, d, decider=look)
    load(flow).run()
    assert calls == [{"c": "C"}]
    assert sorted(log) == ["a", "c", "d"]


def test_atom_with_only_ignored_sources_runs(load, log):
    a, b, c = steps("abc", log)
    flow = GraphFlow("f").add(a, b, c).link(a, b, decider=no, decider_depth="ATOM").link(b, c, decider=no)
    load(flow).run()
    assert log == ["a", "c"]


def test_decider_before_a_flow_applies_to_all_of_it(load, log):
    a, b, c, d = steps("abcd", log)
    inner = LinearFlow("in").add(b, c)
    load(GraphFlow("f").add(a, inner, d).link(a, inner, decider=no).link(inner, d)).run()
    assert log == ["a"]


def test_ignored_atoms_are_not_reverted(load, log):
    a, b, c = Step("a", log), Step("b", log), Step("c", log, fails=1)
    flow = GraphFlow("f").add(a, b, c).link(a, b, decider=no, decider_depth="ATOM").link(b, c)
    engine = load(flow)
    assert final_state(engine, ValueError) == states.REVERTED
    assert log == ["a", "c", "-c", "-a"]


def test_deciders_are_evaluated_again_in_each_attempt(load, log):
    answers = [False, True]
    a, b, c = Step("a", log), Step("b", log), Step("c", log, fails=1)
    flow = GraphFlow("f", retry=retry.Times(2, "r")).add(a, b, c)
    flow.link(a, b, decider=lambda history: answers.pop(0), decider_depth="ATOM").link(b, c)
    load(flow).run()
    assert log == ["a", "c", "-c", "-a", "a", "b", "c"]


def test_deciders_are_evaluated_again_when_a_reverted_flow_runs_again(load, log):
    answers = [False, True]
    a, b, c = Step("a", log), Step("b", log), Step("c", log, fails=1)
    flow = GraphFlow("f").add(a, b, c)
    flow.link(a, b, decider=lambda history: answers.pop(0), decider_depth="ATOM").link(b, c)
    engine = load(flow)
    assert final_state(engine, ValueError) == states.REVERTED
    log.clear()
    engine.run()
    assert log == ["a", "b", "c"]


def test_decider_that_raises_fails_the_flow_and_is_evaluated_again_on_the_next_run(load, log):
    answers = [LookupError("cannot tell"), True]

    def unsure(history):
        answer = answers.pop(0)
        if answer is True:
            return True
        raise answer

    engine = load(chain(log, None, unsure))
    assert final_state(engine, LookupError) == states.FAILURE
    assert log == ["a"]
    assert final_state(engine) == states.SUCCESS
    assert log == ["a", "b", "c", "d"]


def test_ignored_atoms_stay_ignored_on_resume(tmp_path, log):
    url = f"sqlite:///{tmp_path / 'flows.db'}"
    with backends.backend(url) as backend:
        flow = chain(log, "ATOM")
        detail = factory.create_flow_detail(flow, backend=backend)
        engine = engines.load(flow, flow_detail=detail, backend=backend)
        engine.atom_notifier.register("IGNORE", lambda state, details: engine.suspend())
        engine.run()
        assert engine.storage.get_flow_state() == states.SUSPENDED
        again = engines.load(chain(log, "ATOM", yes), flow_detail=detail, backend=backend)
        again.run()
    assert log == ["a", "c", "d"]
