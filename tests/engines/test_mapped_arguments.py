"""Storage queries for the arguments of an atom."""

import contextlib

import pytest

from stackl_flow import GraphFlow, LinearFlow, engines
from stackl_flow import exceptions as exc
from tests.engines.tasks import Step, steps


@pytest.fixture
def engine(log):
    """Return an engine that ran two providers of one name, and one of another."""
    flow = LinearFlow("f").add(
        Step("a", log, result=1, provides="x"),
        Step("b", log, result={"y": 2, "z": 3}, provides={"y", "z"}),
        Step("c", log, result=4, provides="x", inject={"own": 5}),
    )
    made = engines.load(flow, store={"given": 6})
    made.run()
    return made


@pytest.mark.parametrize(
    ("mapping", "atom", "found"),
    [
        ({}, None, {}),
        ({}, "a", {}),
        ({"k": "y", "l": "z"}, "c", {"k": 2, "l": 3}),
        ({"k": "x"}, "c", {"k": 1}),
        ({"k": "x"}, None, {"k": 1}),
        ({"k": "given"}, "a", {"k": 6}),
        ({"k": "own", "l": "given"}, "c", {"k": 5, "l": 6}),
    ],
)
def test_mapped_arguments(engine, mapping, atom, found):
    assert engine.storage.fetch_mapped_args(mapping, atom_name=atom) == found


def test_invisible_providers_are_not_used(engine):
    with pytest.raises(exc.NotFound, match="'k' <= 'x' was not produced by any accessible provider"):
        engine.storage.fetch_mapped_args({"k": "x"}, atom_name="a")
    with pytest.raises(exc.NotFound, match="'k' <= 'own'"):
        engine.storage.fetch_mapped_args({"k": "own"}, atom_name="b")


def test_optional_arguments_may_be_missing(engine):
    fetch = engine.storage.fetch_mapped_args
    assert fetch({"k": "x", "l": "none"}, "c", optional_args=["l"]) == {"k": 1}
    assert fetch({"k": "x", "l": "y"}, "c", optional_args=["l"]) == {"k": 1, "l": 2}


def test_visible_providers_can_be_passed(engine):
    fetch = engine.storage.fetch_mapped_args
    assert fetch({"k": "x"}, "b", scope_walker=[["c"], ["a"]]) == {"k": 4}
    assert fetch({"k": "x"}, "b", scope_walker=[["unknown"], ["a", "c"]]) == {"k": 1}
    with pytest.raises(exc.NotFound):
        fetch({"k": "x"}, "c", scope_walker=[["b"]])


def test_unknown_atom_is_reported(engine):
    with pytest.raises(exc.NotFound, match="'unknown'"):
        engine.storage.fetch_mapped_args({"k": "x"}, atom_name="unknown")


def test_nothing_is_provided_before_the_run(log):
    engine = engines.load(GraphFlow("f").add(Step("a", log, provides="x"), Step("b", log, requires=["x"])))
    with pytest.raises(exc.NotFound):
        engine.storage.fetch_mapped_args({"k": "x"})
    engine.compile()
    engine.prepare()
    with pytest.raises(exc.NotFound, match="1 possible providers"):
        engine.storage.fetch_mapped_args({"k": "x"}, "b", optional_args=["k"])


def test_intention_can_be_changed(log):
    engine = engines.load(LinearFlow("f").add(*steps("ab", log), Step("c", log, fails=1)))
    with contextlib.suppress(ValueError):
        engine.run()
    assert engine.storage.get_atom_intention("a") == "REVERT"
    engine.storage.set_atom_intention("a", "EXECUTE")
    assert engine.storage.get_atom_intention("a") == "EXECUTE"
    with pytest.raises(exc.InvalidFormat, match="unknown intention 'DANCE': expected one of EXECUTE"):
        engine.storage.set_atom_intention("a", "DANCE")
    with pytest.raises(exc.NotFound, match="'unknown'"):
        engine.storage.set_atom_intention("unknown", "EXECUTE")


def test_unsatisfied_arguments(log):
    flow = LinearFlow("f").add(Step("a", log, provides="x"), Step("b", log, inject={"own": 5}))
    engine = engines.load(flow, store={"given": 6})
    engine.compile()
    engine.prepare()
    unsatisfied = engine.storage.fetch_unsatisfied_args
    mapping = {"k": "x", "l": "own", "m": "given", "n": "none"}
    assert unsatisfied("b", mapping) == {"n"}
    assert unsatisfied("a", mapping) == {"k", "l", "n"}
    assert unsatisfied("b", mapping, optional_args=["n", "k"]) == set()
    assert unsatisfied("a", {"k": "x"}, scope_walker=[["a"]]) == set()
    with pytest.raises(exc.NotFound, match="'unknown'"):
        unsatisfied("unknown", mapping)
