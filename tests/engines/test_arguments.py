"""Arguments of execute and revert, and missing inputs."""

import re

import pytest

from stackl_flow import LinearFlow, UnorderedFlow, engines, states, task
from stackl_flow import exceptions as exc
from tests.engines.tasks import Keep, Step, final_state


def functor(function, name="f", **kwargs):
    return task.FunctorTask(function, name=name, provides="out", **kwargs)


def test_arguments_are_read_from_the_signature(load):
    assert engines.run(functor(lambda x, y: x - y), store={"x": 5, "y": 3})["out"] == 2


def test_optional_argument_without_provider_is_left_out():
    assert engines.run(functor(lambda x, y=10: x + y), store={"x": 1})["out"] == 11


def test_optional_argument_with_provider_is_passed():
    assert engines.run(functor(lambda x, y=10: x + y), store={"x": 1, "y": 2})["out"] == 3


def test_optional_argument_of_invisible_provider_is_left_out():
    flow = UnorderedFlow("u").add(Step("a", [], provides="y"), functor(lambda y=10: y))
    assert engines.run(flow)["out"] == 10


def test_keyword_only_arguments_are_passed():
    def execute(*, x, y=2):
        return x + y

    assert engines.run(functor(execute), store={"x": 1})["out"] == 3


def test_rebind_by_name_and_by_order():
    store = {"a": 7, "b": 2}
    assert engines.run(functor(lambda x, y: x - y, rebind={"x": "a", "y": "b"}), store=store)["out"] == 5
    assert engines.run(functor(lambda x, y: x - y, rebind=("b", "a")), store=store)["out"] == -5


@pytest.mark.parametrize(
    ("provides", "result", "named"),
    [
        ("x", [1, 2], {"x": [1, 2]}),
        (("x", "y"), [1, 2, 3], {"x": 1, "y": 2}),
        (["x", "y"], (1, 2), {"x": 1, "y": 2}),
        ({"x", "y"}, {"x": 1, "y": 2, "z": 3}, {"x": 1, "y": 2}),
        ((), 5, {}),
        (("x", "y"), [1], {"x": 1}),
        ({"x", "y"}, {"y": 2}, {"y": 2}),
        (("x",), 5, {}),
    ],
)
def test_provides_selects_parts_of_the_result(provides, result, named):
    assert engines.run(task.FunctorTask(lambda: result, name="f", provides=provides)) == named


def test_requires_passes_names_that_are_not_in_the_signature(load):
    keep = Keep(requires=["x"], revert_requires=["y"])
    final_state(load(LinearFlow("f").add(keep, Step("bad", [], fails=1)), store={"x": 1, "y": 2}), ValueError)
    assert keep.executed == [{"x": 1}]
    (undone,) = keep.reverted
    assert set(undone) == {"y", "result", "flow_failures"}


@pytest.mark.parametrize(
    "make",
    [
        lambda seen: lambda: seen.append("called"),
        lambda seen: lambda result: seen.append((result,)),
        lambda seen: lambda flow_failures: seen.append(sorted(flow_failures)),
        lambda seen: lambda result, **kwargs: seen.append((result, sorted(kwargs))),
    ],
)
def test_revert_function_receives_only_what_it_accepts(load, make):
    seen = []
    work = task.FunctorTask(lambda: 5, name="a", revert=make(seen))
    assert (
        final_state(load(LinearFlow("f").add(work, Step("bad", [], fails=1))), ValueError) == states.REVERTED
    )
    assert seen in (["called"], [(5,)], [["bad"]], [(5, ["flow_failures"])])


def test_revert_method_receives_only_what_it_accepts(load):
    class Plain(task.Task):
        def execute(self):
            return 5

        def revert(self):
            seen.append("called")

    seen = []
    assert (
        final_state(load(LinearFlow("f").add(Plain("p"), Step("bad", [], fails=1))), ValueError)
        == states.REVERTED
    )
    assert seen == ["called"]


# ------------------------------------------------------------------ missing inputs


def test_all_missing_inputs_are_reported_before_anything_runs(load, log):
    flow = LinearFlow("f").add(
        Step("a", log),
        Step("b", log, requires=["p", "q"]),
        functor(lambda r: r, name="c"),
    )
    engine = load(flow)
    with pytest.raises(exc.MissingDependencies) as caught:
        engine.run()
    text = str(caught.value)
    assert caught.value.missing_requirements == ["p", "q", "r"]
    assert "flow 'f'" in text
    assert "'execute'" in text
    assert '"b==1.0"' in text
    assert '"c==1.0"' in text
    assert "store=" in text
    assert log == []
    assert engine.storage.get_flow_state() == states.PENDING


def test_missing_inputs_of_revert_are_reported(load):
    class Undo(task.Task):
        def execute(self):
            pass

        def revert(self, z, **kwargs):
            pass

    with pytest.raises(exc.MissingDependencies, match=r"method 'revert'.*u==1.0.*\['z'\]"):
        load(LinearFlow("f").add(Undo("u"))).run()


def test_error_of_a_lone_task_names_the_task(load):
    with pytest.raises(
        exc.MissingDependencies, match=r"method 'execute' of \"f==1.0\" is missing required inputs \['x'\]"
    ):
        load(functor(lambda x: x)).run()


@pytest.mark.parametrize(
    ("store", "hint"),
    [
        ({"titel": 1}, r"did you mean 'titel' instead of 'title'\?$"),
        ({"made": 1}, r"did you mean 'tittle' instead of 'title'\?"),
        ({1: 2}, r"did you mean 'tittle'"),
    ],
)
def test_misspelled_name_gets_a_suggestion(load, log, store, hint):
    made = Step("a", log, **({} if "titel" in store else {"provides": "tittle"}))
    flow = LinearFlow("f").add(made, functor(lambda title: title))
    with pytest.raises(exc.MissingDependencies) as caught:
        load(flow, store=store).run()
    assert re.search(hint, caught.value.args[0])


@pytest.mark.parametrize("kind", [LinearFlow, UnorderedFlow])
def test_provider_that_runs_too_late_is_reported(load, log, kind):
    late = Step("late", log, provides="title")
    with pytest.raises(exc.MissingDependencies, match="; 'late' provides 'title', but does not run before"):
        load(kind("f").add(functor(lambda title: title), late)).run()


def test_name_without_similar_ones_gets_no_suggestion(load, log):
    with pytest.raises(exc.MissingDependencies) as caught:
        load(functor(lambda title: title), store={"size": 1}).run()
    assert "was" not in caught.value.args[0]


def test_missing_input_can_be_injected_later(load):
    engine = load(functor(lambda x: x))
    with pytest.raises(exc.MissingDependencies):
        engine.run()
    engine.storage.inject({"x": 3})
    engine.run()
    assert engine.storage.fetch("out") == 3
