"""Suspension: requested by a callback, a thread or through run_iter; and resuming afterwards."""

import threading

import pytest

from stackl_flow import LinearFlow, UnorderedFlow, engines, retry, states, task
from tests.engines.tasks import Step, final_state, states_of, steps


def suspend_when(engine, name, state):
    """Request suspension when an atom enters a state."""

    def received(now, details):
        if details.get("task_name", details.get("retry_name")) == name and now == state:
            engine.suspend()

    engine.atom_notifier.register("*", received)


def test_suspend_from_a_callback_starts_nothing_new(load, log):
    engine = load(LinearFlow("f").add(*steps("abc", log)))
    suspend_when(engine, "b", states.SUCCESS)
    engine.run()
    assert log == ["a", "b"]
    assert engine.storage.get_flow_state() == states.SUSPENDED
    assert states_of(engine)["c"] == states.PENDING
    engine.run()
    assert log == ["a", "b", "c"]
    assert engine.storage.get_flow_state() == states.SUCCESS


def test_running_calls_finish_before_the_suspension(load, log):
    engine = load(LinearFlow("f").add(*steps("abc", log)))
    suspend_when(engine, "a", states.RUNNING)
    engine.run()
    assert log == ["a"]
    assert engine.storage.get_flow_state() == states.SUSPENDED
    assert states_of(engine)["a"] == states.SUCCESS


def test_suspend_from_another_thread(load, log):
    def wait_for_pause():
        thread = threading.Thread(target=engine.suspend)
        thread.start()
        thread.join()
        log.append("a")

    engine = load(LinearFlow("f").add(task.FunctorTask(wait_for_pause, name="a"), Step("b", log)))
    engine.run()
    assert log == ["a"]
    assert engine.storage.get_flow_state() == states.SUSPENDED
    engine.run()
    assert log == ["a", "b"]


def test_rollback_can_be_suspended_and_resumed(load, log):
    engine = load(LinearFlow("f").add(*steps("abc", log), Step("d", log, fails=1)))
    suspend_when(engine, "c", states.REVERTED)
    engine.run()
    assert log == ["a", "b", "c", "d", "-d", "-c"]
    assert engine.storage.get_flow_state() == states.SUSPENDED
    with pytest.raises(ValueError, match="d failed"):
        engine.run()
    assert log[6:] == ["-b", "-a"]
    assert engine.storage.get_flow_state() == states.REVERTED


def test_suspend_between_attempts(load, log):
    engine = load(LinearFlow("f", retry=retry.Times(2, "r")).add(Step("a", log, fails=1)))
    suspend_when(engine, "a", states.REVERTED)
    engine.run()
    assert engine.storage.get_flow_state() == states.SUSPENDED
    engine.run()
    assert log == ["a", "-a", "a"]
    assert engine.storage.get_flow_state() == states.SUCCESS


def test_failure_during_suspension_is_not_lost(load, log):
    engine = load(LinearFlow("f").add(Step("a", log), Step("b", log, fails=1)))
    suspend_when(engine, "b", states.RUNNING)
    engine.run()
    assert engine.storage.get_flow_state() == states.SUSPENDED
    with pytest.raises(ValueError, match="b failed"):
        engine.run()
    assert log == ["a", "b", "-b", "-a"]
    assert engine.storage.get_flow_state() == states.REVERTED


def test_suspend_after_the_last_task_lets_the_flow_finish(load, log):
    engine = load(LinearFlow("f").add(*steps("ab", log)))
    suspend_when(engine, "b", states.SUCCESS)
    engine.run()
    assert engine.storage.get_flow_state() == states.SUCCESS


def test_suspend_before_the_run_has_no_effect(load, log):
    engine = load(Step("a", log))
    engine.compile()
    engine.suspend()
    engine.run()
    assert engine.storage.get_flow_state() == states.SUCCESS


def test_suspended_parallel_flow_runs_no_task_twice(log):
    names = [f"t{number}" for number in range(40)]
    engine = engines.load(
        UnorderedFlow("f").add(*(Step(n, log) for n in names)), engine="parallel", max_workers=2
    )
    suspend_when(engine, "t3", states.SUCCESS)
    engine.run()
    assert engine.storage.get_flow_state() == states.SUSPENDED
    done = {name for name, state in states_of(engine).items() if state == states.SUCCESS}
    assert done == set(log)
    assert len(done) < len(names)
    engine.run()
    assert sorted(log) == sorted(names)
    assert engine.storage.get_flow_state() == states.SUCCESS


