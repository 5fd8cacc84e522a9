"""Rollback: arguments of revert, failed reverts, options, and running again afterwards."""

import pytest

from stackl_flow import LinearFlow, retry, states, task
from stackl_flow import exceptions as exc
from stackl_flow.persistence import factory
from tests.engines.tasks import ALWAYS, Step, final_state, states_of, steps

# ------------------------------------------------------------------ reverting


def test_revert_receives_the_result_and_the_failures(load):
    seen = []

    class Watching(task.Task):
        def execute(self, x):
            return x + 1

        def revert(self, x, result, flow_failures, **kwargs):
            seen.append((x, result, flow_failures))

    flow = LinearFlow("f").add(Watching("w"), Step("bad", [], fails=1))
    assert final_state(load(flow, store={"x": 1}), ValueError) == states.REVERTED
    ((x, result, failures),) = seen
    assert (x, result) == (1, 2)
    assert list(failures) == ["bad"]
    assert failures["bad"].check(ValueError)


def test_failed_task_receives_its_failure_as_result(load):
    seen = []

    class Failing(Step):
        def revert(self, result, **kwargs):
            seen.append(result)

    assert final_state(load(Failing("a", [], fails=1)), ValueError) == states.REVERTED
    assert seen[0].check(ValueError)


def test_revert_with_more_arguments_than_execute(load):
    seen = []

    class Undo(task.Task):
        def execute(self):
            pass

        def revert(self, z, **kwargs):
            seen.append(z)

    flow = LinearFlow("f").add(Undo("u"), Step("bad", [], fails=1))
    assert final_state(load(flow, store={"z": 5}), ValueError) == states.REVERTED
    assert seen == [5]


def test_failed_revert_ends_in_revert_failure_and_the_next_run_continues_the_rollback(load, log):
    flow = LinearFlow("f").add(
        Step("a", log), Step("b", log, revert_fails=1), Step("c", log), Step("d", log, fails=1)
    )
    engine = load(flow)
    with pytest.raises(RuntimeError, match="b cannot be undone"):
        engine.run()
    assert engine.storage.get_flow_state() == states.REVERT_FAILURE
    assert states_of(engine) == {
        "a": states.SUCCESS,
        "b": states.REVERT_FAILURE,
        "c": states.REVERTED,
        "d": states.REVERTED,
    }
    assert list(engine.storage.get_revert_failures()) == ["b"]
    assert list(engine.storage.get_execute_failures()) == ["d"]

    log.clear()
    with pytest.raises(ValueError, match="d failed"):
        engine.run()
    assert log == ["-b", "-a"]
    assert engine.storage.get_flow_state() == states.REVERTED
    assert engine.storage.get_revert_failures() == {}


def test_flow_stays_in_revert_failure_while_the_revert_fails(load, log):
    engine = load(LinearFlow("f").add(Step("a", log, revert_fails=2), Step("b", log, fails=1)))
    assert final_state(engine, RuntimeError) == states.REVERT_FAILURE
    assert final_state(engine, RuntimeError) == states.REVERT_FAILURE
    assert final_state(engine, ValueError) == states.REVERTED
    assert log == ["a", "b", "-b", "-a", "-a", "-a"]


def test_repeated_revert_receives_the_result_again(load):
    seen = []

    class Stubborn(Step):
        def revert(self, result, **kwargs):
            seen.append(result)
            return super().revert()

    engine = load(LinearFlow("f").add(Stubborn("a", [], revert_fails=1), Step("b", [], fails=1)))
    final_state(engine, RuntimeError)
    final_state(engine, ValueError)
    assert seen == ["A", "A"]


# ------------------------------------------------------------------ options


def test_never_resolve_reverts_nothing(load, log):
    flow = LinearFlow("f", retry=retry.Times(3, "again")).add(Step("a", log), Step("b", log, fails=1))
    engine = load(flow, never_resolve=True)
    assert final_state(engine, ValueError) == states.FAILURE
    assert log == ["a", "b"]
    assert states_of(engine) == {"again": states.SUCCESS, "a": states.SUCCESS, "b": states.FAILURE}


def _nested(log):
    inner = LinearFlow("inner", retry=retry.Times(1, "inner retry")).add(
        Step("b", log), Step("c", log, fails=ALWAYS)
    )
    return LinearFlow("outer").add(Step("a", log), inner)


