"""Retries: what is reverted, what runs again, which retry decides, and its history."""

import threading

import pytest

from stackl_flow import GraphFlow, LinearFlow, UnorderedFlow, engines, retry, states, task
from stackl_flow import exceptions as exc
from tests.engines.tasks import ALWAYS, Keep, Step, final_state, states_of, steps


class Scripted(retry.Retry):
    """A retry that returns given decisions and records its calls."""

    def __init__(self, name, *decisions, **kwargs):
        super().__init__(name, **kwargs)
        self.decisions = list(decisions)
        self.histories, self.reverted = [], []

    def execute(self, history, **kwargs):
        return len(history) + 1

    def on_failure(self, history, **kwargs):
        self.histories.append([(given, sorted(failures)) for given, failures in history])
        return self.decisions.pop(0)

    def revert(self, history, **kwargs):
        self.reverted.append([(given, sorted(failures)) for given, failures in history])


@pytest.mark.parametrize(("attempts", "runs"), [(1, 1), (2, 2), (5, 5)])
def test_times_limits_the_number_of_attempts(load, log, attempts, runs):
    flow = LinearFlow("f", retry=retry.Times(attempts, "r")).add(Step("a", log, fails=ALWAYS))
    assert final_state(load(flow), ValueError) == states.REVERTED
    assert log == ["a", "-a"] * runs


def test_times_provides_the_attempt_number(load, log):
    keep = Keep(requires=["n"])
    flow = LinearFlow("f", retry=retry.Times(3, "r", provides="n")).add(keep, Step("a", log, fails=2))
    engine = load(flow)
    engine.run()
    assert [arguments["n"] for arguments in keep.executed] == [1, 2, 3]
    assert engine.storage.fetch_all() == {"n": 3}
    assert engine.storage.get_failures() == {}


def test_retry_reverts_its_own_flow_only(load, log):
    inner = LinearFlow("inner", retry=retry.Times(2, "r")).add(*steps("bc", log), Step("d", log, fails=1))
    engine = load(LinearFlow("outer").add(Step("a", log), inner, Step("e", log)))
    engine.run()
    assert log == ["a", "b", "c", "d", "-d", "-c", "-b", "b", "c", "d", "e"]
    assert set(states_of(engine).values()) == {states.SUCCESS}


def test_outer_retry_reverts_everything_in_its_flow(load, log):
    inner = LinearFlow("inner", retry=retry.Times(5, "inner")).add(Step("a", log))
    outer = LinearFlow("outer", retry=retry.Times(2, "outer")).add(inner, Step("b", log, fails=1))
    load(outer).run()
    # The inner retry succeeded; it starts over with the outer one.
    assert log == ["a", "b", "-b", "-a", "a", "b"]


@pytest.mark.parametrize("values", [["x", "y", "z"], ("x", "y", "z")])
def test_for_each_provides_each_value_in_turn(load, log, values):
    keep = Keep(requires=["v"])
    flow = LinearFlow("f", retry=retry.ForEach(values, "r", provides="v")).add(keep, Step("a", log, fails=2))
    engine = load(flow)
    engine.run()
    assert [arguments["v"] for arguments in keep.executed] == ["x", "y", "z"]
    assert [arguments["v"] for arguments in keep.reverted] == ["x", "y"]
    assert engine.storage.fetch("v") == "z"


def test_for_each_reverts_after_its_last_value(load, log):
    flow = LinearFlow("f", retry=retry.ForEach([1, 2], "r")).add(Step("a", log, fails=ALWAYS))
    assert final_state(load(flow), ValueError) == states.REVERTED
    assert log == ["a", "-a"] * 2


def test_for_each_without_values_fails(load, log):
    engine = load(LinearFlow("f", retry=retry.ForEach([], "r")).add(Step("a", log)))
    with pytest.raises(exc.NotFound, match=r"No elements left.*r"):
        engine.run()
    assert log == []
    assert engine.storage.get_flow_state() == states.REVERTED


def test_for_each_uses_equal_values_separately(load, log):
    flow = LinearFlow("f", retry=retry.ForEach([1, 1, 2], "r")).add(Step("a", log, fails=ALWAYS))
    final_state(load(flow), ValueError)
    assert log == ["a", "-a"] * 3


def test_parameterized_for_each_reads_its_values_from_the_flow(load, log):
    controller = retry.ParameterizedForEach("r", provides="v", rebind={"values": "hosts"})
    keep = Keep(requires=["v"])
    flow = LinearFlow("f").add(
        Step("find", log, result=["h1", "h2"], provides="hosts"),
        LinearFlow("inner", retry=controller).add(keep, Step("a", log, fails=1)),
    )
    load(flow).run()
    assert [arguments["v"] for arguments in keep.executed] == ["h1", "h2"]
    assert log == ["find", "a", "-a", "a"]


