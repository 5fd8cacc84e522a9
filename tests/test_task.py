"""Tasks, those made of functions, and their copies."""

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
    """Something that can be called."""

    def __call__(self, a):
        return a + 1

    def method(self, a, b):
        return a + b


def test_a_task_is_named_after_its_class():
    assert Plain().name == f"{__name__}.Plain"
    assert Plain("other").name == "other"


def test_a_task_tells_of_its_own_events_only():
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
    twin = work.copy(retain_listeners=retain)
    assert twin is not work
    assert (type(twin), twin.name) == (Plain, "p")
    assert twin.has_listeners is retain
    twin.notifier.reset()
    assert work.has_listeners


# ------------------------------------------------------------------ of a function


@pytest.mark.parametrize(
    ("function", "name", "requires"),
    [
        (add, f"{__name__}.add", {"a"}),
        (Adder(), f"{__name__}.Adder", {"a"}),
        (Adder().method, f"{__name__}.Adder.method", {"a", "b"}),
        (functools.partial(add, 1), "functools.partial", set()),
    ],
)
def test_a_functor_task_is_named_after_its_function_and_takes_what_it_takes(function, name, requires):
    work = task.FunctorTask(function)
    assert work.name == name
    assert work.requires == requires


def test_a_functor_task_calls_its_function():
    assert engines.run(task.FunctorTask(add, provides="sum"), store={"a": 1}) == {"a": 1, "sum": 3}


def test_a_functor_task_takes_the_words_of_a_task():
    work = task.FunctorTask(add, "n", "x", rebind={"a": "q"}, version=(2, 3), inject={"b": 5})
    assert (work.name, work.version, work.provides, work.requires) == ("n", (2, 3), {"x"}, {"q"})
    assert engines.run(work, store={"q": 1})["x"] == 6


def test_a_functor_task_without_extraction():
    work = task.FunctorTask(add, auto_extract=False, requires=["a"])
    assert (work.requires, work.optional) == ({"a"}, frozenset())


def test_what_its_revert_takes():
    work = task.FunctorTask(add, revert=lambda z, result, flow_failures: None)
    assert work.requires == {"a", "z"}
    assert work.revert_rebind == {"z": "z"}


def test_a_functor_task_without_revert_undoes_nothing():
    assert task.FunctorTask(add).revert(a=1, result=3, flow_failures={}) is None


@pytest.mark.parametrize(
    ("kwargs", "word"), [({"execute": 5}, "executing"), ({"execute": add, "revert": 5}, "reverting")]
)
def test_what_cannot_be_called_is_refused(kwargs, word):
    with pytest.raises(ValueError, match=f"{word} must be callable"):
        task.FunctorTask(**kwargs)


# ------------------------------------------------------------------ over many


def test_reduce_folds_in_the_order_of_the_names():
    work = task.ReduceFunctorTask(lambda x, y: x - y, requires=["c", "a", "b"], provides="r")
    assert engines.run(work, store={"a": 2, "b": 3, "c": 10})["r"] == 5


def test_map_calls_for_each_in_the_order_of_the_names():
    work = task.MapFunctorTask(lambda x: x * 2, requires=["b", "a"], provides="r")
    assert engines.run(work, store={"a": 1, "b": 2})["r"] == [4, 2]


@pytest.mark.parametrize(
    ("kind", "function", "found"),
    [(task.MapFunctorTask, lambda x: x, [9, 2]), (task.ReduceFunctorTask, lambda x, y: x - y, 7)],
)
def test_over_many_with_rebind(kind, function, found):
    work = kind(function, requires=["a", "b"], rebind={"a": "z"}, provides="r")
    assert engines.run(work, store={"z": 9, "b": 2})["r"] == found


def test_over_many_with_injected_values():
    work = task.MapFunctorTask(lambda x: x * 2, requires=["a", "b"], inject={"b": 5}, provides="r")
    assert engines.run(work, store={"a": 1})["r"] == [2, 10]


@pytest.mark.parametrize(
    ("kind", "args", "error", "words"),
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
def test_misuse_is_refused(kind, args, error, words):
    with pytest.raises(error, match=words):
        kind(*args)


def test_a_task_copied_by_other_means_tells_its_own_engine_of_its_progress():
    first = Plain("a")
    heard, told = [], []
    first.notifier.register(task.EVENT_UPDATE_PROGRESS, lambda event, details: heard.append(details))
    twin = copy.copy(first)
    twin.progress_callback = lambda progress, details: told.append((progress, details))
    twin.update_progress(0.5, file="x")
    assert told == [(0.5, {"file": "x"})]
    assert heard == [{"progress": 0.5, "file": "x"}]
