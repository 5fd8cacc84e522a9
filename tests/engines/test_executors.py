"""Where a parallel engine runs its tasks."""

import importlib.util
import threading
from concurrent import futures

import futurist
import pytest

from stackl_flow import LinearFlow, UnorderedFlow, engines, states, task
from stackl_flow import exceptions as exc
from stackl_flow.persistence import factory
from tests.engines.tasks import ALWAYS, Step, ends


def here(name):
    """Make a task that gives the name of the thread it runs in."""
    return task.FunctorTask(lambda: threading.current_thread().name, name=name, provides=name)


def test_the_serial_engine_stays_in_the_calling_thread():
    assert engines.run(here("a"))["a"] == threading.current_thread().name


def test_the_parallel_engine_does_not():
    assert engines.run(here("a"), engine="parallel")["a"] != threading.current_thread().name


def test_as_many_run_at_once_as_there_are_workers():
    barrier = threading.Barrier(3)
    flow = UnorderedFlow("f").add(
        *(task.FunctorTask(lambda: barrier.wait(30), name=f"t{n}", provides=f"t{n}") for n in range(3))
    )
    # Each waits for the two others: it ends only if all three are under way.
    found = engines.run(flow, engine="parallel", max_workers=3)
    assert sorted(found.values()) == [0, 1, 2]


@pytest.mark.parametrize("word", ["thread", "threads", "THREADED"])
def test_a_word_for_threads(word):
    assert engines.run(here("a"), engine="parallel", executor=word)["a"] != threading.current_thread().name


@pytest.mark.parametrize(
    "make",
    [
        lambda: futurist.ThreadPoolExecutor(max_workers=2),
        lambda: futures.ThreadPoolExecutor(max_workers=2),
        futurist.SynchronousExecutor,
    ],
)
def test_an_executor_that_is_given_is_used_and_left_running(make, log):
    with make() as pool:
        flow = LinearFlow("f").add(Step("a", log), Step("b", log, fails=1))
        engine = engines.load(flow, engine="parallel", executor=pool)
        assert ends(engine, ValueError) == states.REVERTED
        assert ends(engine) == states.SUCCESS
        assert pool.submit(lambda: 5).result() == 5
    assert log == ["a", "b", "-b", "-a", "a", "b"]


def test_a_pool_can_be_shared_between_engines_at_work_together():
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


def test_a_pool_of_its_own_is_gone_after_the_run():
    before = threading.active_count()
    for _ in range(3):
        engines.run(
            UnorderedFlow("f").add(*(here(f"t{n}") for n in range(8))), engine="parallel", max_workers=4
        )
    assert threading.active_count() == before


def test_a_pool_that_was_shut_down_stops_the_flow_which_can_go_on_with_another(log):
    pool = futures.ThreadPoolExecutor(max_workers=1)
    pool.shutdown()
    flow = LinearFlow("f").add(Step("a", log))
    engine = engines.load(flow, engine="parallel", executor=pool)
    with pytest.raises(RuntimeError, match="shutdown"):
        engine.run()
    assert engine.storage.get_flow_state() == states.FAILURE
    assert log == []
    again = engines.load(flow, flow_detail=engine._flow_detail, engine="parallel")
    assert ends(again) == states.SUCCESS
    assert log == ["a"]


@pytest.mark.skipif(importlib.util.find_spec("eventlet") is not None, reason="greenthreads are there")
def test_greenthreads_that_are_not_there_are_refused_with_the_remedy():
    with pytest.raises(exc.NotSupported, match=r"'greenthreads' requires eventlet.*install it"):
        engines.load(LinearFlow("f"), engine="parallel", executor="greenthreads")


@pytest.mark.parametrize("word", ["processes", "process", "nonsense"])
def test_an_unknown_word_is_refused_with_the_known_ones(word):
    with pytest.raises(ValueError, match=f"'{word}' expected one of.*threads") as caught:
        engines.load(LinearFlow("f"), engine="parallel", executor=word)
    assert ("not supported yet" in str(caught.value)) is (word != "nonsense")


@pytest.mark.parametrize("thing", [object(), 4, futures.ThreadPoolExecutor])
def test_what_is_no_executor_is_refused(thing):
    with pytest.raises(TypeError, match=r"accepts a ThreadPoolExecutor of concurrent.futures or") as caught:
        engines.load(LinearFlow("f"), engine="parallel", executor=thing)
    assert ("pass an instance" in str(caught.value)) is isinstance(thing, type)


class OwnProcesses(futures.ProcessPoolExecutor):
    """Somebody's own kind of process pool."""


@pytest.mark.parametrize("make", [futures.ProcessPoolExecutor, futurist.ProcessPoolExecutor, OwnProcesses])
def test_processes_are_refused_with_what_is_taken_instead(make, backend, log):
    flow = LinearFlow("f").add(Step("a", log))
    detail = factory.create_flow_detail(flow, backend=backend)
    refused = pytest.raises(exc.NotSupported, match=r"ThreadPoolExecutor.*'threads'.*not supported yet")
    with make(max_workers=1) as pool, refused:
        engines.load(flow, flow_detail=detail, backend=backend, engine="parallel", executor=pool)
    assert ends(engines.load(flow, flow_detail=detail, backend=backend, engine="parallel")) == states.SUCCESS


def test_more_tasks_than_are_handed_over_at_once_all_run(log):
    names = [f"t{n}" for n in range(200)]
    engine = engines.load(
        UnorderedFlow("f").add(*(Step(n, log) for n in names)), engine="parallel", max_workers=2
    )
    engine.run()
    assert sorted(log) == sorted(names)


def test_parallel_failures_are_all_undone(log):
    tasks = [Step(f"t{n}", log, fails=ALWAYS if n % 7 == 3 else 0) for n in range(30)]
    engine = engines.load(UnorderedFlow("f").add(*tasks), engine="parallel", max_workers=4)
    assert ends(engine, Exception) == states.REVERTED
    ran = sorted(name for name in log if not name.startswith("-"))
    assert sorted(name[1:] for name in log if name.startswith("-")) == ran
    assert len(ran) == len(set(ran))