@pytest.mark.parametrize("controller", [retry.Times(1, "r", revert_all=True), retry.AlwaysRevertAll("r")])
def test_revert_all_skips_outer_retries(load, log, controller):
    inner = LinearFlow("inner", retry=controller).add(Step("b", log, fails=1))
    outer = LinearFlow("outer", retry=retry.Times(9, "outer")).add(Step("a", log), inner)
    assert final_state(load(outer), ValueError) == states.REVERTED
    assert log == ["a", "b", "-b", "-a"]


def test_always_revert_reverts_its_own_flow_only(load, log):
    inner = LinearFlow("inner", retry=retry.AlwaysRevert("r")).add(Step("b", log, fails=1))
    engine = load(LinearFlow("outer").add(Step("a", log), inner))
    assert final_state(engine, ValueError) == states.REVERTED
    assert log == ["a", "b", "-b"]


def test_retry_that_gives_up_defers_to_the_outer_one(load, log):
    inner = LinearFlow("inner", retry=retry.Times(2, "inner")).add(Step("b", log, fails=3))
    outer = LinearFlow("outer", retry=retry.Times(2, "outer")).add(Step("a", log), inner)
    engine = load(outer)
    engine.run()
    assert log == ["a", *["b", "-b"] * 2, "-a", "a", "b", "-b", "b"]
    assert engine.storage.get_flow_state() == states.SUCCESS


def test_nested_retries_are_evaluated_from_the_inside_out(load, log):
    retries = [Scripted(name, *decisions) for name, decisions in (
        ("r1", ["RETRY"]), ("r2", ["REVERT"]), ("r3", ["RETRY", "REVERT"]))]  # fmt: skip
    flow = LinearFlow("f3", retry=retries[2]).add(Step("a", log, fails=2))
    flow = LinearFlow("f2", retry=retries[1]).add(flow)
    flow = LinearFlow("f1", retry=retries[0]).add(flow)
    load(flow).run()
    assert log == ["a", "-a", "a", "-a", "a"]
    assert [len(each.histories) for each in retries] == [1, 1, 2]


def test_history_contains_values_and_failures(load):
    controller = Scripted("r", "RETRY", "RETRY", "REVERT")
    flow = LinearFlow("f", retry=controller).add(Step("a", [], fails=ALWAYS))
    engine = load(flow)
    final_state(engine, ValueError)
    assert controller.histories == [
        [(1, ["a"])],
        [(1, ["a"]), (2, ["a"])],
        [(1, ["a"]), (2, ["a"]), (3, ["a"])],
    ]
    assert controller.reverted == [controller.histories[-1]]
    # A reverted retry has no history.
    assert len(engine.storage.get_retry_history("r")) == 0


def test_history_of_a_successful_flow_is_kept(load):
    flow = LinearFlow("f", retry=retry.Times(2, "r")).add(Step("a", [], fails=1))
    engine = load(flow)
    engine.run()
    history = engine.storage.get_retry_history("r")
    assert list(history.provided_iter()) == [1, 2]
    assert [name for name, _ in history.outcomes_iter()] == ["a"]
    assert history.caused_by(ValueError, index=0)
    assert not history.caused_by(ValueError, index=1)
    assert [name for name, _ in engine.storage.get_retry_histories()] == ["r"]


def test_task_has_no_history(load):
    engine = load(Step("a", []))
    engine.run()
    with pytest.raises(exc.NotFound, match="'a' is a task"):
        engine.storage.get_retry_history("a")


def test_history_contains_all_failures_of_an_attempt(log):
    controller = Scripted("r", "RETRY", "RETRY")
    meet = threading.Barrier(2)

    class Both(Step):
        def execute(self, **kwargs):
            if self.fails:
                meet.wait(30)
            super().execute(**kwargs)

    flow = UnorderedFlow("f", retry=controller).add(Both("a", log, fails=1), Both("b", log, fails=1))
    engine = engines.load(flow, engine="parallel", max_workers=2)
    engine.run()
    assert sorted(
        {name for histories in controller.histories for _, names in histories for name in names}
    ) == ["a", "b"]
    assert len(engine.storage.get_retry_history("r")) == 2


def test_on_failure_receives_the_arguments_of_execute(load):
    class Judge(retry.Retry):
        def execute(self, limit, history):
            return None

        def on_failure(self, limit, history):
            return retry.RETRY if len(history) < limit else retry.REVERT

    log = []
    flow = LinearFlow("f", retry=Judge("j")).add(Step("a", log, fails=ALWAYS))
    assert final_state(load(flow, store={"limit": 3}), ValueError) == states.REVERTED
    assert log.count("a") == 3


