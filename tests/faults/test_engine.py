"""A fault in any call of an engine's store leaves a flow that ends as without it.

As `tests/crash/test_kill.py`, with errors and hanging calls in place of kills: the process lives on, so that
the same engine may be run again.
"""

from __future__ import annotations

import contextlib
import random
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from stackl_flow import engines
from stackl_flow import exceptions as exc
from stackl_flow.kv import backends as stores
from stackl_flow.kv.items import Limits
from stackl_flow.kv.store import KV
from stackl_flow.persistence import backends, factory
from stackl_flow.persistence.backends.kv import KVBackend
from stackl_flow.persistence.base import Backend
from stackl_flow.testing.crash import EffectLog
from stackl_flow.testing.faults import (
    Faults,
    FaultyBackend,
    FaultyKV,
    Kind,
    driver_error,
    each_call,
    storage_failure,
)
from tests.crash.driver import AT_WORK, FINAL
from tests.crash.scenarios import SCENARIOS, Scenario, StepFailed
from tests.crash.test_kill import without_one_repeat

#: What a run of a scenario may raise: its own failures, and the injected errors.
PLANNED = (StepFailed, exc.WrappedFailure)
INJECTED = (exc.StorageFailure, ConnectionResetError)
KINDS = (Kind.BEFORE, Kind.AFTER)
#: Of the key-value store below the flows.
LIMITS = Limits(value=12_000, commit=12_000, operations=6)


class World:
    """One store, with the effects of the tasks of one flow in it."""

    def __init__(self, url: str, directory: Path, limits: Limits | None = None) -> None:
        self.effects = EffectLog(directory / f"effects-{uuid.uuid4().hex}")
        self.url, self.limits = url, limits
        self.backend = backends.fetch(url) if limits is None else KVBackend(url, store=self.store())
        with self.backend.get_connection() as connection:
            connection.upgrade()

    def store(self) -> KV:
        """Return the key-value store of the flows, with small limits: a checkpoint takes several commits."""
        store = stores.fetch(self.url)
        store.limits = self.limits or Limits()
        return store

    def faulty(self, faults: Faults) -> Backend:
        """Return a backend with faults: in its calls, or in those of its key-value store."""
        if self.limits is None:
            return FaultyBackend(self.backend, faults)
        return KVBackend(self.url, store=FaultyKV(self.store(), faults))

    def engine(self, scenario: Scenario, backend: Any) -> Any:
        """Load an engine for the stored flow, or for a new one."""
        flow = scenario.make(self.effects)
        with self.backend.get_connection() as connection:
            stored = [(book, detail) for book in connection.get_logbooks() for detail in book]
        if stored:
            ((book, detail),) = stored
        else:
            book = factory.temporary_log_book(self.backend)
            detail = factory.create_flow_detail(flow, book, self.backend)
        options = {"max_workers": 3} if scenario.engine == "parallel" else {}
        return engines.load(
            flow,
            store=dict(scenario.store),
            flow_detail=detail,
            book=book,
            backend=backend,
            engine=scenario.engine,
            **options,
        )

    def states(self) -> dict[str, str]:
        """Return the stored state of each atom, and of the flow by the empty name."""
        with self.backend.get_connection() as connection:
            (book,) = connection.get_logbooks()
            (flow,) = book
            return {"": flow.state, **{atom.name: atom.state for atom in flow}}

    def done(self) -> dict[str, list[str]]:
        """Return the calls of the tasks, by atom."""
        lines: dict[str, list[str]] = defaultdict(list)
        for line in self.effects.lines():
            what = "execute" if " execute" in line else "revert"
            name, rest = line.split(f" {what}", 1)
            lines[name].append(what + rest)
        return dict(lines)

    def check_history(self) -> None:
        """Check that each transition starts from the state in which its atom was left."""
        with self.backend.get_connection() as connection:
            (record,) = connection.list_flow_records()
            history = connection.get_history(record.uuid)
        last: dict[str | None, str | None] = {}
        for transition in history:
            assert transition.old == last.get(transition.atom, transition.old), transition
            last[transition.atom] = transition.new
        assert {name or "": state for name, state in last.items()}.items() <= self.states().items()

    def check(self, whole: World, interrupted: set[str]) -> None:
        """Compare with a run without faults: only atoms that were running may have repeated one call."""
        assert self.states() == whole.states()
        self.check_history()
        done, expected = self.done(), whole.done()
        assert set(done) == set(expected)
        for name, lines in done.items():
            if name in interrupted:
                assert without_one_repeat(lines, expected[name]), name
            else:
                assert lines == expected[name], name


