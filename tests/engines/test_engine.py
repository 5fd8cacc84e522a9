"""Engines: order, results, errors, repeated runs, calls in the wrong order."""

import os
import subprocess
import sys
import threading

import pytest

from stackl_flow import GraphFlow, LinearFlow, UnorderedFlow, engines, retry, states, task
from stackl_flow import exceptions as exc
from tests.engines.tasks import Step, final_state, states_of, steps

# ------------------------------------------------------------------ order


def test_linear_runs_in_order(load, log):
    engine = load(LinearFlow("f").add(*steps("abc", log)))
    engine.run()
    assert log == ["a", "b", "c"]
    assert engine.storage.get_flow_state() == states.SUCCESS
    assert set(states_of(engine).values()) == {states.SUCCESS}


def test_linear_reverts_in_reverse_order_and_raises_the_original_exception(load, log):
    engine = load(LinearFlow("f").add(*steps("ab", log), Step("c", log, fails=1), Step("d", log)))
    with pytest.raises(ValueError, match="c failed"):
        engine.run()
    assert log == ["a", "b", "c", "-c", "-b", "-a"]
    assert engine.storage.get_flow_state() == states.REVERTED
    assert states_of(engine) == {
        "a": states.REVERTED,
        "b": states.REVERTED,
        "c": states.REVERTED,
        "d": states.PENDING,
    }


def test_graph_runs_along_links_and_reverts_against_them(load, log):
    a, b, c, d = [*steps("abc", log), Step("d", log, fails=1)]
    flow = GraphFlow("f").add(d, c, b, a).link(a, b).link(b, c).link(c, d)
    assert final_state(load(flow), ValueError) == states.REVERTED
    assert log == ["a", "b", "c", "d", "-d", "-c", "-b", "-a"]


def test_diamond_waits_for_both_branches(load, log):
    a, b, c, d = steps("abcd", log)
    flow = GraphFlow("f").add(a, b, c, d).link(a, b).link(a, c).link(b, d).link(c, d)
    load(flow, max_workers=2).run()
    assert log[0] == "a"
    assert sorted(log[1:3]) == ["b", "c"]
    assert log[3] == "d"


def test_nested_flow_runs_as_one_item(load, log):
    inner = UnorderedFlow("inner").add(*steps("bc", log))
    load(LinearFlow("outer").add(Step("a", log), inner, Step("d", log)), max_workers=1).run()
    assert log == ["a", "b", "c", "d"]


def test_lone_task_runs_as_a_flow(load, log):
    engine = load(Step("a", log, provides="x"))
    engine.run()
    assert (log, engine.storage.fetch_all()) == (["a"], {"x": "A"})


def test_empty_flow_succeeds(load):
    assert final_state(load(LinearFlow("f"))) == states.SUCCESS


@pytest.mark.parametrize("flow", [LinearFlow, UnorderedFlow, GraphFlow])
def test_empty_subflow_does_not_block_its_successors(load, log, flow):
    outer = LinearFlow("outer").add(Step("a", log), flow("hole"), Step("b", log))
    load(outer).run()
    assert log == ["a", "b"]


def test_higher_priority_starts_first(load, log):
    priorities = {"a": 1, "b": 5, "c": 3}
    group = UnorderedFlow("g").add(*(Step(n, log, priority=p) for n, p in priorities.items()))
    engine = load(LinearFlow("f").add(group, Step("z", log, fails=1)), max_workers=1)
    assert final_state(engine, ValueError) == states.REVERTED
    assert log == ["b", "c", "a", "z", "-z", "-b", "-c", "-a"]


def test_equal_priorities_keep_insertion_order(load, log):
    names = [f"t{number:02}" for number in range(20)]
    load(UnorderedFlow("f").add(*(Step(n, log) for n in names)), max_workers=1).run()
    assert log == names


