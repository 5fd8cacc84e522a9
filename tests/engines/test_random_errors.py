"""Random errors, with graphs of causes, groups, notes and odd arguments: the flow ends as with any other."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from stackl_flow import Decision, GraphFlow, LinearFlow, Retry, Task, codec, engines, states
from stackl_flow.failure import Failure
from stackl_flow.persistence import backends
from tests.engines.tasks import Step
from tests.support import unreadable

#: The largest text of one failure in a store.
MAX_SIZE = 500_000

KINDS = [
    ValueError, KeyError, OSError, StopIteration, RecursionError, UserWarning, SystemExit, GeneratorExit,
    BaseException, type("Local", (Exception,), {}), type("Many\n", (ValueError,), {}),
]  # fmt: skip
ARGUMENTS = some.lists(
    some.one_of(
        some.none(),
        some.text(some.characters(exclude_categories=()), max_size=20),
        some.floats(),
        some.binary(max_size=10),
        some.builds(object),
        some.just("x" * 100_000),
        some.recursive(some.integers(), some.lists, max_leaves=5),
    ),
    max_size=3,
)
SIMPLE = some.builds(lambda kind, args: kind(*args), some.sampled_from(KINDS), ARGUMENTS)


def has_class(make):
    """Return whether an error has a class to ask for, as Hypothesis does."""
    try:
        return bool(make().__class__)
    except Exception:  # noqa: BLE001  of any kind
        return False


UNREADABLE = some.sampled_from([make for make in unreadable.ERRORS.values() if has_class(make)]).map(
    lambda make: make()
)
GROUPS = some.lists(SIMPLE, min_size=1, max_size=4).map(lambda errors: BaseExceptionGroup("many", errors))


@some.composite
def errors(draw):
    """An error whose causes and contexts are any of several others, itself among them."""
    pool = draw(some.lists(some.one_of(SIMPLE, GROUPS, UNREADABLE), min_size=1, max_size=6))
    for error in pool:
        others = some.one_of(some.none(), some.sampled_from(pool))
        with contextlib.suppress(Exception):  # some refuse to be changed
            error.__cause__, error.__context__ = draw(others), draw(others)
            error.__suppress_context__ = draw(some.booleans())
        with contextlib.suppress(Exception):
            error.__notes__ = draw(some.one_of(some.none(), some.lists(some.text(max_size=10), max_size=3)))
    return pool[0]


class Raise(Task):
    def __init__(self, where, error):
        super().__init__("raise")
        self.where, self.error = where, error

    def execute(self):
        raise self.error if self.where == "execute" else ValueError("to revert")

    def revert(self, **_):
        if self.where == "revert":
            raise self.error


class Policy(Retry):
    def __init__(self, where, error):
        super().__init__("policy")
        self.where, self.error = where, error

    def execute(self, history):
        return None

    def on_failure(self, history):
        if self.where == "on_failure":
            raise self.error
        return Decision.REVERT_ALL


def make_flow(where, error, log):
    def decide(history):
        if where == "decider":
            raise error
        return True

    first, last = Step("first", log), LinearFlow("last", retry=Policy(where, error)).add(Raise(where, error))
    flow = GraphFlow("f").add(first, last)
    flow.link(first, last, decider=decide)
    return flow


@pytest.mark.parametrize(
    ("where", "state"),
    [
        ("execute", states.REVERTED),
        ("revert", states.REVERT_FAILURE),
        ("on_failure", states.FAILURE),
        ("decider", states.FAILURE),
    ],
)
@pytest.mark.parametrize("kind", ["serial", "parallel"])
@settings(max_examples=15)
@given(error=errors())
def test_the_flow_ends_and_its_failure_can_be_stored(where, state, kind, error):
    log = []
    with backends.backend("memory") as backend:
        engine = engines.load(make_flow(where, error, log), engine=kind, backend=backend)
        with pytest.raises(BaseException):  # noqa: B017, PT011  of any kind
            engine.run()
        assert engine.storage.get_flow_state() == state
        with backend.get_connection() as connection:
            stored = connection.get_flow_details(engine.storage.flow_uuid)
        for detail in stored:
            for failure in filter(None, (detail.failure, detail.revert_failure)):
                check(failure)
        if state != states.REVERTED:  # it can be resumed by code that is repaired
            flow = make_flow(None, None, log)
            engine = engines.load(flow, engine=kind, backend=backend, flow_detail=stored)
            with pytest.raises(BaseException):  # noqa: B017, PT011  of any kind
                engine.run()
            assert engine.storage.get_flow_state() == states.REVERTED
        assert log == ["first", "-first"]


def check(failure):
    """Check that a failure is of bounded size, and the same after a round trip."""
    text = codec.encode(failure)
    assert len(text) < MAX_SIZE
    again = codec.decode(text)
    assert isinstance(again, Failure)
    assert again.matches(failure)
    assert again.traceback_str == failure.traceback_str
    assert len(again.causes) == len(failure.causes) <= 50
    assert codec.encode(again) == text
    for each in (failure, *failure.causes):
        each.pformat(traceback=True).encode()
