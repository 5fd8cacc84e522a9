"""Large flows: long chains, wide layers, deep nesting and a large fan-in, forwards, backwards and resumed."""

from __future__ import annotations

import contextlib
import uuid
from collections import Counter
from typing import Any

import pytest

from stackl_flow import engines, task
from stackl_flow.exceptions import WrappedFailure
from stackl_flow.patterns import graph_flow, linear_flow, unordered_flow
from stackl_flow.persistence import backends, factory
from stackl_flow.testing.interception import InterceptedBackend

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHAIN = 10_000
SIDE = 100
FAN_IN = 1_000


class Boom(Exception):
    """The planned failure."""


class Count(task.Task):
    """Counts its calls in this process."""

    def __init__(self, calls: Counter[str], name: str, requires: Any = (), *, fails: bool = False) -> None:
        super().__init__(name, provides=name, requires=requires)
        self.calls, self.fails = calls, fails

    def execute(self, **given: int) -> int:
        self.calls["execute"] += 1
        if self.fails:
            raise Boom(self.name)
        return 1 + max(given.values(), default=0)

    def revert(self, **_: Any) -> None:
        self.calls["revert"] += 1


def chain(calls: Counter[str], *, fails: bool) -> Any:
    tasks = [Count(calls, f"t{n}", [f"t{n - 1}"] if n else []) for n in range(CHAIN - 1)]
    return linear_flow.Flow("chain").add(*tasks, Count(calls, "last", [f"t{CHAIN - 2}"], fails=fails))


def layers(calls: Counter[str], *, fails: bool) -> Any:
    """100 layers of 100 tasks; each task requires one of the layer before."""
    flow = linear_flow.Flow("layers")
    for layer in range(SIDE):
        tasks = [Count(calls, f"t{layer}.{n}", [f"t{layer - 1}.{n}"] if layer else []) for n in range(SIDE)]
        flow.add(unordered_flow.Flow(f"layer {layer}").add(*tasks))
    return flow.add(Count(calls, "last", [f"t{SIDE - 1}.0"], fails=fails))


def nested(calls: Counter[str], *, fails: bool) -> Any:
    """100 flows inside each other, each with 100 tasks."""
    inner: Any = Count(calls, "last", ["t0.0"], fails=fails)
    for depth in reversed(range(SIDE)):
        tasks = [Count(calls, f"t{depth}.{n}") for n in range(SIDE)]
        inner = linear_flow.Flow(f"depth {depth}").add(unordered_flow.Flow(f"at {depth}").add(*tasks), inner)
    return inner


def fan_in(calls: Counter[str], *, fails: bool) -> Any:
    names = [f"t{n}" for n in range(FAN_IN)]
    flow = graph_flow.Flow("fan-in").add(*(Count(calls, name) for name in names))
    return flow.add(Count(calls, "last", names, fails=fails))


#: Flows: how to make them, their number of tasks, and the value of the last one.
FLOWS = {
    "chain": (chain, CHAIN, CHAIN),
    "layers": (layers, SIDE * SIDE + 1, SIDE + 1),
    "nested": (nested, SIDE * SIDE + 1, 2),
    "fan-in": (fan_in, FAN_IN + 1, 2),
}


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def backend(request, tmp_path):
    url = {
        "memory": lambda: f"memory://{uuid.uuid4().hex}",
        "sqlite": lambda: f"sqlite:///{tmp_path}/flows.db",
        "postgresql": lambda: request.getfixturevalue("postgresql_url"),
    }[request.param]()
    with backends.backend(url) as opened:
        yield opened


def load(flow: Any, backend: Any, detail: Any = None, book: Any = None, engine: str = "serial") -> Any:
    options = {"max_workers": 4} if engine == "parallel" else {}
    return engines.load(flow, backend=backend, flow_detail=detail, book=book, engine=engine, **options)


@pytest.mark.parametrize("engine", ["serial", "parallel"])
@pytest.mark.parametrize("name", FLOWS)
def test_it_succeeds(name: str, engine: str, backend: Any) -> None:
    make, size, last = FLOWS[name]
    calls: Counter[str] = Counter()
    loaded = load(make(calls, fails=False), backend, engine=engine)
    loaded.run()
    assert loaded.storage.get_flow_state() == "SUCCESS"
    assert loaded.storage.get("last") == last
    assert calls == {"execute": size}


@pytest.mark.parametrize("name", FLOWS)
def test_it_is_reverted(name: str, backend: Any) -> None:
    make, size, _ = FLOWS[name]
    calls: Counter[str] = Counter()
    loaded = load(make(calls, fails=True), backend)
    with pytest.raises((Boom, WrappedFailure)):
        loaded.run()
    assert loaded.storage.get_flow_state() == "REVERTED"
    assert calls == {"execute": size, "revert": size}


class Stopped(Exception):
    """The process of a flow ends here, as far as its store can see."""


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("name", FLOWS)
def test_it_is_resumed_in_its_middle(name: str, fails: bool, backend: Any) -> None:
    """The store fails after a part of the checkpoints; another engine does the rest, and only the rest."""
    make, size, _ = FLOWS[name]
    calls: Counter[str] = Counter()
    written = 0

    def stop_in_the_middle(method: str, call: Any) -> Any:
        nonlocal written
        written += method == "checkpoint"
        if method == "checkpoint" and sum(calls.values()) > (1.5 if fails else 0.5) * size:
            raise Stopped
        return call()

    flow = make(calls, fails=fails)
    book = factory.temporary_log_book(backend)
    detail = factory.create_flow_detail(flow, book, backend)
    with pytest.raises(Stopped):
        load(flow, InterceptedBackend(backend, stop_in_the_middle), detail, book).run()
    assert written
    with backend.get_connection() as connection:
        stored = connection.get_flow_details(detail.uuid)
    interrupted = sum(atom.state in {"RUNNING", "REVERTING"} for atom in stored)
    loaded = load(make(calls, fails=fails), backend, stored, book)
    with contextlib.suppress(Boom, WrappedFailure):
        loaded.run()
    assert loaded.storage.get_flow_state() == ("REVERTED" if fails else "SUCCESS")
    expected = size * (2 if fails else 1)
    assert expected <= sum(calls.values()) <= expected + interrupted
