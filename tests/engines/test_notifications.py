"""Notifications about flows and atoms, and progress."""

import contextlib
import logging
import sqlite3
import threading

import pytest

from stackl_flow import LinearFlow, UnorderedFlow, engines, retry, states, task
from stackl_flow import exceptions as exc
from stackl_flow.persistence import backends, factory
from tests.engines.tasks import Step, final_state, steps, transitions_of


def pairs(received, name):
    return [(details["old_state"], state) for state, details in received if details.get("task_name") == name]


def test_every_transition_of_a_flow_is_notified(load, log):
    engine = load(LinearFlow("f").add(*steps("ab", log)))
    received = transitions_of(engine.notifier)
    engine.run()
    assert [(state, details["old_state"]) for state, details in received] == [
        ("RUNNING", "PENDING"),
        ("SUCCESS", "RUNNING"),
    ]
    for _, details in received:
        assert details["engine"] is engine
        assert (details["flow_name"], details["flow_uuid"]) == ("f", engine.storage.flow_uuid)


def test_every_transition_of_atoms_is_notified_in_order(load, log):
    flow = LinearFlow("f", retry=retry.Times(2, "t")).add(Step("a", log), Step("b", log, fails=2))
    engine = load(flow)
    received = transitions_of(engine.atom_notifier)
    assert final_state(engine, ValueError) == states.REVERTED
    short = [
        (details.get("task_name") or details["retry_name"], details["old_state"], state)
        for state, details in received
    ]
    once = [("t", "RUNNING", "SUCCESS"), ("a", "PENDING", "RUNNING"), ("a", "RUNNING", "SUCCESS"),
            ("b", "PENDING", "RUNNING"), ("b", "RUNNING", "FAILURE"), ("b", "FAILURE", "REVERTING"),
            ("b", "REVERTING", "REVERTED"), ("a", "SUCCESS", "REVERTING"),
            ("a", "REVERTING", "REVERTED")]  # fmt: skip
    assert short == [
        ("t", "PENDING", "RUNNING"), *once,
        ("t", "SUCCESS", "RETRYING"), ("a", "REVERTED", "PENDING"), ("b", "REVERTED", "PENDING"),
        ("t", "RETRYING", "RUNNING"), *once, ("t", "SUCCESS", "REVERTING"), ("t", "REVERTING", "REVERTED"),
    ]  # fmt: skip


def test_details_of_atom_notifications(load, log):
    engine = load(LinearFlow("f", retry=retry.Times(1, "r")).add(Step("a", log), Step("b", log, fails=1)))
    received = transitions_of(engine.atom_notifier)
    final_state(engine, ValueError)
    by_transition = {(d.get("task_name") or d.get("retry_name"), state): d for state, d in received}
    assert by_transition["a", "RUNNING"] == {
        "task_name": "a",
        "task_uuid": engine.storage.get_atom_uuid("a"),
        "old_state": "PENDING",
    }
    assert by_transition["a", "SUCCESS"]["result"] == "A"
    assert by_transition["b", "FAILURE"]["result"].check(ValueError)
    assert "result" in by_transition["a", "REVERTED"]
    assert by_transition["r", "SUCCESS"]["retry_uuid"] == engine.storage.get_atom_uuid("r")
    assert by_transition["r", "SUCCESS"]["result"] == 1


def test_failed_revert_is_notified_with_its_failure(load, log):
    engine = load(LinearFlow("f").add(Step("a", log, revert_fails=1), Step("b", log, fails=1)))
    received = transitions_of(engine.atom_notifier)
    assert final_state(engine, RuntimeError) == states.REVERT_FAILURE
    (details,) = [details for state, details in received if state == "REVERT_FAILURE"]
    assert details["result"].check(RuntimeError)


def test_callback_for_a_single_state(load, log):
    engine = load(LinearFlow("f").add(*steps("ab", log)))
    names = []
    engine.atom_notifier.register("SUCCESS", lambda state, details: names.append(details["task_name"]))
    engine.run()
    assert names == ["a", "b"]


def test_callback_that_raises_is_logged_and_does_not_affect_the_run(load, log, caplog):
    def broken(state, details):
        raise LookupError("listener")

    engine = load(LinearFlow("f").add(*steps("ab", log)))
    engine.notifier.register("*", broken)
    engine.atom_notifier.register("*", broken)
    engine.run()
    assert engine.storage.get_flow_state() == states.SUCCESS
    received = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [("broken" in line, "raised LookupError" in line) for line in received] == [(True, True)] * 2


