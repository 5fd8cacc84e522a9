"""Storage: queries about a flow, injected values, metadata."""

import threading

import pytest

from stackl_flow import LinearFlow, UnorderedFlow, engines, retry, states
from stackl_flow import exceptions as exc
from stackl_flow.persistence import factory
from tests.engines.tasks import Step, final_state, steps


@pytest.fixture
def failed(log):
    """Return an engine whose flow a -> b -> c failed at b and was reverted."""
    engine = engines.load(
        LinearFlow("f").add(Step("a", log, provides="x"), Step("b", log, fails=1), Step("c", log))
    )
    final_state(engine, ValueError)
    return engine


def test_identity_of_the_flow(log):
    detail = factory.create_flow_detail(LinearFlow("f"), meta={"note": 1})
    storage = engines.load(LinearFlow("f"), flow_detail=detail).storage
    assert (storage.flow_name, storage.flow_uuid) == ("f", detail.uuid)
    assert storage.flow_meta["note"] == 1
    assert storage.get_flow_state() == states.PENDING


def test_queries_about_an_atom(log):
    engine = engines.load(LinearFlow("f").add(Step("a", log)))
    engine.run()
    storage = engine.storage
    assert storage.get_atom_state("a") == states.SUCCESS
    assert storage.get_atom_intention("a") == states.EXECUTE
    assert storage.get_atoms_states(["a"]) == {"a": (states.SUCCESS, states.EXECUTE)}
    assert len(storage.get_atom_uuid("a")) == 36
    assert storage.get("a") == storage.get_execute_result("a") == "A"


@pytest.mark.parametrize(
    "query", ["get_atom_state", "get_atom_intention", "get_atom_uuid", "get", "get_revert_result",
            "get_task_progress", "get_retry_history"],
)  # fmt: skip
def test_unknown_atom_is_reported(failed, query):
    with pytest.raises(exc.NotFound, match="'zzz' in flow 'f'"):
        getattr(failed.storage, query)("zzz")


def test_results_of_a_reverted_flow(failed):
    storage = failed.storage
    assert storage.get("b").check(ValueError)
    assert storage.get_revert_result("b") is None
    with pytest.raises(exc.NotFound, match=r"'a' execution is not known.*REVERTED"):
        storage.get("a")
    with pytest.raises(exc.NotFound, match=r"'c' execution is not known.*PENDING"):
        storage.get("c")
    with pytest.raises(exc.NotFound, match="'c' revert is not known"):
        storage.get_revert_result("c")


def test_revert_result_is_kept(log):
    class Undo(Step):
        def revert(self, **kwargs):
            return "undone"

    engine = engines.load(Undo("a", log, fails=1))
    final_state(engine, ValueError)
    assert engine.storage.get_revert_result("a") == "undone"


def test_failures_by_atom_in_flow_order(log):
    meet = threading.Barrier(3)

    class Together(Step):
        def execute(self, **kwargs):
            meet.wait(30)
            super().execute(**kwargs)

    flow = UnorderedFlow("f").add(*(Together(name, log, fails=1) for name in "zya"))
    engine = engines.load(flow, engine="parallel", max_workers=3)
    final_state(engine, exc.WrappedFailure)
    assert list(engine.storage.get_failures()) == ["z", "y", "a"]
    assert engine.storage.get_execute_failures() == engine.storage.get_failures()
    assert engine.storage.has_failures()
    assert engine.storage.get_revert_failures() == {}


def test_no_failures(log):
    engine = engines.load(Step("a", log))
    engine.run()
    assert not engine.storage.has_failures()
    assert engine.storage.get_failures() == {}


def test_fetch_of_an_unknown_name_and_of_one_without_value_yet(log):
    engine = engines.load(LinearFlow("f").add(Step("a", log, provides="x")))
    engine.compile()
    engine.prepare()
    with pytest.raises(exc.NotFound, match="'y' is not mapped"):
        engine.storage.fetch("y")
    with pytest.raises(exc.NotFound, match=r"result 'x', searched 1 providers.*'a'"):
        engine.storage.fetch("x")


def test_many_handler_selects_from_several_values(log):
    engine = engines.load(LinearFlow("f").add(*steps("ab", log, provides="x")))
    engine.run()
    assert engine.storage.fetch("x", many_handler=lambda values: values[-1]) == "B"
    assert engine.storage.fetch_all(many_handler=tuple) == {"x": ("A", "B")}


