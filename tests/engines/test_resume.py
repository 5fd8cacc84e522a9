"""Resuming stored flows in another engine, with atoms matched by name."""

import logging

import pytest

from stackl_flow import GraphFlow, LinearFlow, engines, retry, states
from stackl_flow import exceptions as exc
from stackl_flow.persistence import backends
from stackl_flow.persistence import factory as books
from tests.engines import factories
from tests.engines.tasks import ALWAYS, Keep, Step, final_state, steps


def stop_at(backend, flow, name, state=states.SUCCESS):
    """Run a new flow until an atom enters a state, then suspend it; returns its uuid."""
    detail = books.create_flow_detail(flow, backend=backend)
    engine = engines.load(flow, flow_detail=detail, backend=backend)
    engine.atom_notifier.register(
        state, lambda _, details: engine.suspend() if name in details.values() else None
    )
    engine.run()
    assert engine.storage.get_flow_state() == states.SUSPENDED
    return detail.uuid


def take_up(backend, uuid, flow, **kwargs):
    """Create an engine for a stored flow, as another process would."""
    with backend.get_connection() as connection:
        detail = connection.get_flow_details(uuid)
    return engines.load(flow, flow_detail=detail, backend=backend, **kwargs)


@pytest.mark.parametrize("kind", ["serial", "parallel"])
def test_successful_atoms_do_not_run_again(backend, log, kind):
    uuid = stop_at(backend, LinearFlow("f").add(*steps("abc", log)), "b")
    log.clear()
    engine = take_up(backend, uuid, LinearFlow("f").add(*steps("abc", log)), engine=kind)
    assert final_state(engine) == states.SUCCESS
    assert log == ["c"]


def test_values_are_restored(backend, log):
    first = LinearFlow("f").add(Step("a", log, result=(1, {2, 3}), provides=("x", "y")), Step("b", log))
    uuid = stop_at(backend, first, "a")
    keep = Keep("b", requires=["x", "y"])
    again = LinearFlow("f").add(Step("a", log, provides=("x", "y")), keep)
    take_up(backend, uuid, again).run()
    assert keep.executed == [{"x": 1, "y": {2, 3}}]


def test_injected_values_are_restored(backend, log):
    flow = LinearFlow("f").add(Step("a", log), Step("b", log, requires=["x"]))
    detail = books.create_flow_detail(flow, backend=backend)
    engine = engines.load(flow, store={"x": 1}, flow_detail=detail, backend=backend)
    engine.atom_notifier.register("SUCCESS", lambda *_, **__: engine.suspend())
    engine.run()
    keep = Keep("b", requires=["x"])
    take_up(backend, detail.uuid, LinearFlow("f").add(Step("a", log), keep)).run()
    assert keep.executed == [{"x": 1}]


def test_rollback_continues_where_it_stopped(backend, log):
    def flow():
        return LinearFlow("f").add(*steps("abc", log), Step("d", log, fails=1))

    uuid = stop_at(backend, flow(), "c", states.REVERTED)
    log.clear()
    engine = take_up(backend, uuid, flow())
    with pytest.raises(exc.WrappedFailure, match="d failed"):
        engine.run()
    assert log == ["-b", "-a"]
    assert engine.storage.get_flow_state() == states.REVERTED
    assert list(engine.storage.get_failures()) == ["d"]


def test_single_failure_from_storage_is_raised_wrapped(backend, log):
    def flow():
        return LinearFlow("f").add(Step("a", log), Step("b", log, fails=1))

    engine = take_up(backend, stop_at(backend, flow(), "b", states.REVERTED), flow())
    with pytest.raises(exc.WrappedFailure, match="ValueError: b failed") as caught:
        engine.run()
    (failure,) = caught.value
    assert failure.exception is None, "the error itself died with its process"
    assert caught.value.check(KeyError, ValueError) is ValueError
    assert "in execute" in failure.traceback_str


