"""Flows with many failures: what a failure costs does not grow with their number."""

import collections
import copy
import json
import pickle
import sys
import threading

import pytest

from stackl_flow import Decision, LinearFlow, Retry, Task, UnorderedFlow, engines, states
from stackl_flow.engines.lazy_copy import LazyCopy
from tests.engines.tasks import final_state


class Fail(Task):
    def execute(self):
        raise ValueError(self.name)

    def revert(self, **kwargs):
        pass


class FailToo(Fail):
    """Cannot be undone either."""

    def revert(self, **kwargs):
        raise RuntimeError(self.name)


class Once(Retry):
    """Retries once."""

    def execute(self, history):
        return len(history)

    def on_failure(self, history):
        return Decision.RETRY if len(history) < 2 else Decision.REVERT


def tasks(count, kind=Fail):
    return [kind(f"t{number}") for number in range(count)]


def inner(count):
    return [LinearFlow(f"f{n}", retry=Once(f"r{n}")).add(task) for n, task in enumerate(tasks(count))]


def siblings(count):
    """Return flows whose first failure blocks a task that is queued."""
    return [
        UnorderedFlow(f"f{n}", retry=Once(f"r{n}")).add(Fail(f"a{n}"), Fail(f"b{n}")) for n in range(count)
    ]


FLOWS = {
    "tasks": lambda count: UnorderedFlow("f").add(*tasks(count)),
    "tasks that cannot be undone": lambda count: UnorderedFlow("f").add(*tasks(count, FailToo)),
    "tasks of one retry": lambda count: UnorderedFlow("f", retry=Once("r")).add(*tasks(count)),
    "tasks with queued siblings": lambda count: UnorderedFlow("f").add(*siblings(count)),
    "tasks with a retry each": lambda count: UnorderedFlow("f").add(*inner(count)),
}


def steps_of(flow):
    """Run a flow and return how many lines of Python that takes."""
    engine = engines.load(flow)
    engine.compile()
    engine.prepare()
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        final_state(engine, Exception)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("make", FLOWS.values(), ids=FLOWS)
def test_cost_is_proportional_to_the_number_of_failures(make):
    few, many = steps_of(make(50)), steps_of(make(400))
    assert many < 8 * 1.3 * few


def test_each_revert_receives_its_own_failures():
    received, together = [], threading.Barrier(3)

    class Undo(Fail):
        def execute(self):
            together.wait(60)
            raise ValueError(self.name)

        def revert(self, flow_failures, **kwargs):
            received.append(sorted(flow_failures))
            flow_failures.clear()

    flow = UnorderedFlow("f").add(*tasks(3, Undo))
    assert final_state(engines.load(flow, engine="parallel", max_workers=3), Exception) == states.REVERTED
    assert len(received) == 3
    assert max(received, key=len) == ["t0", "t1", "t2"], "what another revert changed is not missing"


@pytest.mark.parametrize(
    "read",
    [
        dict, list, len, bool, repr, sorted, copy.copy, copy.deepcopy, json.dumps, reversed,
        lambda d: {**d}, lambda d: [*d], lambda d: d == {"a": 1, "b": [2]}, lambda d: d != {"a": 1, "b": [2]},
        lambda d: d | {"c": 3}, lambda d: {"c": 3} | d, lambda d: d.__ior__({"c": 3}), lambda d: "a" in d,
        lambda d: d["a"], lambda d: d.get("a"), lambda d: d.pop("a"), lambda d: d.popitem(),
        lambda d: list(d.items()), lambda d: list(d.keys()), lambda d: list(d.values()), lambda d: d.copy(),
        lambda d: collections.OrderedDict(**d), lambda d: pickle.loads(pickle.dumps(d)),  # noqa: S301  pickled here
    ],
)  # fmt: skip
def test_lazy_copy_is_read_like_a_dictionary(read):
    source = {"a": 1, "b": [2]}
    found, expected = read(LazyCopy(source)), read(dict(source))
    if read is reversed:
        found, expected = list(found), list(expected)
    assert found == expected
    assert source == {"a": 1, "b": [2]}


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.clear(), lambda d: d.update(c=3), lambda d: d.setdefault("c", 3), lambda d: d.pop("a"),
        lambda d: d.__setitem__("a", 2), lambda d: d.__delitem__("a"),
    ],
)  # fmt: skip
def test_lazy_copy_is_changed_like_a_dictionary(change):
    source = {"a": 1, "b": [2]}
    found, expected = LazyCopy(source), dict(source)
    change(found)
    change(expected)
    assert dict(found) == expected
    assert isinstance(found, dict)
    assert source == {"a": 1, "b": [2]}
