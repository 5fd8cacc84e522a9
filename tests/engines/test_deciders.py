"""Deciders at work: whose word counts, and how far a "no" reaches."""

import pytest

from stackl_flow import Depth, GraphFlow, LinearFlow, engines, retry, states
from stackl_flow.persistence import backends, factory
from tests.engines.tasks import Step, ends, states_of, steps


def no(history):
    return False


def yes(history):
    return True


def chain(log, depth, decider=no):
    """Make a -> b (decided) -> c -> a flow with d in it."""
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
def test_how_far_a_no_reaches(load, log, depth, ignored):
    engine = load(chain(log, depth))
    engine.run()
    assert engine.storage.get_flow_state() == states.SUCCESS
    assert log == [name for name in "abcd" if name not in ignored]
    found = states_of(engine)
    assert "".join(name for name in "abcd" if found[name] == states.IGNORE) == ignored


def test_neighbors_are_those_right_behind_and_no_further(load, log):
    a, b, c, d = steps("abcd", log)
    flow = (
        GraphFlow("f").add(a, b, c, d).link(a, b, decider=no, decider_depth="NEIGHBORS").link(b, c).link(c, d)
    )
    load(flow).run()
    assert log == ["a", "d"]


def test_flow_reaches_all_behind_it_in_the_same_flow(load, log):
    a, b, c, d, e = steps("abcde", log)
    inner = GraphFlow("in").add(a, b, c, d).link(a, b, decider=no, decider_depth="FLOW").link(b, c).link(c, d)
    load(LinearFlow("out").add(inner, e)).run()
    assert log == ["a", "e"]


def test_a_yes_lets_everything_run(load, log):
    load(chain(log, None, yes)).run()
    assert log == ["a", "b", "c", "d"]


@pytest.mark.parametrize("answer", [0, "", None, []])
def test_what_is_not_true_is_a_no(load, log, answer):
    load(chain(log, None, lambda history: answer)).run()
    assert log == ["a"]


def test_the_history_holds_the_results_of_the_decided_links_only(load, log):
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
def test_of_several_noes_the_widest_counts(load, log, depths, ignored):
    a, b, c, d, e = steps("abcde", log)
    sub = LinearFlow("sub").add(e)
    flow = GraphFlow("f").add(a, b, c, d, sub).link(c, d).link(d, sub)
    for source, depth in zip((a, b), depths, strict=True):
        flow.link(source, c, decider=no, decider_depth=depth)
    engine = load(flow)
    engine.run()
    found = states_of(engine)
    assert "".join(name for name in "abcde" if found[name] == states.IGNORE) == ignored


def test_one_no_is_enough(load, log):
    a, b, c = steps("abc", log)
    flow = GraphFlow("f").add(a, b, c).link(a, c, decider=yes).link(b, c, decider=no)
    load(flow).run()
    assert sorted(log) == ["a", "b"]


def test_an_ignored_source_neither_votes_nor_appears(load, log):
    asked = []

    def never(history):
        asked.append("never")
        return False

    def look(history):
        asked.append(history)
        return True

    a, b, c, d = steps("abcd", log)
    flow = GraphFlow("f").add(a, b, c, d)
    flow.link(a, b, decider=no, decider_depth="ATOM").link(b, d, decider=never).link(c, d, decider=look)
    load(flow).run()
    assert asked == [{"c": "C"}]
    assert sorted(log) == ["a", "c", "d"]


def test_with_only_ignored_sources_the_atom_runs(load, log):
    a, b, c = steps("abc", log)
    flow = GraphFlow("f").add(a, b, c).link(a, b, decider=no, decider_depth="ATOM").link(b, c, decider=no)
    load(flow).run()
    assert log == ["a", "c"]


def test_a_decider_before_a_flow_holds_all_of_it(load, log):
    a, b, c, d = steps("abcd", log)
    inner = LinearFlow("in").add(b, c)
    load(GraphFlow("f").add(a, inner, d).link(a, inner, decider=no).link(inner, d)).run()
    assert log == ["a"]


def test_ignored_atoms_are_not_reverted(load, log):
    a, b, c = Step("a", log), Step("b", log), Step("c", log, fails=1)
    flow = GraphFlow("f").add(a, b, c).link(a, b, decider=no, decider_depth="ATOM").link(b, c)
    engine = load(flow)
    assert ends(engine, ValueError) == states.REVERTED
    assert log == ["a", "c", "-c", "-a"]


def test_each_attempt_decides_anew(load, log):
    answers = [False, True]
    a, b, c = Step("a", log), Step("b", log), Step("c", log, fails=1)
    flow = GraphFlow("f", retry=retry.Times(2, "r")).add(a, b, c)
    flow.link(a, b, decider=lambda history: answers.pop(0), decider_depth="ATOM").link(b, c)
    load(flow).run()
    assert log == ["a", "c", "-c", "-a", "a", "b", "c"]


def test_a_decider_is_asked_again_when_a_reverted_flow_runs_again(load, log):
    answers = [False, True]
    a, b, c = Step("a", log), Step("b", log), Step("c", log, fails=1)
    flow = GraphFlow("f").add(a, b, c)
    flow.link(a, b, decider=lambda history: answers.pop(0), decider_depth="ATOM").link(b, c)
    engine = load(flow)
    assert ends(engine, ValueError) == states.REVERTED
    log.clear()
    engine.run()
    assert log == ["a", "b", "c"]


def test_a_decider_that_raises_stops_the_flow_which_asks_again_when_run_again(load, log):
    answers = [LookupError("cannot tell"), True]

    def unsure(history):
        answer = answers.pop(0)
        if answer is True:
            return True
        raise answer

    engine = load(chain(log, None, unsure))
    assert ends(engine, LookupError) == states.FAILURE
    assert log == ["a"]
    assert ends(engine) == states.SUCCESS
    assert log == ["a", "b", "c", "d"]


def test_what_was_ignored_stays_ignored_on_resumption(tmp_path, log):
    place = f"sqlite:///{tmp_path / 'flows.db'}"
    with backends.backend(place) as backend:
        flow = chain(log, "ATOM")
        detail = factory.create_flow_detail(flow, backend=backend)
        engine = engines.load(flow, flow_detail=detail, backend=backend)
        engine.atom_notifier.register("IGNORE", lambda state, details: engine.suspend())
        engine.run()
        assert engine.storage.get_flow_state() == states.SUSPENDED
        again = engines.load(chain(log, "ATOM", yes), flow_detail=detail, backend=backend)
        again.run()
    assert log == ["a", "c", "d"]
