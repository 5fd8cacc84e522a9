"""Tasks made by decoration."""

import pytest

from stackl_flow import LinearFlow, engines
from stackl_flow.decorators import task
from stackl_flow.task import FunctorTask


def test_a_bare_decorator():
    @task
    def greet(name):
        return f"hello {name}"

    assert isinstance(greet, FunctorTask)
    assert greet.name == "greet"
    assert greet.requires == {"name"}


def test_a_decorator_with_words():
    undone = []

    @task(name="hi", provides="x", rebind={"a": "b"}, revert=lambda result, **_: undone.append(result))
    def give(a):
        return a + 1

    @task
    def fail(x):
        raise ValueError(x)

    engine = engines.load(LinearFlow("f").add(give, fail), store={"b": 1})
    with pytest.raises(ValueError, match="2"):
        engine.run()
    assert undone == [2]
    assert give.name == "hi"


def test_manual_requires():
    @task(requires=["z"], provides="x")
    def take(**kwargs):
        return sorted(kwargs)

    assert engines.run(take, store={"z": 1})["x"] == ["z"]