@pytest.mark.parametrize(("answer", "kind", "message"), [
    ("JUNK", exc.InvalidFormat, "'r' returned 'JUNK'"),
    (None, exc.InvalidFormat, "'r' returned None"),
])  # fmt: skip
def test_invalid_decision_fails_the_flow(load, log, answer, kind, message):
    flow = LinearFlow("f", retry=Scripted("r", answer)).add(Step("a", log), Step("b", log, fails=1))
    engine = load(flow)
    with pytest.raises(kind, match=message):
        engine.run()
    assert engine.storage.get_flow_state() == states.FAILURE
    assert log == ["a", "b"]


def test_on_failure_that_raises_fails_the_flow_and_is_evaluated_again_on_the_next_run(load, log):
    class Unsure(Scripted):
        def on_failure(self, **kwargs):
            answer = super().on_failure(**kwargs)
            if answer == "unsure":
                raise LookupError("cannot tell")
            return answer

    flow = LinearFlow("f", retry=Unsure("r", "unsure", "REVERT")).add(Step("a", log, fails=1))
    engine = load(flow)
    with pytest.raises(LookupError, match="cannot tell"):
        engine.run()
    assert engine.storage.get_flow_state() == states.FAILURE
    assert states_of(engine)["a"] == states.FAILURE
    with pytest.raises(ValueError, match="a failed"):
        engine.run()
    assert engine.storage.get_flow_state() == states.REVERTED
    assert log == ["a", "-a"]


def test_retry_whose_execute_fails_is_a_failure_of_the_outer_flow(load, log):
    class Broken(Scripted):
        def execute(self, history, **kwargs):
            raise OSError("no")

    inner = LinearFlow("inner", retry=Broken("r")).add(Step("b", log))
    outer = LinearFlow("outer", retry=retry.Times(2, "outer")).add(Step("a", log), inner)
    engine = load(outer)
    assert final_state(engine, OSError) == states.REVERTED
    assert log == ["a", "-a", "a", "-a"]


def test_retry_whose_revert_fails_ends_in_revert_failure(load, log):
    class Stuck(retry.AlwaysRevert):
        def revert(self, *args, **kwargs):
            raise OSError("stuck")

    flow = LinearFlow("f", retry=Stuck("r")).add(Step("a", log, fails=1))
    engine = load(flow)
    assert final_state(engine, OSError) == states.REVERT_FAILURE
    assert states_of(engine) == {"r": states.REVERT_FAILURE, "a": states.REVERTED}


def test_failed_revert_in_a_retried_flow_ends_in_revert_failure(load, log):
    flow = LinearFlow("f", retry=retry.Times(3, "r")).add(
        Step("a", log, revert_fails=1), Step("b", log, fails=1)
    )
    engine = load(flow)
    assert final_state(engine, RuntimeError) == states.REVERT_FAILURE
    assert log == ["a", "b", "-b", "-a"]
    # Resumed, it continues where it was: revert a, then the second attempt.
    assert final_state(engine) == states.SUCCESS
    assert log == ["a", "b", "-b", "-a", "-a", "a", "b"]


def test_default_name_of_a_retry(load, log):
    engine = load(LinearFlow("f", retry=retry.Times(1)).add(Step("a", log)))
    engine.run()
    assert set(states_of(engine)) == {"f_retry", "a"}


def test_retried_siblings_are_independent(load, log):
    def side(name, fails):
        return LinearFlow(name, retry=retry.Times(3, f"{name} retry")).add(Step(name, log, fails=fails))

    flow = LinearFlow("f").add(UnorderedFlow("both").add(side("a", 2), side("b", 1)), Step("end", log))
    engine = load(flow, max_workers=2)
    engine.run()
    assert [entry for entry in log if "a" in entry] == ["a", "-a", "a", "-a", "a"]
    assert [entry for entry in log if "b" in entry] == ["b", "-b", "b"]
    assert log[-1] == "end"


@pytest.mark.parametrize("pattern", [LinearFlow, UnorderedFlow, GraphFlow])
def test_retry_is_a_provider_in_every_pattern(load, pattern):
    keep = Keep(requires=["n"])
    load(pattern("f", retry=retry.Times(1, "r", provides="n")).add(keep)).run()
    assert keep.executed == [{"n": 1}]


def test_failure_is_cleared_once_its_atom_succeeds(load, log):
    class Nosy(task.Task):
        def execute(self):
            pass

        def revert(self, flow_failures, **kwargs):
            seen.append(sorted(flow_failures))

    seen = []
    inner = LinearFlow("inner", retry=retry.Times(2, "r")).add(Step("a", log, fails=1))
    flow = LinearFlow("f").add(Nosy("n"), inner, Step("b", log, fails=1))
    assert final_state(load(flow), ValueError) == states.REVERTED
    assert seen == [["b"]]
