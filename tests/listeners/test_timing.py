"""Durations and times, measured with a stepped clock, and their storage."""

import logging
from pathlib import Path

import pytest

from stackl_flow import GraphFlow, LinearFlow, engines, retry, states, task
from stackl_flow import exceptions as exc
from stackl_flow.listeners import timing
from stackl_flow.persistence import backends, factory
from tests.engines.tasks import final_state


class Takes(task.Task):
    """Steps the clock in execute and in revert."""

    def __init__(self, name, clock, seconds, fails=False, undo=0.0):
        super().__init__(name)
        self.clock, self.seconds, self.fails, self.undo = clock, seconds, fails, undo

    def execute(self):
        self.clock.step(self.seconds)
        if self.fails:
            raise ValueError("no")

    def revert(self, **kwargs):
        self.clock.step(self.undo)


def stored(backend, engine):
    """Return the stored metadata of the flow and of its atoms, without progress."""
    with backend.get_connection() as connection:
        detail = connection.get_flow_details(engine.storage.flow_uuid)
    timed = {atom.name: {k: v for k, v in atom.meta.items() if "progress" not in k} for atom in detail}
    return detail.meta, timed


def load_stored(backend, flow, **kwargs):
    detail = factory.create_flow_detail(flow, backend=backend)
    return engines.load(flow, flow_detail=detail, backend=backend, **kwargs)


def test_durations_are_stored(backend, clock):
    flow = LinearFlow("f").add(Takes("a", clock, 2.0), Takes("b", clock, 0.5))
    engine = load_stored(backend, flow)
    with timing.DurationListener(engine, clock=clock):
        engine.run()
    of_flow, atoms = stored(backend, engine)
    assert of_flow["duration"] == 2.5
    assert {name: meta["duration"] for name, meta in atoms.items()} == {"a": 2.0, "b": 0.5}
    assert engine.storage.flow_meta["duration"] == 2.5


def test_durations_of_failed_and_reverted_tasks(backend, clock):
    flow = LinearFlow("f").add(Takes("a", clock, 2.0, undo=4.0), Takes("b", clock, 0.5, fails=True))
    engine = load_stored(backend, flow)
    printed = []
    with timing.PrintingDurationListener(engine, printer=printed.append, clock=clock):
        assert final_state(engine, ValueError) == states.REVERTED
    assert printed == [
        "'f' flow started.",
        "'a' task started.", "It took task 'a' 2.00 seconds to finish.",
        "'b' task started.", "It took task 'b' 0.50 seconds to finish.",
        "'b' task started.", "It took task 'b' 0.00 seconds to finish.",
        "'a' task started.", "It took task 'a' 4.00 seconds to finish.",
        "It took flow 'f' 6.50 seconds to finish.",
    ]  # fmt: skip
    of_flow, atoms = stored(backend, engine)
    assert of_flow["duration"] == 6.5
    assert atoms["a"]["duration"] == 4.0


def test_duration_of_an_unresolved_failure(backend, clock):
    engine = load_stored(backend, Takes("a", clock, 2.0, fails=True), never_resolve=True)
    with timing.DurationListener(engine, clock=clock):
        assert final_state(engine, ValueError) == states.FAILURE
    of_flow, atoms = stored(backend, engine)
    assert (of_flow["duration"], atoms["a"]["duration"]) == (2.0, 2.0)


def test_each_attempt_is_measured_separately(load, clock):
    flow = LinearFlow("f", retry=retry.Times(2)).add(
        Takes("a", clock, 2.0), Takes("b", clock, 1.0, fails=True)
    )
    engine = load(flow)
    printed = []
    with timing.PrintingDurationListener(engine, printed.append, clock):
        final_state(engine, ValueError)
    assert printed.count("It took task 'a' 2.00 seconds to finish.") == 2
    assert printed[-1] == "It took flow 'f' 6.00 seconds to finish."


def test_durations_are_printed_by_default(load, clock, capsys):
    engine = load(Takes("a", clock, 0.126))
    with timing.PrintingDurationListener(engine, clock=clock):
        engine.run()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["'a' task started.", "It took task 'a' 0.13 seconds to finish."]