def test_inner_retry_that_gives_up_does_not_revert_outer_atoms(load, log):
    engine = load(_nested(log))
    assert final_state(engine, ValueError) == states.REVERTED
    assert log == ["a", "b", "c", "-c", "-b"]
    assert states_of(engine)["a"] == states.SUCCESS


@pytest.mark.parametrize("value", [True, "True", "yes"])
def test_defer_reverts_reverts_outer_atoms(load, log, value):
    engine = load(_nested(log), defer_reverts=value)
    assert final_state(engine, ValueError) == states.REVERTED
    assert log == ["a", "b", "c", "-c", "-b", "-a"]
    assert states_of(engine)["a"] == states.REVERTED


@pytest.mark.parametrize("value", [False, "False", "0", "no"])
def test_option_as_text(load, log, value):
    engine = load(_nested(log), defer_reverts=value)
    final_state(engine, ValueError)
    assert "-a" not in log


# ------------------------------------------------------------------ running again


def test_finished_flow_does_not_run_again(load, log):
    engine = load(LinearFlow("f").add(*steps("ab", log)))
    engine.run()
    engine.run()
    assert log == ["a", "b"]
    assert engine.storage.get_flow_state() == states.SUCCESS


def test_reverted_flow_runs_again_from_the_beginning(load, log):
    engine = load(LinearFlow("f").add(Step("a", log, provides="x"), Step("b", log, fails=1)))
    assert final_state(engine, ValueError) == states.REVERTED
    log.clear()
    engine.run()
    assert log == ["a", "b"]
    assert engine.storage.get_flow_state() == states.SUCCESS
    assert engine.storage.get_failures() == {}
    assert engine.storage.fetch("x") == "A"


def test_reset_resets_all_atoms(load, log):
    engine = load(LinearFlow("f", retry=retry.Times(1, "r", provides="n")).add(Step("a", log, provides="x")))
    engine.run()
    engine.reset()
    assert engine.storage.get_flow_state() == states.PENDING
    assert states_of(engine) == {"r": states.PENDING, "a": states.PENDING}
    assert engine.storage.fetch_all() == {}
    assert len(engine.storage.get_retry_history("r")) == 0
    engine.run()
    assert log == ["a", "a"]


def test_second_engine_on_the_same_flow_detail(load, log):
    detail = factory.create_flow_detail(LinearFlow("f"))
    load(LinearFlow("f").add(Step("a", log, provides="x")), flow_detail=detail).run()
    second = load(LinearFlow("f").add(Step("a", log, provides="x"), Step("b", log)), flow_detail=detail)
    second.run()
    assert log == ["a", "b"]
    assert second.storage.fetch("x") == "A"


@pytest.mark.parametrize("rest", ["paused", "failed", "parked", "finished", "undone"])
def test_reset_from_every_final_state(load, log, rest):
    fails, stuck = int(rest in {"failed", "parked", "undone"}), int(rest == "parked")
    flow = LinearFlow("f").add(Step("a", log, revert_fails=stuck), Step("b", log, fails=fails))
    engine = load(flow, never_resolve=rest == "failed")
    if rest == "paused":
        engine.atom_notifier.register("SUCCESS", lambda *_, **__: engine.suspend())
    final_state(engine, Exception)
    engine.atom_notifier.reset()
    log.clear()
    engine.reset()
    assert states_of(engine) == {"a": states.PENDING, "b": states.PENDING}
    assert engine.storage.get_failures() == engine.storage.get_revert_failures() == {}
    assert not engine.storage.has_failures()
    assert final_state(engine) == states.SUCCESS
    assert log == ["a", "b"]


def test_running_flow_cannot_be_reset(load, log):
    def reset():
        log.append("b")
        engine.reset()

    class Watching(Step):
        def revert(self, result, **kwargs):
            super().revert()
            assert result == "A"

    engine = load(LinearFlow("f").add(Watching("a", log), task.FunctorTask(reset, name="b")))
    with pytest.raises(exc.InvalidState, match="'RUNNING' to 'PENDING'"):
        engine.run()
    assert engine.storage.get_flow_state() == states.REVERTED
    assert log == ["a", "b", "-a"]