def test_values_can_be_injected_before_and_between_runs(load, log):
    engine = load(LinearFlow("f").add(Step("a", log)), store={"x": 1})
    assert engine.storage.fetch_all() == {"x": 1}
    engine.storage.inject({"y": 2})
    engine.run()
    engine.storage.inject({"x": 3}, transient=True)
    assert engine.storage.fetch_all() == {"x": 3, "y": 2}


def test_injected_values_are_stored_unless_transient(backend, log):
    flow = LinearFlow("f").add(Step("a", log))
    detail = factory.create_flow_detail(flow, backend=backend)
    engine = engines.load(flow, store={"x": 1}, flow_detail=detail, backend=backend)
    engine.storage.inject({"y": object()}, transient=True)
    engine.run()
    engine.storage.inject({"z": (1, 2)})
    with backend.get_connection() as connection:
        stored = connection.get_flow_details(detail.uuid)
    again = engines.load(flow, flow_detail=stored, backend=backend)
    assert again.storage.fetch_all() == {"x": 1, "z": (1, 2)}


def test_injected_value_that_cannot_be_stored_is_rejected(backend):
    with pytest.raises(exc.NotSerializable, match=r"value 'x' of flow 'f'.*transient=True"):
        engines.load(LinearFlow("f"), store={"x": object()}, backend=backend)


def test_values_injected_into_an_atom_are_stored_with_inject_transient_off(backend, log):
    flow = LinearFlow("f").add(Step("a", log, inject={"x": 1}), Step("b", log))
    detail = factory.create_flow_detail(flow, backend=backend)
    engine = engines.load(flow, flow_detail=detail, backend=backend, inject_transient=False)
    engine.run()
    with backend.get_connection() as connection:
        stored = connection.get_flow_details(detail.uuid)
    assert {each.name: each.meta.get("injected") for each in stored} == {"a": {"x": 1}, "b": None}


def test_metadata_is_stored(backend, log):
    flow = LinearFlow("f").add(Step("a", log))
    detail = factory.create_flow_detail(flow, backend=backend)
    engine = engines.load(flow, flow_detail=detail, backend=backend)
    engine.compile()
    engine.prepare()
    engine.storage.update_flow_metadata({"who": "me"})
    engine.storage.update_atom_metadata("a", {"why": "so"})
    engine.run()
    with backend.get_connection() as connection:
        stored = connection.get_flow_details(detail.uuid)
    assert stored.meta["who"] == "me"
    assert next(iter(stored)).meta["why"] == "so"


def test_histories_of_retries(log):
    inner = LinearFlow("in", retry=retry.Times(1, "ri")).add(Step("a", log))
    engine = engines.load(LinearFlow("out", retry=retry.Times(1, "ro")).add(inner))
    engine.run()
    assert {
        name: list(history.provided_iter()) for name, history in engine.storage.get_retry_histories()
    } == {
        "ro": [1],
        "ri": [1],
    }


def test_metadata_set_after_a_run_is_stored_at_once(backend, log):
    flow = LinearFlow("f").add(*steps("ab", log))
    detail = factory.create_flow_detail(flow, backend=backend)
    engine = engines.load(flow, flow_detail=detail, backend=backend)
    engine.run()
    engine.storage.update_atom_metadata("a", {"seen": 1})
    engine.storage.update_flow_metadata({"seen": 2})
    with backend.get_connection() as connection:
        stored = connection.get_flow_details(detail.uuid)
    assert stored.meta["seen"] == 2
    assert [atom.meta.get("seen") for atom in stored] == [1, None]


def test_result_of_a_retry_is_the_list_of_its_attempts(log):
    flow = LinearFlow("f", retry=retry.Times(2, "r")).add(Step("a", log, fails=1))
    engine = engines.load(flow)
    engine.run()
    (first, failures), second = engine.storage.get_execute_result("r")
    assert (first, second) == (1, (2, {}))
    assert failures["a"].check(ValueError)


def test_metadata_set_before_ownership_is_kept(backend, log):
    """The stored flow is read again when it is owned."""
    flow = LinearFlow("f").add(*steps("ab", log))
    detail = factory.create_flow_detail(flow, backend=backend)
    first = engines.load(flow, flow_detail=detail, backend=backend)
    first.compile()
    first.prepare()
    with backend.get_connection() as connection:
        engine = engines.load(flow, flow_detail=connection.get_flow_details(detail.uuid), backend=backend)
        engine.storage.update_atom_metadata("a", {"why": "so"})
        engine.run()
        stored = connection.get_flow_details(detail.uuid)
    assert [atom.meta.get("why") for atom in stored] == ["so", None]
