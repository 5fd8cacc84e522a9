"""How claims end: whatever a job raises, its claim ends, and its flow decides how."""

from __future__ import annotations

import threading
import uuid
from concurrent import futures
from contextlib import contextmanager

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.compat.conductors.backends import impl_blocking, impl_nonblocking
from stackl_flow.conductors import Conductor, backends
from stackl_flow.control.health import ConductorStats, health
from stackl_flow.jobboards import backends as boards
from stackl_flow.listeners.base import Listener
from stackl_flow.persistence import backends as stores
from stackl_flow.persistence.retention import RetentionPolicy, prune
from stackl_flow.submission import post_flow
from stackl_flow.testing.faults import Fault, Faults, FaultyBackend, Kind, each_call, faulty_board
from tests.conductors.exits import KINDS
from tests.conductors.test_takeover import LONG, eventually

FACTORIES = "tests.conductors.exits."
NOT_EXCEPTIONS = sorted(set(KINDS) - {"Exception"})


class World:
    def __init__(self, directory, **settings):
        self.log_file = directory / "log_file"
        self.repaired = directory / "repaired"
        self.store = stores.fetch(f"sqlite:///{directory}/flows.db")
        with self.store.get_connection() as connection:
            connection.upgrade()
        conf = {"connection": f"memory://{uuid.uuid4()}", **settings}
        self.board = boards.fetch("work", conf, persistence=self.store)
        self.board.connect()

    def post(self, factory, inputs=None, **options):
        store = {"log_file": str(self.log_file), **(inputs or {})}
        return post_flow(self.board, self.store, FACTORIES + factory, store=store, **options)

    def conductor(self, slots=1, name="me", kind=Conductor, **options):
        return kind(name, self.board, self.store, max_simultaneous_jobs=slots, wait_timeout=0.05, **options)

    def done(self):
        if not self.log_file.exists():
            return []
        return [tuple(line.split()[:2]) for line in self.log_file.read_text().splitlines()]

    def flow_state(self, job):
        with self.store.get_connection() as connection:
            (flow,) = connection.get_logbook(job.book_uuid)
            return connection.get_flow_record(flow.uuid).state

    def snapshot(self, job):
        return self.board.get_snapshot(job)

    def last_claim(self, job):
        return self.snapshot(job).record.claims[-1]

    def close(self):
        self.board.close()
        self.store.close()


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def strict(tmp_path):
    """A world in which a second failed claim makes a dead letter."""
    world = World(tmp_path, max_claims=2)
    yield world
    world.close()


@contextmanager
def running(conductor):
    thread = threading.Thread(target=conductor.run)
    thread.start()
    try:
        yield
    finally:
        conductor.stop()
        thread.join(LONG)
        assert not thread.is_alive()


# ------------------------------------------------------------- whatever a job raises


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_a_task_raises_ends_its_claim(kind, slots, world):
    """The conductor goes on, and knows of no running job."""
    stats = ConductorStats()
    conductor = world.conductor(slots)
    conductor.notifier.register("*", stats.record)
    job, other = world.post("raising", factory_kwargs={"kind": kind}), world.post("plain")
    with running(conductor):
        assert other.wait(LONG)
        assert job.wait(LONG)
        assert (conductor.unattended, health(conductor, stats)["running"]) == ([], [])
    assert (world.snapshot(job).state, world.flow_state(job)) == ("failed", st.REVERTED)
    assert type(KINDS[kind]).__name__ in str(world.snapshot(job).outcome["outcome"]["failure"])


@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt"])
def test_what_a_task_raises_in_the_main_thread(kind, strict):
    """Ctrl-C suspends the flow and ends ``run``; what else ends threads is the failure of the task."""
    job = strict.post("raising", factory_kwargs={"kind": kind})
    conductor = strict.conductor()
    if kind == "SystemExit":
        conductor.run(max_dispatches=1)
        assert (strict.snapshot(job).state, strict.flow_state(job)) == ("failed", st.REVERTED)
        return
    with pytest.raises(KeyboardInterrupt):
        conductor.run(max_dispatches=1)
    assert (strict.snapshot(job).state, strict.flow_state(job)) == ("waiting", st.SUSPENDED)
    assert strict.last_claim(job).ended == "released"


