"""Executors of the serial and the parallel engine."""

import importlib.util
import threading
from concurrent import futures

import futurist
import pytest

from stackl_flow import LinearFlow, UnorderedFlow, engines, states, task
from stackl_flow import exceptions as exc
from stackl_flow.persistence import factory
from tests.engines.tasks import ALWAYS, Step, final_state


def here(name):
    """Create a task that provides the name of its thread."""
    return task.FunctorTask(lambda: threading.current_thread().name, name=name, provides=name)


def test_serial_engine_runs_tasks_in_the_calling_thread():
    assert engines.run(here("a"))["a"] == threading.current_thread().name


def test_parallel_engine_runs_tasks_in_other_threads():
    assert engines.run(here("a"), engine="parallel")["a"] != threading.current_thread().name


def test_max_workers_tasks_run_concurrently():
    barrier = threading.Barrier(3)
    flow = UnorderedFlow("f").add(
        *(task.FunctorTask(lambda: barrier.wait(30), name=f"t{n}", provides=f"t{n}") for n in range(3))
    )
    # Each waits for the two others: it ends only if all three run concurrently.
    found = engines.run(flow, engine="parallel", max_workers=3)
    assert sorted(found.values()) == [0, 1, 2]


@pytest.mark.parametrize("word", ["thread", "threads", "THREADED"])
def test_names_of_thread_executors(word):
    assert engines.run(here("a"), engine="parallel", executor=word)["a"] != threading.current_thread().name


@pytest.mark.parametrize(
    "make",
    [
        lambda: futurist.ThreadPoolExecutor(max_workers=2),
        lambda: futures.ThreadPoolExecutor(max_workers=2),
        futurist.SynchronousExecutor,
    ],
)
def test_external_executor_is_used_and_not_shut_down(make, log):
    with make() as pool:
        flow = LinearFlow("f").add(Step("a", log), Step("b", log, fails=1))
        engine = engines.load(flow, engine="parallel", executor=pool)
        assert final_state(engine, ValueError) == states.REVERTED
        assert final_state(engine) == states.SUCCESS
        assert pool.submit(lambda: 5).result() == 5
    assert log == ["a", "b", "-b", "-a", "a", "b"]


def test_pool_can_be_shared_between_running_engines():
    barrier = threading.Barrier(2)

    def meet(name):
        return task.FunctorTask(lambda: barrier.wait(30), name=name, provides=name)

    with futures.ThreadPoolExecutor(max_workers=2) as pool:
        flows = [engines.load(meet(n), engine="parallel", executor=pool) for n in "ab"]
        threads = [threading.Thread(target=engine.run) for engine in flows]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert [engine.storage.get_flow_state() for engine in flows] == [states.SUCCESS] * 2


def test_own_pool_is_shut_down_after_the_run():
    before = threading.active_count()
    for _ in range(3):
        engines.run(
            UnorderedFlow("f").add(*(here(f"t{n}") for n in range(8))), engine="parallel", max_workers=4
        )
    assert threading.active_count() == before


def test_pool_that_was_shut_down_fails_the_flow_which_can_continue_on_another(log):
    pool = futures.ThreadPoolExecutor(max_workers=1)
    pool.shutdown()
    flow = LinearFlow("f").add(Step("a", log))
    engine = engines.load(flow, engine="parallel", executor=pool)
    with pytest.raises(RuntimeError, match="shutdown"):
        engine.run()
    assert engine.storage.get_flow_state() == states.FAILURE
    assert log == []
    again = engines.load(flow, flow_detail=engine._flow_detail, engine="parallel")
    assert final_state(again) == states.SUCCESS
    assert log == ["a"]


@pytest.mark.skipif(importlib.util.find_spec("eventlet") is not None, reason="greenthreads are there")
def test_greenthreads_without_eventlet_are_rejected():
    with pytest.raises(exc.NotSupported, match=r"'greenthreads' requires eventlet.*install it"):
        engines.load(LinearFlow("f"), engine="parallel", executor="greenthreads")


@pytest.mark.parametrize("word", ["processes", "process", "nonsense"])
def test_unknown_executor_name_is_rejected(word):
    with pytest.raises(ValueError, match=f"'{word}' expected one of.*threads") as caught:
        engines.load(LinearFlow("f"), engine="parallel", executor=word)
    assert ("not supported yet" in str(caught.value)) is (word != "nonsense")


@pytest.mark.parametrize("thing", [object(), 4, futures.ThreadPoolExecutor])
def test_object_that_is_not_an_executor_is_rejected(thing):
    with pytest.raises(TypeError, match=r"accepts a ThreadPoolExecutor of concurrent.futures or") as caught:
        engines.load(LinearFlow("f"), engine="parallel", executor=thing)
    assert ("pass an instance" in str(caught.value)) is isinstance(thing, type)


class OwnProcesses(futures.ProcessPoolExecutor):
    """A process pool of another library."""


@pytest.mark.parametrize("make", [futures.ProcessPoolExecutor, futurist.ProcessPoolExecutor, OwnProcesses])
def test_process_pools_are_rejected_with_the_alternatives(make, backend, log):
    flow = LinearFlow("f").add(Step("a", log))
    detail = factory.create_flow_detail(flow, backend=backend)
    refused = pytest.raises(exc.NotSupported, match=r"ThreadPoolExecutor.*'threads'.*not supported yet")
    with make(max_workers=1) as pool, refused:
        engines.load(flow, flow_detail=detail, backend=backend, engine="parallel", executor=pool)
    assert (
        final_state(engines.load(flow, flow_detail=detail, backend=backend, engine="parallel"))
        == states.SUCCESS
    )


def test_more_tasks_than_slots_all_run(log):
    names = [f"t{n}" for n in range(200)]
    engine = engines.load(
        UnorderedFlow("f").add(*(Step(n, log) for n in names)), engine="parallel", max_workers=2
    )
    engine.run()
    assert sorted(log) == sorted(names)


def test_parallel_failures_revert_everything_that_ran(log):
    tasks = [Step(f"t{n}", log, fails=ALWAYS if n % 7 == 3 else 0) for n in range(30)]
    engine = engines.load(UnorderedFlow("f").add(*tasks), engine="parallel", max_workers=4)
    assert final_state(engine, Exception) == states.REVERTED
    ran = sorted(name for name in log if not name.startswith("-"))
    assert sorted(name[1:] for name in log if name.startswith("-")) == ran
    assert len(ran) == len(set(ran))