def test_single_failure_of_this_process_is_raised_as_itself(backend, log):
    class Bang(Step):
        def execute(self):
            raise error

    def flow():
        return LinearFlow("f").add(Step("a", log), Bang("b", log))

    error = ValueError("b failed")
    detail = books.create_flow_detail(flow(), backend=backend)
    first = engines.load(flow(), flow_detail=detail, backend=backend)
    first.atom_notifier.register(
        states.REVERTED, lambda _, details: first.suspend() if details["task_name"] == "b" else None
    )
    first.run()
    assert first.storage.get_flow_state() == states.SUSPENDED
    again = engines.load(flow(), flow_detail=detail, backend=backend)
    with pytest.raises(ValueError, match="b failed") as caught:
        again.run()
    assert caught.value is error


def test_exception_of_this_process_does_not_hide_a_later_stored_failure(backend, log):
    def flow(fails):
        return LinearFlow("f").add(Step("a", log), Step("b", log, fails=fails))

    detail = books.create_flow_detail(flow(1), backend=backend)
    stale = engines.load(flow(1), flow_detail=detail, backend=backend)
    with pytest.raises(ValueError, match="b failed"):
        stale.run()
    final_state(take_up(backend, detail.uuid, flow(0)))
    assert [atom.failure is None for atom in detail] == [True, False], "known here, and out of date"
    again = engines.load(flow(0), flow_detail=detail, backend=backend)
    assert final_state(again) == states.SUCCESS
    assert again.storage.get_failures() == {}


def test_revert_receives_stored_results_and_failures(backend, log):
    class Nosy(Step):
        def revert(self, result, flow_failures, **kwargs):
            seen.append((result, {name: failure.exception_str for name, failure in flow_failures.items()}))

    seen = []

    def flow():
        return LinearFlow("f").add(Nosy("a", log), Step("b", log), Step("c", log, fails=1))

    uuid = stop_at(backend, flow(), "b", states.REVERTED)
    final_state(take_up(backend, uuid, flow()), exc.WrappedFailure)
    assert seen == [("A", {"c": "c failed"})]


def test_retry_history_is_restored(backend, log):
    def flow(fails):
        return LinearFlow("f", retry=retry.Times(3, "r", provides="n")).add(Step("a", log, fails=fails))

    uuid = stop_at(backend, flow(ALWAYS), "a", states.REVERTED)
    engine = take_up(backend, uuid, flow(ALWAYS))
    assert final_state(engine, ValueError) == states.REVERTED
    assert log == ["a", "-a"] * 3


def test_retry_history_contains_failures_before_the_resume(backend, log):
    def flow(fails):
        return LinearFlow("f", retry=retry.Times(3, "r")).add(Step("a", log, fails=fails))

    uuid = stop_at(backend, flow(1), "a", states.REVERTED)
    engine = take_up(backend, uuid, flow(0))
    assert final_state(engine) == states.SUCCESS
    history = engine.storage.get_retry_history("r")
    assert list(history.provided_iter()) == [1, 2]
    assert history.caused_by(ValueError, index=0)


def test_failure_that_was_resolved_before_the_resume_is_gone(backend, log):
    def flow(fails, last):
        inner = LinearFlow("in", retry=retry.Times(2, "r")).add(Step("a", log, fails=fails, provides="x"))
        return LinearFlow("f").add(inner, Step("b", log), last)

    done = []
    first = flow(1, Keep("c", requires=["x"]))
    detail = books.create_flow_detail(first, backend=backend)
    engine = engines.load(first, flow_detail=detail, backend=backend)
    engine.atom_notifier.register(
        "SUCCESS", lambda _, details: engine.suspend() if details.get("task_name") == "a" else None
    )
    engine.run()
    keep = Keep("c", requires=["x"])
    again = take_up(backend, detail.uuid, flow(0, keep))
    again.atom_notifier.register("SUCCESS", lambda _, details: done.append(details.get("task_name")))
    assert final_state(again) == states.SUCCESS
    assert done == ["b", "c"]
    assert keep.executed == [{"x": "A"}]
    assert again.storage.get_failures() == {}


def test_flow_in_revert_failure_is_resumed_by_another_engine(backend, log):
    def flow(revert_fails):
        return LinearFlow("f").add(
            Step("a", log), Step("b", log, revert_fails=revert_fails), Step("c", log, fails=1)
        )

    detail = books.create_flow_detail(flow(1), backend=backend)
    engine = engines.load(flow(1), flow_detail=detail, backend=backend)
    assert final_state(engine, RuntimeError) == states.REVERT_FAILURE
    log.clear()
    assert final_state(take_up(backend, detail.uuid, flow(0)), exc.WrappedFailure) == states.REVERTED
    assert log == ["-b", "-a"]