class Raising(Conductor):
    """Raises in one of its methods, as a program's subclass may."""

    kind = method = ""

    def _raise(self, method):
        if method == self.method:
            raise KINDS[self.kind]

    def _engine_from_job(self, job):
        self._raise("engine")
        return super()._engine_from_job(job)

    def _listeners_from_job(self, job, engine):
        self._raise("listeners")
        return [RaisingListener(engine, self)]

    def _dispatch_job(self, run):
        self._raise("dispatch")
        return super()._dispatch_job(run)


class RaisingListener(Listener):
    def __init__(self, engine, conductor):
        super().__init__(engine)
        self._conductor = conductor

    def __enter__(self):
        self._conductor._raise("enter")
        return super().__enter__()

    def _flow_receiver(self, state, details):
        self._conductor._raise(f"flow {state}")

    def __exit__(self, *_):
        super().__exit__(*_)
        self._conductor._raise("exit")


UNFINISHED = ["engine", "listeners", "dispatch", "enter", "flow RUNNING"]
FINISHED = ["flow SUCCESS", "exit"]


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("kind", ["Exception", "SystemExit", "GeneratorExit"])
@pytest.mark.parametrize("method", UNFINISHED + FINISHED)
def test_what_the_code_around_a_job_raises_ends_its_claim(method, kind, slots, world, caplog):
    """The job waits again with the reason in its history, or is consumed if its flow had ended."""
    conductor = world.conductor(slots, kind=Raising)
    conductor.kind, conductor.method = kind, method
    job = world.post("plain")
    conductor.run(max_dispatches=1)
    if method in FINISHED or (method == "flow RUNNING" and kind == "Exception"):
        # The notifier keeps what its callbacks raise, as long as it is an Exception.
        assert (world.flow_state(job), world.snapshot(job).state) == (st.SUCCESS, "succeeded")
        assert job.result(0)["first"] == "a"
    else:
        assert world.snapshot(job).state in {"waiting", "scheduled"}
        claim = world.last_claim(job)
        assert claim.ended in {"deferred", "declined"}
        assert type(KINDS[kind]).__name__ in claim.reason
        assert type(KINDS[kind]).__name__ in caplog.text
        conductor.method = ""
        with running(conductor):
            assert job.result(LONG)["first"] == "a"


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("event", ["running_start", "running_end", "job_consumed"])
def test_what_a_callback_raises_affects_no_job(event, slots, world):
    conductor = world.conductor(slots, prefetch=16)

    def raise_once(*_, **__):
        conductor.notifier.deregister(event, raise_once)
        raise SystemExit(3)

    conductor.notifier.register(event, raise_once)
    jobs = [world.post("plain") for _ in range(4)]
    with running(conductor):
        for job in jobs:
            assert job.result(LONG)["first"] == "a"
    assert world.board.job_count == 0


def test_an_interrupt_of_the_main_thread_releases_the_job(world):
    """Ctrl-C suspends the flow, gives the job back, and ends ``run``."""
    conductor = world.conductor()

    def interrupt(*_, **__):
        conductor.notifier.deregister("running_start", interrupt)
        raise KeyboardInterrupt

    conductor.notifier.register("running_start", interrupt)
    job = world.post("plain")
    with pytest.raises(KeyboardInterrupt):
        conductor.run()
    assert not conductor.dispatching
    assert (world.snapshot(job).state, world.last_claim(job).ended) == ("waiting", "released")
    conductor.run(max_dispatches=1)
    assert job.result(0)["first"] == "a"


@pytest.mark.parametrize("kind", [impl_blocking.BlockingConductor, impl_nonblocking.NonBlockingConductor])
@pytest.mark.parametrize("method", ["engine", "listeners", "dispatch", "enter"])
def test_conductors_of_compat(kind, method, world):
    """TaskFlow ends no job for what is not an Exception; here the claim ends, too."""

    class Mine(Raising, kind):
        pass

    conductor = Mine("me", world.board, world.store)
    conductor.kind, conductor.method = "SystemExit", method
    job = world.post("plain")
    conductor.run(max_dispatches=1)
    assert world.snapshot(job).state in {"waiting", "scheduled"}
    assert world.last_claim(job).ended == "deferred"