def test_submitted_calls_that_have_not_started_are_recalled(log):
    gate = threading.Event()

    def hold():
        engine.suspend()
        gate.wait(30)
        log.append("first")

    rest = [Step(f"t{number}", log) for number in range(9)]
    flow = UnorderedFlow("f").add(task.FunctorTask(hold, name="first"), *rest)
    engine = engines.load(flow, engine="parallel", max_workers=1)
    pausing = []
    engine.notifier.register(states.SUSPENDING, lambda state, details: pausing.append(state))
    for state in engine.run_iter():
        if state == states.WAITING and pausing:
            gate.set()
    assert engine.storage.get_flow_state() == states.SUSPENDED
    assert log == ["first"]
    engine.run()
    assert sorted(log) == ["first", *(each.name for each in rest)]


def test_transitions_of_a_suspended_flow(load, log):
    engine = load(LinearFlow("f").add(*steps("ab", log)))
    received = []
    engine.notifier.register("*", lambda state, details: received.append((details["old_state"], state)))
    suspend_when(engine, "a", states.SUCCESS)
    engine.run()
    engine.run()
    assert received == [
        ("PENDING", "RUNNING"),
        ("RUNNING", "SUSPENDING"),
        ("SUSPENDING", "SUSPENDED"),
        ("SUSPENDED", "RUNNING"),
        ("RUNNING", "SUCCESS"),
    ]


# ------------------------------------------------------------------ run_iter


def step_to(stages, wanted):
    """Advance the generator until it yields a state."""
    for state in stages:
        if state == wanted:
            return
    raise AssertionError(f"never came to {wanted}")


def test_sending_a_true_value_suspends(load, log):
    engine = load(LinearFlow("f").add(*steps("abc", log)))
    stages = engine.run_iter()
    step_to(stages, states.ANALYZING)
    assert [stages.send(True), *stages] == [states.SUSPENDED]
    assert log == ["a"]
    engine.run()
    assert log == ["a", "b", "c"]


@pytest.mark.parametrize("value", [None, False, 0, ""])
def test_sending_a_false_value_does_not_suspend(load, log, value):
    stages = load(LinearFlow("f").add(*steps("abc", log))).run_iter()
    step_to(stages, states.ANALYZING)
    stages.send(value)
    assert list(stages)[-1] == states.SUCCESS


def test_closing_the_generator_suspends_and_waits(load, log):
    engine = load(LinearFlow("f").add(*steps("abc", log)))
    stages = engine.run_iter()
    step_to(stages, states.WAITING)
    stages.close()
    assert log == ["a"]
    assert engine.storage.get_flow_state() == states.SUSPENDED
    engine.run()
    assert log == ["a", "b", "c"]


def test_exception_thrown_into_the_generator_fails_the_flow_and_is_raised(load, log):
    engine = load(LinearFlow("f").add(*steps("abc", log)))
    stages = engine.run_iter()
    step_to(stages, states.WAITING)
    with pytest.raises(LookupError, match="thrown in"):
        stages.throw(LookupError("thrown in"))
    assert engine.storage.get_flow_state() == states.FAILURE
    assert log == ["a"]
    engine.run()
    assert log == ["a", "b", "c"]


def test_suspend_request_ends_with_the_run(load, log):
    engine = load(LinearFlow("f").add(*steps("ab", log)))
    suspend_when(engine, "b", states.SUCCESS)
    assert final_state(engine) == states.SUCCESS
    engine.reset()
    assert final_state(engine) == states.SUCCESS
    assert log == ["a", "b"] * 2


def test_timeout_of_one_step(log):
    gate = threading.Event()
    engine = engines.load(task.FunctorTask(gate.wait, name="a", auto_extract=False), engine="parallel")
    received = []
    for state in engine.run_iter(timeout=0.01):
        received.append(state)
        if received.count(states.ANALYZING) == 3:
            gate.set()
    assert received.count(states.WAITING) >= 3
    assert engine.storage.get_flow_state() == states.SUCCESS