def test_system_clock_is_the_default(load, clock):
    engine = load(Takes("a", clock, 100.0))
    with timing.DurationListener(engine):
        engine.run()
    assert 0.0 <= engine.storage.flow_meta["duration"] < 100.0


def test_unfinished_durations_are_logged_on_deregister(load, clock, caplog):
    engine = load(LinearFlow("f").add(Takes("a", clock, 1.0), Takes("b", clock, 1.0)))
    with timing.DurationListener(engine, clock=clock):
        run = engine.run_iter()
        for state in run:
            if state == states.WAITING:
                run.send(True)
    assert engine.storage.get_flow_state() == states.SUSPENDED
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.message.endswith("before the end of: flow 'f'")
    assert "duration" not in engine.storage.flow_meta


def test_times_of_all_states_are_stored(backend, clock):
    flow = LinearFlow("f", retry=retry.Times(1, "r")).add(
        Takes("a", clock, 2.0, undo=3.0), Takes("b", clock, 0.5, fails=True)
    )
    engine = load_stored(backend, flow)
    with timing.EventTimeListener(engine, clock=clock):
        assert final_state(engine, ValueError) == states.REVERTED
    of_flow, atoms = stored(backend, engine)
    assert of_flow["RUNNING-timestamp"] == 1000.0
    assert of_flow["REVERTED-timestamp"] == 1005.5
    assert atoms["a"] == {
        "RUNNING-timestamp": 1000.0,
        "SUCCESS-timestamp": 1002.0,
        "REVERTING-timestamp": 1002.5,
        "REVERTED-timestamp": 1005.5,
    }
    assert atoms["b"]["FAILURE-timestamp"] == 1002.5
    assert atoms["r"]["REVERTED-timestamp"] == 1005.5


def test_metadata_of_the_last_transition_is_stored(backend, clock):
    first, last = Takes("a", clock, 1.0), Takes("b", clock, 1.0)
    flow = GraphFlow("f").add(first, last)
    flow.link(first, last, decider=lambda history: False)
    engine = load_stored(backend, flow)
    with timing.EventTimeListener(engine, flow_listen_for=None, clock=clock):
        engine.run()
    _, atoms = stored(backend, engine)
    assert atoms["b"] == {"IGNORE-timestamp": 1001.0}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files can be listed on Linux only")
def test_metadata_at_the_end_leaves_no_file_open(tmp_path, clock):
    file = tmp_path / "flows.db"

    def opened():
        return sum(path.resolve() == file for path in Path("/proc/self/fd").iterdir())

    with backends.backend(f"sqlite:///{file}") as backend:
        kept = []
        for _ in range(3):
            engine = load_stored(backend, Takes("a", clock, 1.0))
            with timing.DurationListener(engine, clock=clock):
                engine.run()
            kept.append(opened())
        assert kept[0] == kept[2]  # idle connections are reused
    assert opened() == 0


def test_times_of_the_given_states_only(load, clock):
    engine = load(Takes("a", clock, 1.0))
    with timing.EventTimeListener(engine, task_listen_for=["SUCCESS"], flow_listen_for=None, clock=clock):
        engine.run()
    assert engine.storage.flow_meta == {}


def test_metadata_that_cannot_be_stored_is_logged(clock, caplog):
    class Full:
        """A storage that is full."""

        def update_flow_metadata(self, update_with):
            raise exc.StorageFailure("full")

        def update_atom_metadata(self, atom_name, update_with):
            raise exc.StorageFailure("full")

    class Engine:
        """An engine whose storage is full."""

        def __init__(self, engine):
            self.notifier, self.atom_notifier = engine.notifier, engine.atom_notifier
            self.storage = Full()

    engine = engines.load(Takes("a", clock, 1.0))
    with timing.DurationListener(Engine(engine), clock=clock):
        engine.run()
    messages = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert messages == [
        "could not store {'duration': 1.0} for task 'a'",
        "could not store {'duration': 1.0} for flow 'a'",
    ]


@pytest.mark.parametrize("kind", [timing.DurationListener, timing.EventTimeListener])
def test_register_and_deregister_without_a_run(load, clock, kind, caplog):
    engine = load(Takes("a", clock, 1.0))
    listener = kind(engine)
    listener.register()
    listener.deregister()
    assert not engine.notifier
    assert caplog.records == []