# ------------------------------------------------------------- how the flow ended


def test_a_failed_rollback_makes_a_dead_letter_and_goes_on_when_it_is_requeued(world):
    job = world.post("broken_revert", {"repaired": str(world.repaired)})
    conductor = world.conductor(retention=0)
    conductor.run(max_dispatches=1)
    assert (world.snapshot(job).state, world.flow_state(job)) == ("dead", st.REVERT_FAILURE)
    (dead,) = world.board.dead_letters
    assert "OSError: the disk is gone" in dead.reason
    assert "requeue" in dead.reason
    assert list(prune(world.store, RetentionPolicy(0.0), world.store.clock.now() + 1)) == []
    world.repaired.touch()
    world.board.dead_letters.requeue(job.uuid)
    world.conductor().run(max_dispatches=1)
    assert (world.snapshot(job).state, world.flow_state(job)) == ("failed", st.REVERTED)
    assert world.done()[-2:] == [("b", "revert"), ("a", "revert")]


def test_a_failure_that_is_not_resolved_is_an_outcome(world):
    job = world.post("never_resolved")
    world.conductor(engine_options={"never_resolve": "yes"}).run(max_dispatches=1)
    snapshot = world.snapshot(job)
    assert (snapshot.state, snapshot.outcome["outcome"]["state"]) == ("failed", st.FAILURE)
    with pytest.raises(exc.WrappedFailure, match="no such site"):
        job.result(0)


def test_a_storage_failure_of_a_task_is_the_failure_of_its_flow(world):
    job = world.post("storage_failure_of_a_task")
    world.conductor().run(max_dispatches=1)
    assert (world.snapshot(job).state, world.flow_state(job)) == ("failed", st.REVERTED)
    assert world.done() == [("a", "execute"), ("a", "revert")]


@pytest.mark.parametrize("factory", ["on_failure_raises", "decider_raises"])
def test_an_error_outside_any_atom_defers_the_job(factory, strict):
    """It waits again with a delay, does not hold up others, and is a dead letter after ``max_claims``."""
    job = strict.post(factory)
    other = strict.post("plain", priority="LOW")
    with running(strict.conductor()):
        eventually(lambda: strict.snapshot(job).state == "scheduled")
        claim = strict.last_claim(job)
        assert (claim.ended, claim.reason[:11]) == ("deferred", "LookupError")
        assert other.wait(LONG)
        assert job.wait(LONG)
    (dead,) = strict.board.dead_letters
    assert dead.reason.startswith("2 claims failed: me (deferred), me (deferred); last reason: LookupError")
    assert strict.flow_state(job) not in {st.SUCCESS, st.REVERTED}


def test_the_rollback_goes_on_after_an_error_outside_any_atom(world):
    """Once the cause is gone, by the next claim."""
    job = world.post("on_failure_raises", {"repaired": str(world.repaired)})
    with running(world.conductor()):
        eventually(lambda: world.snapshot(job).state == "scheduled")
        world.repaired.touch()
        assert job.wait(LONG)
    assert (world.snapshot(job).state, world.flow_state(job)) == ("failed", st.REVERTED)
    assert world.done() == [("a", "execute"), ("a", "revert")]


# ------------------------------------------------------------- flows that cannot be loaded


def test_a_job_that_one_conductor_cannot_load_is_left_to_another(world, monkeypatch, caplog):
    """The first does not claim it again at once; the second gets it without a delay."""
    monkeypatch.setenv("STACKL_FLOW_TEST_EXITS", "")
    job = world.post("exit_in_factory")

    class Lacking(Conductor):
        @staticmethod
        def _load_engine(*_args, **_options):
            raise exc.FactoryNotFound("Could not import factory 'shop:order'")

    lacking = world.conductor(name="lacking", kind=Lacking)
    with running(lacking):
        eventually(lambda: len(world.snapshot(job).record.claims) == 1)
        eventually(lambda: world.snapshot(job).state == "waiting")
        claim = world.last_claim(job)
        assert (claim.owner, claim.ended) == ("lacking", "declined")
        assert "Could not import factory 'shop:order'" in claim.reason
        assert len(world.snapshot(job).record.claims) == 1
        with running(world.conductor(name="able")):
            assert job.wait(LONG)
    assert world.snapshot(job).state == "succeeded"