def test_finished_flow_stays_finished(backend, log):
    flow = LinearFlow("f").add(Step("a", log, provides="x"))
    detail = books.create_flow_detail(flow, backend=backend)
    engines.run(flow, flow_detail=detail, backend=backend)
    engine = take_up(backend, detail.uuid, LinearFlow("f").add(Step("a", log, provides="x")))
    assert final_state(engine) == states.SUCCESS
    assert engine.storage.fetch("x") == "A"
    assert log == ["a"]


def test_unresolved_failure_is_resolved_by_the_next_engine(backend, log):
    flow = LinearFlow("f").add(Step("a", log), Step("b", log, fails=1))
    detail = books.create_flow_detail(flow, backend=backend)
    engine = engines.load(flow, flow_detail=detail, backend=backend, never_resolve=True)
    assert final_state(engine, ValueError) == states.FAILURE
    engine = take_up(backend, detail.uuid, flow)
    assert final_state(engine, exc.WrappedFailure) == states.REVERTED
    assert log == ["a", "b", "-b", "-a"]


# ------------------------------------------------------------------ a flow that changed


def test_added_atom_runs(backend, log):
    uuid = stop_at(backend, LinearFlow("f").add(*steps("ac", log)), "a")
    take_up(backend, uuid, LinearFlow("f").add(*steps("abcd", log))).run()
    assert log == ["a", "b", "c", "d"]


def test_atom_added_before_finished_ones_runs(backend, log):
    uuid = stop_at(backend, LinearFlow("f").add(*steps("bc", log)), "b")
    engine = take_up(backend, uuid, LinearFlow("f").add(*steps("abc", log)))
    assert final_state(engine) == states.SUCCESS
    assert log == ["b", "a", "c"]


def test_removed_atom_is_kept_and_logged(backend, log, caplog):
    uuid = stop_at(backend, LinearFlow("f").add(*steps("abc", log)), "a")
    engine = take_up(backend, uuid, LinearFlow("f").add(*steps("ac", log)))
    with caplog.at_level(logging.WARNING):
        assert final_state(engine) == states.SUCCESS
    assert log == ["a", "c"]
    assert "['b']" in caplog.text
    # It stays stored, in case the old code is used again.
    assert engine.storage.get_atom_state("b") == states.PENDING


def test_reordered_atoms_keep_their_results(backend, log):
    uuid = stop_at(backend, LinearFlow("f").add(*steps("abc", log)), "b")
    take_up(backend, uuid, LinearFlow("f").add(*steps("cba", log))).run()
    assert log == ["a", "b", "c"]


def test_pattern_may_change(backend, log):
    uuid = stop_at(backend, LinearFlow("f").add(*steps("abc", log)), "a")
    a, b, c = steps("abc", log)
    take_up(backend, uuid, GraphFlow("g").add(a, b, c).link(a, c).link(c, b)).run()
    assert log == ["a", "c", "b"]


def test_changed_version_keeps_the_result(backend, log):
    uuid = stop_at(backend, LinearFlow("f").add(*steps("ab", log)), "a")
    a, b = steps("ab", log)
    a.version = (2, 0)
    engine = take_up(backend, uuid, LinearFlow("f").add(a, b))
    engine.run()
    assert log == ["a", "b"]
    with backend.get_connection() as conn:
        stored = conn.get_atom_details(engine.storage.get_atom_uuid("a"))
    # As text, as TaskFlow stores it; the version of the code that produced the result.
    assert stored.version == "1.0"


def test_task_that_became_a_retry_is_rejected_and_nothing_is_lost(backend, log):
    uuid = stop_at(backend, LinearFlow("f").add(*steps("ab", log)), "a")
    changed = LinearFlow("f", retry=retry.Times(1, "a")).add(Step("b", log))
    with pytest.raises(exc.FlowChanged, match=r"atom 'a' of flow 'f'.*stored as a task and is now a retry"):
        take_up(backend, uuid, changed).run()
    assert final_state(take_up(backend, uuid, LinearFlow("f").add(*steps("ab", log)))) == states.SUCCESS
    assert log == ["a", "b"]