@pytest.fixture(params=["memory", "sqlite", "key-value"])
def new_world(request, tmp_path):
    """Make worlds with empty stores."""
    opened = []

    def make() -> World:
        name = uuid.uuid4().hex
        url = f"sqlite:///{tmp_path}/{name}.db" if request.param == "sqlite" else f"memory://{name}"
        opened.append(World(url, tmp_path, LIMITS if request.param == "key-value" else None))
        return opened[-1]

    yield make
    for world in opened:
        world.backend.close()


def run(engine: Any) -> None:
    """Run an engine whose flow may fail as planned."""
    with contextlib.suppress(*PLANNED):
        engine.run()


def reference(scenario: Scenario, new_world: Any) -> World:
    whole = new_world()
    run(whole.engine(scenario, whole.backend))
    assert whole.states()[""] == scenario.ends
    return whole


def run_with_fault(
    scenario: Scenario, world: World, faults: Any, *, hangs: bool = False
) -> tuple[Any, set[str]]:
    """Run with faults; return the engine, and the atoms that were recorded as running after the fault."""
    engine = world.engine(scenario, world.faulty(faults))
    try:
        run(engine)
    except INJECTED:
        assert faults.injected
    else:
        assert not faults.injected or hangs
    faults.release()
    return engine, {name for name, state in world.states().items() if state in AT_WORK}


every_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


@every_scenario
@pytest.mark.parametrize("error", [storage_failure, driver_error])
def test_another_engine_resumes_after_a_fault_in_any_call(scenario: Scenario, error, new_world) -> None:
    whole = reference(scenario, new_world)
    for faults in each_call(KINDS, errors=[error]):
        world = new_world()
        _, interrupted = run_with_fault(scenario, world, faults)
        if world.states()[""] not in FINAL:
            run(world.engine(scenario, world.backend))
        world.check(whole, interrupted)


@every_scenario
def test_the_same_engine_resumes_after_a_fault_in_any_call(scenario: Scenario, new_world) -> None:
    whole = reference(scenario, new_world)
    for faults in each_call(KINDS):
        world = new_world()
        engine, interrupted = run_with_fault(scenario, world, faults)
        if world.states()[""] not in FINAL:
            run(engine)
        world.check(whole, interrupted)


@every_scenario
def test_every_call_fails_for_a_while(scenario: Scenario, new_world) -> None:
    """An outage from any call on: what was recorded before it is not repeated after it."""
    whole = reference(scenario, new_world)
    for faults in each_call([Kind.BEFORE], times=None):
        world = new_world()
        engine, interrupted = run_with_fault(scenario, world, faults)
        if world.states()[""] not in FINAL:
            run(engine)
        world.check(whole, interrupted)


@pytest.mark.parametrize(
    "scenario", [each for each in SCENARIOS if each.engine == "serial"], ids=lambda each: each.name
)
def test_calls_that_hang_change_nothing(scenario: Scenario, new_world) -> None:
    whole = reference(scenario, new_world)
    for faults in each_call([Kind.HANG], seconds=0.001, step=3):
        world = new_world()
        run_with_fault(scenario, world, faults, hangs=True)
        world.check(whole, set())


@pytest.mark.parametrize("seed", range(20))
def test_many_faults_in_one_flow(seed: int, new_world) -> None:
    """Random faults in random calls: each of them may repeat one call of the atoms that were running."""
    scenario = random.Random(seed).choice([each for each in SCENARIOS if each.engine == "serial"])
    whole, world = reference(scenario, new_world), new_world()
    faults = Faults.seeded(seed, calls=60, rate=0.3, kinds=KINDS)
    allowed = {name: len(lines) for name, lines in whole.done().items()}
    engine = world.engine(scenario, world.faulty(faults))
    for _ in range(60):
        try:
            run(engine)
            break
        except INJECTED:
            found = world.states()
            for name in [name for name, state in found.items() if name and state in AT_WORK]:
                allowed[name] = allowed.get(name, 0) + 1  # some atoms write no line
            if found[""] in FINAL:
                break
    assert faults.injected or seed
    assert world.states() == whole.states()
    for name, lines in world.done().items():
        assert sorted(set(lines)) == sorted(set(whole.done()[name]))
        assert len(lines) <= allowed[name]
