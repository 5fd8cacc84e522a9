"""The task decorator."""

import pytest

from stackl_flow import LinearFlow, engines
from stackl_flow.decorators import task
from stackl_flow.task import FunctorTask


def test_decorator_without_arguments():
    @task
    def greet(name):
        return f"hello {name}"

    assert isinstance(greet, FunctorTask)
    assert greet.name == "greet"
    assert greet.requires == {"name"}


def test_decorator_with_arguments():
    reverted = []

    @task(name="hi", provides="x", rebind={"a": "b"}, revert=lambda result, **_: reverted.append(result))
    def add_one(a):
        return a + 1

    @task
    def fail(x):
        raise ValueError(x)

    engine = engines.load(LinearFlow("f").add(add_one, fail), store={"b": 1})
    with pytest.raises(ValueError, match="2"):
        engine.run()
    assert reverted == [2]
    assert add_one.name == "hi"


def test_explicit_requires():
    @task(requires=["z"], provides="x")
    def collect(**kwargs):
        return sorted(kwargs)

    assert engines.run(collect, store={"z": 1})["x"] == ["z"]