def test_retry_that_became_a_task_is_rejected(backend, log):
    uuid = stop_at(backend, LinearFlow("f", retry=retry.Times(1, "r")).add(*steps("ab", log)), "a")
    with pytest.raises(exc.FlowChanged, match=r"'r'.*stored as a retry and is now a task"):
        take_up(backend, uuid, LinearFlow("f").add(*steps("rab", log))).run()


def test_atom_that_has_to_be_reverted_cannot_be_removed(backend, log):
    def flow(names):
        return LinearFlow("f").add(*steps(names, log), Step("z", log, fails=1))

    uuid = stop_at(backend, flow("abc"), "c", states.REVERTED)
    log.clear()
    with pytest.raises(exc.FlowChanged, match=r"flow 'f'.*being reverted.*\['b'\]"):
        take_up(backend, uuid, flow("ac")).run()
    # One that is reverted already can.
    assert final_state(take_up(backend, uuid, flow("ab")), exc.WrappedFailure) == states.REVERTED
    assert log == ["-b", "-a"]


# ------------------------------------------------------------------ two engines


def test_superseded_engine_writes_nothing(backend, log):
    flow = LinearFlow("f").add(*steps("abc", log))
    detail = books.create_flow_detail(flow, backend=backend)
    first = engines.load(flow, flow_detail=detail, backend=backend)
    stages = first.run_iter()
    while next(stages) != states.WAITING:
        pass
    second = take_up(backend, detail.uuid, LinearFlow("f").add(*steps("abc", log)))
    assert final_state(second) == states.SUCCESS
    with backend.get_connection() as connection:
        before = connection.get_history(detail.uuid)
    with pytest.raises(exc.OwnershipLost, match="f"):
        list(stages)
    with backend.get_connection() as connection:
        assert connection.get_history(detail.uuid) == before
        assert connection.get_flow_details(detail.uuid).state == states.SUCCESS


# ------------------------------------------------------------------ factories


@pytest.mark.parametrize(
    "factory", [factories.letters, "tests.engines.factories.letters", "tests.engines.factories:letters"]
)
def test_flow_is_created_again_by_its_factory(tmp_path, factory):
    address = f"sqlite:///{tmp_path / 'flows.db'}"
    factories.LOG.clear()
    with backends.backend(address) as backend:
        engine = engines.load_from_factory(factory, ["abc"], {"word": "!"}, backend=backend)
        uuid = engine.storage.flow_uuid
        engine.atom_notifier.register("SUCCESS", lambda *_, **__: engine.suspend())
        engine.run()
    assert factories.LOG == ["a!"]
    with backends.backend(address) as backend:
        with backend.get_connection() as connection:
            detail = connection.get_flow_details(uuid)
        assert len(engines.flow_from_detail(detail)) == 3
        assert final_state(engines.load_from_detail(detail, backend=backend)) == states.SUCCESS
    assert factories.LOG == ["a!", "b!", "c!"]


def test_factory_in_a_class():
    engine = engines.load_from_factory(factories.Shop.flow, ["x"])
    assert engine.storage.flow_meta["factory"]["name"] == "tests.engines.factories:Shop.flow"
    assert len(engines.flow_from_detail(engine._flow_detail)) == 1


def test_factory_can_be_saved_afterwards(backend, log):
    detail = books.create_flow_detail(LinearFlow("f"), backend=backend)
    engines.save_factory_details(detail, factories.letters, ["ab"], backend=backend)
    with backend.get_connection() as connection:
        stored = connection.get_flow_details(detail.uuid)
    assert [item.name for item in engines.flow_from_detail(stored)] == ["a", "b"]


def test_flow_without_a_factory_is_reported():
    detail = books.create_flow_detail(LinearFlow("mine"))
    with pytest.raises(ValueError, match=f"mine {detail.uuid}: no factory information"):
        engines.flow_from_detail(detail)


@pytest.mark.parametrize(
    "factory",
    [lambda: LinearFlow("f"), LinearFlow("f").add, factories.make_inner()],
    ids=["lambda", "method", "inner"],
)
def test_factory_that_is_not_reimportable_is_rejected(factory):
    with pytest.raises(ValueError, match=r"not reimportable by name.*top level of a module"):
        engines.load_from_factory(factory)