_SIBLINGS = """
from stackl_flow import GraphFlow, UnorderedFlow, LinearFlow, FunctorTask, engines
log = []
def made(name):
    return FunctorTask(lambda: log.append(name), name=name)
names = [f"{word}-{n}" for n in range(4) for word in ("pear", "apple", "fig", "kiwi")]
flow = LinearFlow("f").add(
    UnorderedFlow("u").add(*map(made, names)),
    GraphFlow("g").add(*(made(name + "!") for name in names)),
)
engines.run(flow, engine=ENGINE, max_workers=1)
assert log == names + [name + "!" for name in names], log
"""


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
@pytest.mark.parametrize("kind", ["serial", "parallel"])
def test_siblings_start_in_insertion_order_for_any_hash_seed(seed, kind):
    code = _SIBLINGS.replace("ENGINE", repr(kind))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_siblings_that_have_not_started_do_not_start_after_a_failure(log):
    flow = UnorderedFlow("f").add(Step("a", log), Step("b", log, fails=1), *steps("cd", log))
    engine = engines.load(flow)
    assert final_state(engine, ValueError) == states.REVERTED
    assert log == ["a", "b", "-b", "-a"]
    assert states_of(engine) == {
        "a": states.REVERTED, "b": states.REVERTED, "c": states.PENDING, "d": states.PENDING,
    }  # fmt: skip


# ------------------------------------------------------------------ results


def test_run_returns_inputs_and_provided_values(log):
    flow = LinearFlow("f").add(
        Step("a", log, result=(1, 2), provides=("x", "y")), Step("b", log, provides="z", requires=["x"])
    )
    assert engines.run(flow, store={"given": 0}) == {"given": 0, "x": 1, "y": 2, "z": "B"}


def test_values_of_several_providers_are_returned_as_a_list(log):
    flow = LinearFlow("f").add(Step("a", log, provides="x"), Step("b", log, provides="x"))
    engine = engines.load(flow, store={"x": 0})
    engine.run()
    assert engine.storage.fetch_all() == {"x": [0, "A", "B"]}
    assert engine.storage.fetch("x") == 0


def test_tasks_receive_the_same_objects_without_a_backend():
    thing = object()
    seen = []
    flow = LinearFlow("f").add(
        task.FunctorTask(lambda: thing, name="give", provides="x"),
        task.FunctorTask(lambda x: seen.append((x,)), name="take"),
    )
    engines.run(flow)
    assert seen[0][0] is thing


def test_reverted_values_are_not_available(load, log):
    engine = load(LinearFlow("f").add(Step("a", log, provides="x"), Step("b", log, fails=1)))
    assert final_state(engine, ValueError) == states.REVERTED
    assert engine.storage.fetch_all() == {}
    with pytest.raises(exc.NotFound):
        engine.storage.fetch("x")


# ------------------------------------------------------------------ errors


def test_several_failures_are_raised_as_wrapped_failure_in_flow_order(log):
    meet = threading.Barrier(2)

    class Both(Step):
        def execute(self, **kwargs):
            meet.wait(30)
            super().execute(**kwargs)

    flow = UnorderedFlow("f").add(Both("x", log, fails=1), Both("y", log, fails=1))
    engine = engines.load(flow, engine="parallel", max_workers=2)
    with pytest.raises(exc.WrappedFailure) as caught:
        engine.run()
    assert [failure.exception_str for failure in caught.value] == ["x failed", "y failed"]
    assert caught.value.check(ValueError) is ValueError
    assert engine.storage.get_flow_state() == states.REVERTED


def _raise(error):
    raise error


def test_stop_iteration_is_a_failure_like_any_other(load, log):
    broken = task.FunctorTask(lambda: _raise(StopIteration("enough")), name="b")
    engine = load(LinearFlow("f").add(Step("a", log), broken))
    with pytest.raises(StopIteration, match="enough"):
        engine.run()
    assert engine.storage.get_flow_state() == states.REVERTED
    assert log == ["a", "-a"]


def test_run_iter_wraps_stop_iteration(load):
    engine = load(task.FunctorTask(lambda: _raise(StopIteration("enough")), name="b"))
    with pytest.raises(exc.WrappedFailure, match="enough") as caught:
        list(engine.run_iter())
    assert caught.value.check(StopIteration)


def test_hooks_are_called_around_execute_and_revert(load):
    log = []

    class Hooked(Step):
        def pre_execute(self):
            log.append("before")

        def post_execute(self):
            log.append("after")

        def pre_revert(self):
            log.append("before undo")

        def post_revert(self):
            log.append("after undo")

    assert final_state(load(Hooked("a", log, fails=1)), ValueError) == states.REVERTED
    assert log == ["before", "a", "after", "before undo", "-a", "after undo"]


