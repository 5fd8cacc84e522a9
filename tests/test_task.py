"""Tasks, functor tasks and their copies."""

import copy
import functools

import pytest

from stackl_flow import engines, task


class Plain(task.Task):
    def execute(self):
        pass


def add(a, b=2):
    """Add."""
    return a + b


class Adder:
    """A callable object."""

    def __call__(self, a):
        return a + 1

    def method(self, a, b):
        return a + b


def test_the_default_name_is_the_class_name():
    assert Plain().name == f"{__name__}.Plain"
    assert Plain("other").name == "other"


def test_the_notifier_accepts_task_events_only():
    work = Plain()
    assert list(work.notifier.events_iter()) == [task.EVENT_UPDATE_PROGRESS]
    with pytest.raises(ValueError, match="'other'"):
        work.notifier.register("other", print)
    assert not work.has_listeners
    work.notifier.register(task.EVENT_UPDATE_PROGRESS, print)
    assert work.has_listeners


@pytest.mark.parametrize("retain", [True, False])
def test_copy(retain):
    work = Plain("p")
    work.notifier.register("update_progress", print)
    clone = work.copy(retain_listeners=retain)
    assert clone is not work
    assert (type(clone), clone.name) == (Plain, "p")
    assert clone.has_listeners is retain
    clone.notifier.reset()
    assert work.has_listeners


# ------------------------------------------------------------------ functor tasks


@pytest.mark.parametrize(
    ("function", "name", "requires"),
    [
        (add, f"{__name__}.add", {"a"}),
        (Adder(), f"{__name__}.Adder", {"a"}),
        (Adder().method, f"{__name__}.Adder.method", {"a", "b"}),
        (functools.partial(add, 1), "functools.partial", set()),
    ],
)
def test_a_functor_task_has_the_name_and_inputs_of_its_function(function, name, requires):
    work = task.FunctorTask(function)
    assert work.name == name
    assert work.requires == requires


def test_a_functor_task_calls_its_function():
    assert engines.run(task.FunctorTask(add, provides="sum"), store={"a": 1}) == {"a": 1, "sum": 3}


def test_a_functor_task_accepts_the_arguments_of_a_task():
    work = task.FunctorTask(add, "n", "x", rebind={"a": "q"}, version=(2, 3), inject={"b": 5})
    assert (work.name, work.version, work.provides, work.requires) == ("n", (2, 3), {"x"}, {"q"})
    assert engines.run(work, store={"q": 1})["x"] == 6


def test_a_functor_task_without_auto_extract():
    work = task.FunctorTask(add, auto_extract=False, requires=["a"])
    assert (work.requires, work.optional) == ({"a"}, frozenset())


def test_inputs_of_the_revert_function():
    work = task.FunctorTask(add, revert=lambda z, result, flow_failures: None)
    assert work.requires == {"a", "z"}
    assert work.revert_rebind == {"z": "z"}


def test_a_functor_task_without_revert():
    assert task.FunctorTask(add).revert(a=1, result=3, flow_failures={}) is None


@pytest.mark.parametrize(
    ("kwargs", "purpose"), [({"execute": 5}, "executing"), ({"execute": add, "revert": 5}, "reverting")]
)
def test_functions_must_be_callable(kwargs, purpose):
    with pytest.raises(ValueError, match=f"{purpose} must be callable"):
        task.FunctorTask(**kwargs)


# ------------------------------------------------------------------ map and reduce


def test_reduce_in_the_order_of_the_names():
    work = task.ReduceFunctorTask(lambda x, y: x - y, requires=["c", "a", "b"], provides="r")
    assert engines.run(work, store={"a": 2, "b": 3, "c": 10})["r"] == 5


def test_map_in_the_order_of_the_names():
    work = task.MapFunctorTask(lambda x: x * 2, requires=["b", "a"], provides="r")
    assert engines.run(work, store={"a": 1, "b": 2})["r"] == [4, 2]


@pytest.mark.parametrize(
    ("kind", "function", "result"),
    [(task.MapFunctorTask, lambda x: x, [9, 2]), (task.ReduceFunctorTask, lambda x, y: x - y, 7)],
)
def test_map_and_reduce_with_rebind(kind, function, result):
    work = kind(function, requires=["a", "b"], rebind={"a": "z"}, provides="r")
    assert engines.run(work, store={"z": 9, "b": 2})["r"] == result


def test_map_with_injected_values():
    work = task.MapFunctorTask(lambda x: x * 2, requires=["a", "b"], inject={"b": 5}, provides="r")
    assert engines.run(work, store={"a": 1})["r"] == [2, 10]


@pytest.mark.parametrize(
    ("kind", "args", "error", "message"),
    [
        (task.ReduceFunctorTask, (lambda x, y: x, ["a"]), ValueError, "at least 2"),
        (task.ReduceFunctorTask, (lambda x: x, ["a", "b"]), ValueError, "exactly 2"),
        (task.ReduceFunctorTask, (lambda x, y: x, "ab"), TypeError, "must be an iterable"),
        (task.ReduceFunctorTask, (lambda x, y: x, 5), TypeError, "must be an iterable"),
        (task.ReduceFunctorTask, (5, ["a", "b"]), ValueError, "must be callable"),
        (task.MapFunctorTask, (lambda x: x, []), ValueError, "at least 1"),
        (task.MapFunctorTask, (lambda x, y: x, ["a"]), ValueError, "exactly 1"),
        (task.MapFunctorTask, (lambda x: x, "ab"), TypeError, "must be an iterable"),
        (task.MapFunctorTask, (5, ["a"]), ValueError, "must be callable"),
    ],
)
def test_invalid_map_and_reduce_arguments(kind, args, error, message):
    with pytest.raises(error, match=message):
        kind(*args)


def test_a_task_copied_with_copy_reports_progress_to_its_own_engine():
    first = Plain("a")
    notified, reported = [], []
    first.notifier.register(task.EVENT_UPDATE_PROGRESS, lambda event, details: notified.append(details))
    clone = copy.copy(first)
    clone.progress_callback = lambda progress, details: reported.append((progress, details))
    clone.update_progress(0.5, file="x")
    assert reported == [(0.5, {"file": "x"})]
    assert notified == [{"progress": 0.5, "file": "x"}]
