"""Bodies that would never run: refused when the task or the flow is made."""

import functools
import operator

import pytest

from stackl_flow import (
    FunctorTask,
    GraphFlow,
    MapFunctorTask,
    ReduceFunctorTask,
    Retry,
    Task,
    engines,
    states,
)
from stackl_flow import exceptions as exc
from stackl_flow.decorators import task


def generator(x=1, y=2):
    yield x


async def async_generator(x=1, y=2):
    yield x


async def coroutine(x=1, y=2):
    return x


def plain(x=1, y=2):
    return x


class GeneratorObject:
    def __call__(self, x=1, y=2):
        yield x

    def method(self, x=1, y=2):
        yield x

    @classmethod
    def of_class(cls, x=1, y=2):
        yield x

    @staticmethod
    async def static(x=1, y=2):
        yield x


@functools.lru_cache
def cached(x=1, y=2):
    yield x


GENERATORS = {
    "generator": generator,
    "async generator": async_generator,
    "lambda": lambda x=1, y=2: (yield x),
    "partial": functools.partial(generator, y=3),
    "partial of a partial": functools.partial(functools.partial(generator), y=3),
    "partial of a method": functools.partial(GeneratorObject().method, y=3),
    "callable object": GeneratorObject(),
    "method": GeneratorObject().method,
    "method of a class": GeneratorObject.of_class,
    "static method": GeneratorObject.static,
    "partial of a callable object": functools.partial(GeneratorObject(), y=3),
    "cached": cached,
}
BODIES = pytest.mark.parametrize("body", GENERATORS.values(), ids=GENERATORS)


@BODIES
def test_generators_are_refused_as_functions_of_a_task(body):
    with pytest.raises(exc.NotABody, match=r"atom 'pay' is an? (async )?generator function.*never run"):
        FunctorTask(body, name="pay")
    with pytest.raises(exc.NotABody, match=r"atom 'pay' is an? (async )?generator"):
        FunctorTask(plain, name="pay", revert=body)
    with pytest.raises(exc.NotABody, match="generator"):
        task(body, name="pay")
    with pytest.raises(exc.NotABody, match="generator"):
        task(plain, name="pay", revert=body)


@pytest.mark.parametrize("body", [generator, async_generator])
@pytest.mark.parametrize("method", ["execute", "revert"])
def test_generators_are_refused_as_methods(body, method):
    kind = type("Pay", (Task,), {"execute": lambda self: None, method: lambda self: None})
    kind("pay")
    kind = type("Pay", (Task,), {"execute": lambda self: None, method: body})
    with pytest.raises(exc.NotABody, match=f"{body.__name__}' of atom 'pay' is an? .*generator"):
        kind("pay")


@pytest.mark.parametrize("body", [generator, async_generator, coroutine])
@pytest.mark.parametrize("hook", ["pre_execute", "post_execute", "pre_revert", "post_revert"])
def test_hooks_that_would_never_run_are_refused(body, hook):
    kind = type("Pay", (Task,), {"execute": lambda self: None, hook: body})
    with pytest.raises(exc.NotABody, match=f"'{hook}' of Pay is an? .*never run"):
        kind("pay")


@pytest.mark.parametrize("method", ["execute", "revert", "on_failure"])
def test_generators_are_refused_as_methods_of_a_retry(method):
    body = {"execute": lambda self, history: 1, "on_failure": lambda self, history: "REVERT"}
    kind = type("Policy", (Retry,), {**body, method: lambda self, history: (yield)})
    with pytest.raises(exc.NotABody, match=r"of (atom|retry) 'r' is a generator"):
        kind("r")


def test_async_on_failure_is_refused():
    class Policy(Retry):
        def execute(self, history):
            return 1

        async def on_failure(self, history):
            return "REVERT"

    with pytest.raises(exc.NotABody, match=r"'on_failure' of retry 'r' is an async function"):
        Policy("r")


@pytest.mark.parametrize("body", [*GENERATORS.values(), coroutine])
def test_deciders_that_always_agree_are_refused(body):
    a, b = FunctorTask(plain, name="a"), FunctorTask(plain, name="b")
    flow = GraphFlow("f").add(a, b)
    with pytest.raises(exc.NotABody, match=r"decider between 'a' and 'b' is .*never run"):
        flow.link(a, b, decider=body)
    with pytest.raises(ValueError, match="never run"):
        flow.link(a, b, decider=body)
    assert list(flow.iter_links()) == []


@pytest.mark.parametrize("body", [generator, async_generator, coroutine])
def test_deciders_that_return_a_body_fail(body):
    a, b = FunctorTask(plain, name="a"), FunctorTask(plain, name="b")
    flow = GraphFlow("f").add(a, b).link(a, b, decider=lambda history: body())
    engine = engines.load(flow)
    with pytest.raises(exc.NotABody, match="not True or False"):
        engine.run()
    assert engine.storage.get_atom_state("b") == states.PENDING


@pytest.mark.parametrize("body", [generator, async_generator, coroutine, functools.partial(generator)])
def test_functors_that_would_never_run_are_refused(body):
    with pytest.raises(exc.NotABody, match=r"reduce functor .* is .*never run"):
        ReduceFunctorTask(body, requires=["a", "b"])
    one = functools.partial(body, 1)
    with pytest.raises(exc.NotABody, match=r"map functor .* is .*never run"):
        MapFunctorTask(one, requires=["a"])


@pytest.mark.parametrize("function", [min, max, iter, getattr])
def test_built_in_functions_without_a_signature_are_refused_with_a_remedy(function):
    for make in (
        lambda: FunctorTask(function, name="pay"),
        lambda: FunctorTask(plain, name="pay", revert=function),
        lambda: FunctorTask(function, name="pay", requires=["a"], auto_extract=False),
        lambda: ReduceFunctorTask(function, requires=["a", "b"]),
        lambda: MapFunctorTask(function, requires=["a"]),
        lambda: task(function, name="pay"),
    ):
        with pytest.raises(
            exc.NotABody, match=r"signature.*wrap it in a function.*lambda x: |by position only"
        ):
            make()


def test_built_in_decider_without_a_signature_is_refused():
    a, b = FunctorTask(plain, name="a"), FunctorTask(plain, name="b")
    with pytest.raises(exc.NotABody, match=r"no signature.*wrap it"):
        GraphFlow("f").add(a, b).link(a, b, decider=max)


def test_arguments_that_cannot_be_passed_by_keyword_are_refused():
    with pytest.raises(exc.NotABody, match=r"\['obj'\] by position only.*wrap it"):
        FunctorTask(len, name="pay")

    def optional(x=1, /, y=2):
        return x + y

    assert FunctorTask(optional, name="pay").optional == {"y"}


def test_what_runs_is_accepted():
    class Runs:
        def __call__(self, x):
            return x + 1

    @functools.wraps(generator)
    def collected(x=1, y=2):
        return list(generator(x, y))

    assert engines.run(FunctorTask(Runs(), name="a", provides="b"), store={"x": 1})["b"] == 2
    assert engines.run(FunctorTask(collected, name="a", provides="b"), store={"x": 1})["b"] == [1]
    add = ReduceFunctorTask(operator.add, requires=["x", "y"], provides="z")
    assert engines.run(add, store={"x": 1, "y": 2})["z"] == 3
    size = MapFunctorTask(len, requires=["x"], provides="z")
    assert engines.run(size, store={"x": [1]})["z"] == [1]
    FunctorTask(functools.partial(plain, y=3), name="a")