class NoItems(dict):
    """Its items cannot be read."""

    def __getitem__(self, key):
        raise ArithmeticError(key)


@pytest.mark.parametrize("result", [[1], 5, "", NoItems(), object()])
def test_incomplete_result_fails_its_consumer_which_is_reverted(load, log, result):
    flow = LinearFlow("f").add(
        Step("giver", log, result=result, provides=("p", "q")), Step("needy", log, requires=["q"])
    )
    engine = load(flow)
    with pytest.raises(exc.ValueNotProvided, match=r"needy.*'q'.*giver"):
        engine.run()
    assert engine.storage.get_flow_state() == states.REVERTED
    assert states_of(engine) == {"giver": states.REVERTED, "needy": states.REVERTED}
    assert log == ["giver", "-giver"], "the consumer never ran, so it has nothing to undo"


def test_flow_reverted_because_of_a_missing_value_can_be_resumed(backend, log):
    def flow(**options):
        giver = Step("giver", log, result=[1], provides=("p", "q"), **options)
        return LinearFlow("f").add(giver, Step("needy", log, requires=["q"]))

    engine = engines.load(flow(revert_fails=1), backend=backend)
    assert final_state(engine, RuntimeError) == states.REVERT_FAILURE
    with backend.get_connection() as connection:
        detail = connection.get_flow_details(engine.storage.flow_uuid)
    engine = engines.load(flow(), backend=backend, flow_detail=detail)
    assert final_state(engine, exc.WrappedFailure) == states.REVERTED
    assert log == ["giver", "-giver", "-giver"]


def test_retry_decides_about_a_missing_value(load, log):
    class Growing(Step):
        def execute(self):
            super().execute()
            return [1] * log.count("giver")

    flow = LinearFlow("f", retry=retry.Times(2, "r")).add(
        Growing("giver", log, provides=("p", "q")), Step("needy", log, requires=["q"])
    )
    assert final_state(load(flow)) == states.SUCCESS
    assert log == ["giver", "-giver", "giver", "needy"]


def test_value_of_an_ignored_atom_fails_its_consumer(load, log):
    a, b, c = Step("a", log), Step("b", log, provides="x"), Step("c", log, requires=["x"])
    flow = GraphFlow("f").add(a, b, c).link(a, b, decider=lambda history: False, decider_depth="ATOM")
    engine = load(flow)
    with pytest.raises(exc.ValueNotProvided, match=r"c.*'x'.*b"):
        engine.run()
    assert engine.storage.get_flow_state() == states.REVERTED
    assert log == ["a", "-a"]


def test_revert_without_a_value_is_a_failed_revert(load, log):
    class Undo(Step):
        def execute(self):
            self.log.append(self.name)
            raise ValueError("to undo")

        def revert(self, q):
            self.log.append("-undo")

    flow = LinearFlow("f").add(Step("giver", log, result=[1], provides=("p", "q")), Undo("undo", log))
    assert final_state(load(flow), Exception) == states.REVERT_FAILURE
    assert log == ["giver", "undo"]


def test_missing_value_ends_the_run_where_failures_are_not_resolved(load, log):
    flow = LinearFlow("f").add(
        Step("giver", log, result=[1], provides=("p", "q")), Step("needy", log, requires=["q"])
    )
    engine = load(flow, never_resolve=True)
    assert final_state(engine, exc.ValueNotProvided) == states.FAILURE
    assert states_of(engine) == {"giver": states.SUCCESS, "needy": states.FAILURE}


# ------------------------------------------------------------------ calls in the wrong order


@pytest.mark.parametrize("call", ["prepare", "validate", "suspend", "reset"])
def test_engine_requires_compile(load, call):
    with pytest.raises(exc.InvalidState, match=f"{call}.*not been compiled"):
        getattr(load(LinearFlow("f")), call)()