@pytest.mark.parametrize("kind", ["SystemExit", "Exception"])
def test_a_flow_that_no_conductor_can_load_becomes_a_dead_letter(kind, strict, monkeypatch):
    job = strict.post("exit_in_factory", factory_kwargs={"kind": kind})
    monkeypatch.setenv("STACKL_FLOW_TEST_EXITS", "1")
    with running(strict.conductor()):
        assert job.wait(LONG)
    (dead,) = strict.board.dead_letters
    assert f"last reason: {type(KINDS[kind]).__name__}" in dead.reason
    monkeypatch.delenv("STACKL_FLOW_TEST_EXITS")
    assert list(strict.board.dead_letters.requeue_all("no such reason")) == []
    requeued = strict.board.dead_letters.requeue_all(f"LAST REASON: {type(KINDS[kind]).__name__}")
    assert [record.uuid for record in requeued] == [job.uuid]
    with running(strict.conductor()):
        assert job.wait(LONG)
    assert strict.snapshot(job).state == "succeeded"


# ------------------------------------------------------------- claims without work


class LosingExecutor:
    """Accepts jobs and does not run them, as a pool whose threads have died."""

    def __init__(self):
        self.accepted = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def submit(self, work, *args):
        self.accepted.append((work, args))
        return object()


class RefusingExecutor(LosingExecutor):
    """Cannot start a thread, at first."""

    def submit(self, work, *args):
        self.accepted.append((work, args))
        if len(self.accepted) == 1:
            raise RuntimeError("can't start new thread")
        work(*args)


class CancellingExecutor(LosingExecutor):
    """Drops the first job, as a pool that is shut down."""

    def submit(self, work, *args):
        future = futures.Future()
        self.accepted.append((work, args))
        if len(self.accepted) == 1:
            future.cancel()
            future.set_running_or_notify_cancel()
        else:
            work(*args)
            future.set_result(None)
        return future


class OnExecutor(Conductor):
    def __init__(self, *args, executor, **options):
        super().__init__(*args, **options)
        self.executor = executor

    def _executor_factory(self):
        return self.executor


@pytest.mark.parametrize("executor", [RefusingExecutor, CancellingExecutor])
def test_a_job_that_the_executor_does_not_take_is_given_back_at_once(executor, world):
    job = world.post("plain")
    with running(world.conductor(2, kind=OnExecutor, executor=executor())):
        assert job.result(LONG)["first"] == "a"
    assert world.done() == [("a", "execute"), ("b", "execute")]


def test_a_job_that_was_released_is_not_run_late(world):
    """Its thread comes back to life when another conductor has run it."""
    job = world.post("plain")
    executor = LosingExecutor()
    with running(world.conductor(2, kind=OnExecutor, executor=executor, rescue_after=0.2)):
        eventually(lambda: executor.accepted)
        with running(world.conductor(name="other")):
            assert job.result(LONG)["first"] == "a"
        for work, args in executor.accepted:
            work(*args)
    assert world.done() == [("a", "execute"), ("b", "execute")]


@pytest.mark.parametrize("slots", [1, 3])
def test_jobs_of_a_board_whose_answers_are_lost(slots, world):
    """It claims jobs, and its caller gets an error: they are released, too."""
    jobs = [world.post("plain") for _ in range(3)]
    faults = Faults(
        Fault(1, Kind.AFTER, {"complete_and_claim"}), Fault(3, Kind.AFTER, {"complete_and_claim"})
    )
    conductor = Conductor(
        "me",
        faulty_board(world.board, faults),
        world.store,
        max_simultaneous_jobs=slots,
        wait_timeout=0.05,
        rescue_after=0.3,
    )
    with running(conductor):
        for job in jobs:
            assert job.result(LONG)["first"] == "a"
    assert faults.injected
    assert sorted(world.done()) == [("a", "execute")] * 3 + [("b", "execute")] * 3