def test_transition_is_stored_before_it_is_notified(backend, log):
    flow = LinearFlow("f").add(*steps("ab", log))
    detail = factory.create_flow_detail(flow, backend=backend)
    engine = engines.load(flow, flow_detail=detail, backend=backend)
    seen = []

    def look(state, details):
        with backend.get_connection() as connection:
            stored = connection.get_flow_details(detail.uuid)
            atom = stored.find(engine.storage.get_atom_uuid(details["task_name"]))
        seen.append((details["task_name"], state, atom.state))

    engine.atom_notifier.register("SUCCESS", look)
    engine.run()
    assert seen == [("a", "SUCCESS", "SUCCESS"), ("b", "SUCCESS", "SUCCESS")]


def test_reset_notifies_the_flow_transition(load, log):
    engine = load(Step("a", log))
    engine.run()
    received = transitions_of(engine.notifier)
    engine.reset()
    assert [(details["old_state"], state) for state, details in received] == [("SUCCESS", "PENDING")]


def test_transitions_of_each_parallel_atom_are_in_order(log):
    flow = UnorderedFlow("f").add(*(Step(f"t{n}", log) for n in range(20)))
    engine = engines.load(flow, engine="parallel", max_workers=4)
    received = transitions_of(engine.atom_notifier)
    engine.run()
    for number in range(20):
        assert pairs(received, f"t{number}") == [("PENDING", "RUNNING"), ("RUNNING", "SUCCESS")]


# ------------------------------------------------------------------ progress


class Slow(task.Task):
    """Reports its progress."""

    def __init__(self, *received, name="slow"):
        super().__init__(name)
        self.received = received

    def execute(self):
        for progress, details in self.received:
            self.update_progress(progress, **details)


def test_progress_is_notified_to_callbacks_of_the_task(load):
    work = Slow((0.3, {}), (0.7, {"step": 2}))
    received = []
    work.notifier.register(task.EVENT_UPDATE_PROGRESS, lambda _, details: received.append(dict(details)))
    load(work).run()
    assert received == [{"progress": 0.0}, {"progress": 0.3}, {"progress": 0.7, "step": 2}, {"progress": 1.0}]


def test_progress_starts_at_zero_and_ends_at_one(load, log):
    engine = load(Step("a", log))
    engine.compile()
    engine.prepare()
    assert engine.storage.get_task_progress("a") == 0.0
    engine.run()
    assert engine.storage.get_task_progress("a") == 1.0


def test_progress_of_a_failed_task_is_kept(load):
    class Breaks(Slow):
        def execute(self):
            super().execute()
            raise ValueError("half-way")

    engine = load(Breaks((0.4, {"file": "x"})), never_resolve=True)
    assert final_state(engine, ValueError) == states.FAILURE
    assert engine.storage.get_task_progress("slow") == 0.4
    assert engine.storage.get_task_progress_details("slow") == {
        "at_progress": 0.4,
        "details": {"file": "x"},
    }


def test_progress_without_details(load):
    engine = load(Slow((0.4, {})))
    engine.run()
    assert engine.storage.get_task_progress_details("slow") is None


@pytest.mark.parametrize(("given", "kept"), [(1.5, 1.0), (-1, 0.0)])
def test_progress_out_of_bounds_is_clamped_with_a_warning(load, caplog, given, kept):
    work = Slow((given, {}))
    received = []
    work.notifier.register(
        task.EVENT_UPDATE_PROGRESS, lambda _, details: received.append(details["progress"])
    )
    with caplog.at_level(logging.WARNING):
        load(work).run()
    assert received == [0.0, kept, 1.0]
    assert "Progress must be between" in caplog.text


def test_progress_is_stored(tmp_path):
    address = f"sqlite:///{tmp_path / 'flows.db'}"
    work = Slow((0.25, {"file": "x"}))
    with backends.backend(address) as backend:
        detail = factory.create_flow_detail(work, backend=backend)
        engines.load(work, flow_detail=detail, backend=backend).run()
    with backends.backend(address) as backend, backend.get_connection() as connection:
        (stored,) = connection.get_flow_details(detail.uuid)
    assert stored.progress == 1.0
    assert stored.progress_details == {"at_progress": 0.25, "details": {"file": "x"}}
    assert stored.to_dict()["meta"]["progress"] == 1.0