@pytest.mark.parametrize("call", ["validate", "reset"])
def test_engine_requires_prepare(load, call):
    engine = load(LinearFlow("f"))
    engine.compile()
    with pytest.raises(exc.InvalidState, match=f"{call}.*storage populated"):
        getattr(engine, call)()


def test_explicit_preparation_is_the_same_as_run(load, log):
    engine = load(LinearFlow("f").add(*steps("ab", log)))
    assert engine.compilation is None
    engine.compile()
    plan = engine.compilation
    engine.compile()
    assert engine.compilation is plan
    engine.prepare()
    engine.validate()
    assert states_of(engine) == {"a": states.PENDING, "b": states.PENDING}
    engine.run()
    assert log == ["a", "b"]


def test_running_engine_cannot_be_run_again(load):
    refused = []

    def again():
        try:
            engine.run()
        except exc.ExecutionFailure as error:
            refused.append(str(error))

    def from_another_thread():
        thread = threading.Thread(target=again)
        thread.start()
        thread.join()

    engine = load(task.FunctorTask(from_another_thread, name="a"))
    engine.run()
    assert len(refused) == 1
    assert "locked" in refused[0]
    engine.run()
    assert engine.storage.get_flow_state() == states.SUCCESS


def test_lock_is_released_after_a_failure(load, log):
    engine = load(Step("a", log, fails=1))
    assert final_state(engine, ValueError) == states.REVERTED
    assert final_state(engine) == states.SUCCESS


# ------------------------------------------------------------------ statistics


def test_statistics_count_atoms(load, log):
    engine = load(LinearFlow("f", retry=retry.Times(2, "r")).add(Step("a", log, fails=1), Step("b", log)))
    engine.run()
    reported = engine.statistics
    assert set(reported["seconds_per_state"]) >= {"scheduling", "waiting", "analyzing"}
    assert all(seconds >= 0 for seconds in reported["seconds_per_state"].values())
    assert reported["active_for"] >= 0
    # The retry twice, a twice, b once, and the revert of a.
    assert (reported["completed"], reported["discarded_failures"]) == (6, 1)
    assert (reported["awaiting"], reported["incomplete"]) == (0, 0)


def test_statistics_can_be_read_during_a_run(load, log):
    engine = load(LinearFlow("f").add(Step("a", log), Step("b", log)))
    assert engine.statistics == {}
    reported = []
    engine.atom_notifier.register(
        states.SUCCESS, lambda *_, **__: reported.append(engine.statistics["completed"])
    )
    engine.run()
    assert reported == [1, 2]
    engine.reset()
    engine.run()
    assert engine.statistics["completed"] == 2


def test_statistics_can_be_disabled(load, log):
    engine = load(Step("a", log), gather_statistics=False)
    engine.run()
    assert set(engine.statistics) == {"active_for"}


# ------------------------------------------------------------------ loading an engine


def test_options_in_a_url():
    engine = engines.load(
        LinearFlow("f"), engine="parallel://?max_workers=2&defer_reverts=yes", executor="threads"
    )
    assert engine.options == {"max_workers": "2", "defer_reverts": "yes", "executor": "threads"}
    assert final_state(engine) == states.SUCCESS


def test_unknown_engine_is_reported_with_the_known_ones():
    with pytest.raises(exc.NotFound, match=r"'nope'.*default, parallel, serial"):
        engines.load(LinearFlow("f"), engine="nope")


def test_helpers_take_the_same_arguments(log):
    assert engines.run(Step("a", log, provides="x"), {"y": 1}) == {"x": "A", "y": 1}
    assert list(engines.run_iter(Step("a", log)))[-1] == states.SUCCESS


def test_run_iter_yields_the_states_of_the_engine(load, log):
    reported = list(load(Step("a", log)).run_iter())
    assert reported[:4] == ["RESUMING", "SCHEDULING", "WAITING", "ANALYZING"]
    assert reported[-1] == "SUCCESS"
    assert set(reported) == {"RESUMING", "SCHEDULING", "WAITING", "ANALYZING", "SUCCESS"}


def test_run_iter_raises_at_its_end(load, log):
    stages = load(Step("a", log, fails=1)).run_iter()
    while next(stages) != states.REVERTED:
        pass
    with pytest.raises(ValueError, match="a failed"):
        next(stages)