def test_an_outcome_that_was_stored_although_the_answer_was_lost(world):
    """The conductor reports the end of the job, once, and deletes its logbook."""
    events, faults = [], Faults()
    conductor = Conductor(
        "me", faulty_board(world.board, faults), world.store, wait_timeout=0.05, retention=0
    )
    conductor.notifier.register(
        "running_end", lambda *_, **__: faults.add(Fault(1, Kind.AFTER, {"complete_and_claim"}))
    )
    conductor.notifier.register("*", lambda event, details: events.append(event))
    job = world.post("plain")
    with running(conductor):
        assert job.wait(LONG)
        eventually(lambda: "job_consumed" in events)
    assert faults.injected
    assert [event for event in events if event.startswith("job_")] == ["job_consumed"]
    with world.store.get_connection() as connection:
        assert connection.get_logbooks() == []


@pytest.mark.parametrize("slots", [1, 3])
def test_outcomes_are_kept_until_the_board_is_back(slots, world):
    jobs = [world.post("plain") for _ in range(3)]
    faults = Faults()
    conductor = Conductor(
        "me", faulty_board(world.board, faults), world.store, max_simultaneous_jobs=slots, wait_timeout=0.05
    )
    fail = Fault(1, Kind.BEFORE, {"complete_and_claim"}, times=5)
    conductor.notifier.register("running_end", lambda *_, **__: faults.injected or faults.add(fail))
    with running(conductor):
        for job in jobs:
            assert job.result(LONG)["first"] == "a"
    assert faults.injected
    assert sorted(world.done()) == [("a", "execute")] * 3 + [("b", "execute")] * 3


def test_a_store_that_fails_in_mid_run_does_not_end_the_job(world):
    """At each call of the store in turn: the flow goes on, and what was recorded is not repeated."""
    for faults in each_call((Kind.BEFORE,)):
        job, before = world.post("raising"), len(world.done())
        Conductor("me", world.board, FaultyBackend(world.store, faults), wait_timeout=0.05).run(1)
        if world.snapshot(job).outcome is None:
            assert world.last_claim(job).ended == "deferred"
            assert "injected fault" in world.last_claim(job).reason or world.flow_state(job) == st.REVERTED
            with running(world.conductor()):
                assert job.wait(LONG)
        assert (world.snapshot(job).state, world.flow_state(job)) == ("failed", st.REVERTED)
        assert world.done()[before:][-1] == ("a", "revert")


def test_a_job_that_is_not_run_is_released(world, caplog):
    """After ``rescue_after`` another conductor gets it; meanwhile the health report says so."""
    job = world.post("plain")
    conductor = world.conductor(4, kind=OnExecutor, executor=LosingExecutor(), rescue_after=1.0)
    with running(conductor):
        eventually(lambda: world.snapshot(job).state == "claimed")
        eventually(lambda: conductor.unattended == ["plain"])
        assert not health(conductor, ConductorStats())["ok"]
        eventually(
            lambda: len(world.snapshot(job).record.claims) > 1 or world.snapshot(job).state == "waiting"
        )
        claim = world.snapshot(job).record.claims[0]
        assert (claim.ended, claim.reason) == ("abandoned", "its conductor did not work on it for 1 s")
        assert "did not work on it" in caplog.text


def test_a_claim_that_its_conductor_does_not_know_is_released(world):
    """One made under its name elsewhere in the program counts as such."""
    job = world.post("plain")
    world.board.claim(job, "me")
    with running(world.conductor(rescue_after=0.3)):
        assert job.result(LONG)["first"] == "a"


def test_a_long_task_is_work(world):
    job = world.post("plain")
    conductor = world.conductor(rescue_after=0.1, kind=Slow)
    with running(conductor):
        assert conductor.begun.wait(LONG)
        conductor._claim_monitor.check()
        assert conductor.released.wait(1.0) is False
        conductor.go_on.set()
        assert job.result(LONG)["first"] == "a"
    assert world.snapshot(job).state == "succeeded"


class Slow(Conductor):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.begun, self.go_on, self.released = threading.Event(), threading.Event(), threading.Event()
        self.notifier.register("job_abandoned", lambda *_, **__: self.released.set())

    def _listeners_from_job(self, job, engine):
        self.begun.set()
        assert self.go_on.wait(LONG)
        return ()


def test_rescue_after_is_positive(world):
    with pytest.raises(ValueError, match="positive number of seconds, not 0"):
        backends.fetch("blocking", "me", world.board, rescue_after=0)