def test_progress_implied_by_a_state_is_not_stored(tmp_path):
    with backends.backend(f"sqlite:///{tmp_path / 'flows.db'}") as backend:
        detail = factory.create_flow_detail(Slow((0.25, {})), backend=backend)
        engine = engines.load(Slow((0.25, {})), flow_detail=detail, backend=backend)
        engine.run()
        with backend.get_connection() as connection:
            stored = connection.get_flow_details(detail.uuid)
        again = engines.load(Slow((0.25, {})), flow_detail=stored, backend=backend)
        again.compile()
        again.prepare()
    with contextlib.closing(sqlite3.connect(tmp_path / "flows.db")) as file:
        assert file.execute("SELECT state, meta FROM atomdetails").fetchall() == [("SUCCESS", None)]
    assert engine.storage.get_task_progress("slow") == again.storage.get_task_progress("slow") == 1.0


def test_progress_details_that_cannot_be_stored_are_dropped_and_logged(backend, caplog):
    work = Slow((0.25, {"thing": object()}))
    engine = engines.load(work, backend=backend)
    with caplog.at_level(logging.WARNING):
        engine.run()
    assert engine.storage.get_flow_state() == states.SUCCESS
    assert engine.storage.get_task_progress_details("slow") is None
    assert "'slow'" in caplog.text


def test_progress_of_a_running_task_can_be_read_by_others(backend):
    gate, received = threading.Event(), threading.Event()

    class Waits(task.Task):
        def execute(self):
            self.update_progress(0.5, file="x")
            received.set()
            gate.wait(30)

    work = Waits("slow")
    detail = factory.create_flow_detail(work, backend=backend)
    seen = []
    engine = engines.load(work, flow_detail=detail, backend=backend, engine="parallel")
    before = ""
    for state in engine.run_iter():
        if (before, state) == (states.ANALYZING, states.WAITING) and not gate.is_set():
            with backend.get_connection() as connection:
                (stored,) = connection.get_flow_details(detail.uuid)
            seen.append((stored.state, stored.progress, stored.progress_details["details"]))
            gate.set()
        elif state == states.WAITING:
            received.wait(30)
        before = state
    assert seen == [(states.RUNNING, 0.5, {"file": "x"})]


def progress_of(backend, uuid):
    """Read the progress of a flow's only task, as another process would."""
    with backend.get_connection() as connection:
        (stored,) = connection.get_flow_details(uuid)
    return stored.state, stored.progress


@pytest.mark.parametrize("way", ["execute", "revert"])
def test_serial_engine_stores_progress_at_once(backend, way):
    class Looks(task.Task):
        def work(self):
            for progress in (0.25, 0.5):
                self.update_progress(progress)
                seen.append(progress_of(backend, detail.uuid))

        def execute(self):
            if way == "execute":
                self.work()
            raise ValueError("enough")

        def revert(self, **_):
            if way == "revert":
                self.work()

    seen = []
    detail = factory.create_flow_detail(Looks("a"), backend=backend)
    with pytest.raises(ValueError, match="enough"):
        engines.load(Looks("a"), flow_detail=detail, backend=backend).run()
    at_work = states.RUNNING if way == "execute" else states.REVERTING
    assert seen == [(at_work, 0.25), (at_work, 0.5)]


def test_progress_from_a_thread_of_the_task_is_stored_by_the_engine(load, backend):
    class Threaded(task.Task):
        def execute(self):
            helper = threading.Thread(target=self.update_progress, args=(0.5,))
            helper.start()
            helper.join(30)
            raise ValueError("enough")

        def revert(self, **_):
            pass

    detail = factory.create_flow_detail(Threaded("a"), backend=backend)
    engine = load(Threaded("a"), flow_detail=detail, backend=backend, never_resolve=True)
    with pytest.raises(ValueError, match="enough"):
        engine.run()
    assert progress_of(backend, detail.uuid) == (states.FAILURE, 0.5)


def test_progress_after_ownership_was_lost_is_dropped_without_failing_the_task(backend, caplog):
    class Robbed(task.Task):
        def execute(self):
            with backend.get_connection() as connection:
                known = connection.get_flow_details(detail.uuid)
            robber = engines.load(Robbed("a"), flow_detail=known, backend=backend)
            robber.compile()
            robber.prepare()
            self.update_progress(0.5)
            done.append("went on")

    done = []
    detail = factory.create_flow_detail(Robbed("a"), backend=backend)
    with caplog.at_level(logging.WARNING), pytest.raises(exc.OwnershipLost):
        engines.load(Robbed("a"), flow_detail=detail, backend=backend).run()
    assert done == ["went on"]
    assert progress_of(backend, detail.uuid) == (states.RUNNING, 0.0)
    assert "progress of atom 'a' is not stored yet" in caplog.text


def test_progress_outside_a_run_is_only_notified():
    work = Slow()
    received = []
    work.notifier.register(
        task.EVENT_UPDATE_PROGRESS, lambda _, details: received.append(details["progress"])
    )
    work.update_progress(0.5)
    assert received == [0.5]
