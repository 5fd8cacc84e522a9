"""What programs written for TaskFlow lean on in its engines without saying so."""

import functools
import threading

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.compat import engines
from stackl_flow.compat.engines import helpers
from stackl_flow.compat.engines.action_engine import engine as classes
from stackl_flow.compat.engines.action_engine import executor
from stackl_flow.compat.persistence.backends.impl_memory import MemoryBackend
from stackl_flow.engines import base
from stackl_flow.patterns import graph_flow, linear_flow, unordered_flow
from stackl_flow.persistence import factory
from stackl_flow.retry import RETRY, REVERT, Times
from stackl_flow.task import EVENT_UPDATE_PROGRESS, Task


class Said(Task):
    """Writes down that it ran."""

    def __init__(self, name, log, **kwargs):
        self.log = log
        super().__init__(name, **kwargs)

    def execute(self):
        self.log.append(self.name)
        return self.name

    def revert(self, **kwargs):
        self.log.append(f"-{self.name}")


class Fails(Said):
    def execute(self):
        super().execute()
        raise RuntimeError("woot")


class FailsToRevert(Said):
    def revert(self, **kwargs):
        raise ValueError("gotcha")


@pytest.fixture
def log():
    return []


@pytest.fixture(params=["serial", "parallel"])
def kind(request):
    return request.param


def listen(engine):
    """Collect what an engine tells, flows too."""
    told = []
    engine.atom_notifier.register("*", lambda state, details: told.append(f"{details['task_name']} {state}"))
    engine.notifier.register("*", lambda state, details: told.append(f"{details['flow_name']} {state}"))
    return told


# ------------------------------------------------------------------ methods


@pytest.mark.parametrize("method", ["pre_execute", "execute", "post_execute"])
def test_a_method_replaced_after_construction_is_the_one_called(method, kind, log):
    work = Said("a", log)
    setattr(work, method, lambda: log.append(method))
    engines.run(work, engine=kind)
    assert method in log


@pytest.mark.parametrize("method", ["pre_revert", "revert", "post_revert"])
def test_so_it_is_when_undoing(method, kind, log):
    work = Said("a", log)
    setattr(work, method, lambda **kwargs: log.append(method))
    with pytest.raises(RuntimeError, match="woot"):
        engines.run(linear_flow.Flow("f").add(work, Fails("b", log)), engine=kind)
    assert method in log


def test_a_class_patched_after_its_tasks_were_made_and_compiled(kind, log, monkeypatch):
    engine = engines.load(Said("a", log), engine=kind)
    engine.compile()
    monkeypatch.setattr(Said, "execute", lambda self: f"patched {self.name}")
    engine.run()
    assert engine.storage.get("a") == "patched a"


def test_a_retry_whose_methods_are_replaced(kind, log):
    again = Times(1, "r")
    answers = iter([RETRY, RETRY, REVERT])
    again.on_failure = lambda *args, **kwargs: next(answers)
    with pytest.raises(RuntimeError, match="woot"):
        engines.run(linear_flow.Flow("f", again).add(Fails("a", log)), engine=kind)
    assert log == ["a", "-a"] * 3


def counted(method):
    """Count calls as decorators of services do; what it decorates can be seen through it."""

    @functools.wraps(method)
    def wrapper(self, result, flow_failures, **kwargs):
        self.log.append(f"{self.name} gave {result}, then {sorted(flow_failures)} failed")
        return method(self, **kwargs)

    return wrapper


def popped(method):
    """Take out of the arguments what is for the decorator alone."""

    @functools.wraps(method)
    def wrapper(self, *args, **kwargs):
        self.log.append(f"{self.name} gave {kwargs.pop('result')}")
        kwargs.pop("flow_failures")
        return method(self, *args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    ("decorator", "words"), [(counted, "a gave a, then ['b'] failed"), (popped, "a gave a")]
)
def test_a_decorated_revert_is_handed_what_the_decorator_takes(decorator, words, kind, log):
    class Decorated(Said):
        @decorator
        def revert(self):
            self.log.append("undone")

    with pytest.raises(RuntimeError, match="woot"):
        engines.run(linear_flow.Flow("f").add(Decorated("a", log), Fails("b", log)), engine=kind)
    assert log == ["a", "b", "-b", words, "undone"]


def test_a_revert_that_is_a_callable_without_a_hash(log):
    class Undo:
        __hash__ = None

        def __call__(self, **kwargs):
            log.append(sorted(kwargs))

    work = Said("a", log)
    work.revert = Undo()
    with pytest.raises(RuntimeError, match="woot"):
        engines.run(linear_flow.Flow("f").add(work, Fails("b", log)))
    assert log[-1] == ["flow_failures", "result"]


# ------------------------------------------------------------------ progress


def test_update_progress_of_a_tasks_own_is_called_at_its_moves(kind, log):
    class Telling(Said):
        def update_progress(self, progress, **kwargs):
            super().update_progress(progress, **kwargs)
            self.log.append(progress)

        def execute(self):
            self.update_progress(0.5)

    engines.run(Telling("a", log), engine=kind)
    assert log == [0.0, 0.5, 1.0]


def test_update_progress_that_raises_breaks_nothing(kind, log, caplog):
    work = Said("a", log)

    def broken(progress):
        raise ValueError(f"no room for {progress}")

    work.update_progress = broken
    engines.run(work, engine=kind)
    assert log == ["a"]
    assert "no room for 1.0" in caplog.text


def test_progress_told_by_hand_is_stored(kind, log):
    class ByHand(Said):
        def execute(self):
            self.notifier.notify(EVENT_UPDATE_PROGRESS, {"progress": 0.5, "file": "x"})

    engine = engines.load(ByHand("a", log), engine=kind)
    engine.run()
    assert engine.storage.get_task_progress_details("a") == {"at_progress": 0.5, "details": {"file": "x"}}


# ------------------------------------------------------------------ engines


def test_a_patched_run_is_the_one_that_runs(kind, log, monkeypatch):
    monkeypatch.setattr(classes.ActionEngine, "run", lambda self, timeout=None: log.append("patched"))
    engines.run(Said("a", log), engine=kind)
    assert log == ["patched"]


def test_a_patched_load_is_the_one_that_run_calls(log, monkeypatch):
    loads = helpers.load
    monkeypatch.setattr(helpers, "load", lambda flow, *rest, **more: log.append("load") or loads(flow))
    engines.run(Said("a", log))
    assert log == ["load", "a"]


def test_a_class_derived_from_an_engine(log):
    class Loud(classes.SerialActionEngine):
        def run(self, timeout=None):
            log.append("run")
            super().run(timeout)

        def suspend(self):
            log.append("suspend")
            super().suspend()

    flow = linear_flow.Flow("f").add(Said("a", log), Said("b", log))
    engine = Loud(flow, factory.create_flow_detail(flow), None, {})
    engine.atom_notifier.register(st.SUCCESS, lambda state, details: engine.suspend())
    engine.run()
    assert isinstance(engine, classes.ActionEngine)
    assert log == ["run", "a", "suspend"]
    assert engine.storage.get_flow_state() == st.SUSPENDED


def test_what_an_engine_shows_of_itself(kind, log):
    engine = engines.load(graph_flow.Flow("f").add(Said("a", log)), engine=kind)
    assert repr(engine).startswith(f"<taskflow.engines.action_engine.engine.{kind.capitalize()}ActionEngine")
    assert engine.compilation is None
    engine.compile()
    assert [str(node.name) for node in engine.compilation.execution_graph] == ["f", "a", "f[$]"]
    assert engine.compilation is engine.compilation


def test_what_an_engine_runs_on():
    flow = linear_flow.Flow("f")
    on = [engines.load(flow, engine=kind)._task_executor for kind in ("serial", "parallel")]
    assert [type(one) for one in on] == [executor.SerialTaskExecutor, executor.ParallelThreadTaskExecutor]


def test_a_task_executor_that_is_put_in_its_place(log):
    class Counting(executor.SerialTaskExecutor):
        def submit(self, call):
            log.append("submit")
            super().submit(call)

    engine = engines.load(Said("a", log))
    engine._task_executor = Counting()
    engine.run()
    assert log == ["submit", "a"]


def test_a_flow_whose_revert_failed_has_failed(kind, log):
    flow = linear_flow.Flow("f").add(FailsToRevert("a", log), Fails("b", log))
    engine = engines.load(flow, engine=kind)
    told = listen(engine)
    with pytest.raises(ValueError, match="gotcha"):
        engine.run()
    assert engine.storage.get_flow_state() == st.FAILURE
    assert told[-2:] == ["a REVERT_FAILURE", "f FAILURE"]


def test_stepping_ends_in_the_state_of_the_flow(kind, log):
    flow = linear_flow.Flow("f").add(FailsToRevert("a", log), Fails("b", log))
    rounds = engines.run_iter(flow, engine=kind)
    seen = []
    with pytest.raises(ValueError, match="gotcha"):
        seen.extend(rounds)
    assert seen[-2:] == [st.ANALYZING, st.FAILURE]


def test_stepping_through_nothing_goes_all_the_way_round(kind):
    seen = list(engines.run_iter(linear_flow.Flow("f"), engine=kind))
    assert seen == [st.RESUMING, st.SCHEDULING, st.WAITING, st.ANALYZING, st.SUCCESS]


def test_a_serial_engine_has_done_its_work_when_it_is_said_to_wait(log):
    engine = engines.load(linear_flow.Flow("f").add(Said("a", log), Said("b", log)))
    for state in engine.run_iter():
        log.append(state)
    assert log == [
        st.RESUMING,
        *(st.SCHEDULING, "a", st.WAITING, st.ANALYZING),
        *(st.SCHEDULING, "b", st.WAITING, st.ANALYZING),
        st.SUCCESS,
    ]


def test_ends_of_a_serial_wave_are_told_together_and_stored_one_by_one(log):
    backend = MemoryBackend()
    seen = []

    class Looks(Said):
        def execute(self):
            with backend.get_connection() as connection:
                seen.extend(detail.state for detail in connection.get_flow_details(detail_of.uuid))

    flow = unordered_flow.Flow("f").add(Said("a", log), Looks("b", log))
    detail_of = factory.create_flow_detail(flow, backend=backend)
    engine = engines.load(flow, flow_detail=detail_of, backend=backend)
    told = listen(engine)
    engine.run()
    assert [word for word in told if not word.startswith("f")] == [
        "a RUNNING",
        "b RUNNING",
        "a SUCCESS",
        "b SUCCESS",
    ]
    assert seen == [st.SUCCESS, st.RUNNING]


def test_a_reset_is_told_of_every_atom(kind, log):
    engine = engines.load(linear_flow.Flow("f").add(Said("a", log), Said("b", log)), engine=kind)
    engine.run()
    told = listen(engine)
    engine.reset()
    assert told == ["a PENDING", "b PENDING", "f PENDING"]


def test_why_a_flow_is_undone_is_raised_although_the_culprit_is_gone(kind, log):
    first = engines.load(linear_flow.Flow("f").add(Said("a", log), Fails("b", log)), engine=kind)
    first.atom_notifier.register(st.REVERTED, lambda state, details: first.suspend())
    first.run()
    detail = first.storage._flowdetail
    second = engines.load(linear_flow.Flow("f").add(Said("a", log)), flow_detail=detail, engine=kind)
    with pytest.raises(RuntimeError, match="woot"):
        second.run()
    assert second.storage.get_flow_state() == st.REVERTED
    assert log == ["a", "b", "-b", "-a"]


def test_greenthreads_need_eventlet():
    with pytest.raises(exc.NotSupported, match="eventlet"):
        engines.load(linear_flow.Flow("f"), engine="parallel", executor="greenthreads")


def test_words_of_an_address_are_options(log):
    threads = set()

    class Where(Said):
        def execute(self):
            threads.add(threading.get_ident())

    flow = linear_flow.Flow("f").add(Where("a", log), Where("b", log))
    engine = engines.load(flow, engine="parallel://?max_workers=1")
    engine.run()
    assert engine.options == {"max_workers": "1"}
    assert len(threads) == 1


# ------------------------------------------------------------------ factories


def a_flow(name):
    """Make a flow, in a module from where it can be imported."""
    return linear_flow.Flow(name)


def test_a_flow_is_made_again_by_its_factory():
    engine = engines.load_from_factory(a_flow, factory_kwargs={"name": "shop"})
    again = engines.flow_from_detail(engine.storage._flowdetail)
    assert again.name == "shop"


def test_a_factory_is_imported_where_taskflow_imports_it(monkeypatch):
    importutils = pytest.importorskip("oslo_utils.importutils", reason="it comes with TaskFlow")
    _, detail = factory.temporary_flow_detail()
    detail.meta["factory"] = {"name": "nowhere.made", "args": ["shop"]}
    monkeypatch.setattr(importutils, "import_class", lambda name: lambda word: (name, word))
    assert engines.flow_from_detail(detail) == ("nowhere.made", "shop")


@pytest.mark.parametrize(
    ("meta", "error", "words"),
    [
        ({}, ValueError, "no factory information saved"),
        ({"factory": {"name": "nowhere.at_all"}}, ImportError, "Could not import factory 'nowhere.at_all'"),
    ],
)
def test_a_flow_that_cannot_be_made_again(meta, error, words):
    _, detail = factory.temporary_flow_detail()
    detail.meta.update(meta)
    with pytest.raises(error, match=words):
        engines.flow_from_detail(detail)


def test_modules_below_a_package_are_imported_from_it(python):
    assert python("""
        from stackl_flow import compat
        compat.install()
        from taskflow.engines import base, helpers
        from taskflow.engines.action_engine import compiler, engine
        import taskflow.engines
        print(base.__name__, hasattr(taskflow.engines, "nonsense"))
    """) == ["stackl_flow.engines.base False"]


class Plain(base.Engine):
    """An engine of another package, with what TaskFlow's base class asks for and no more."""

    storage = statistics = None

    def rest(self):
        """Nothing to do."""

    compile = prepare = validate = suspend = reset = rest

    def run(self):
        self._flow.log.append("run")


def test_an_engine_of_another_package(log, tmp_path, monkeypatch):
    folder = tmp_path / "plain-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plain\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[taskflow.engines]\nplain = {__name__}:Plain\n")
    monkeypatch.syspath_prepend(tmp_path)
    engine = engines.load(Said("a", log), engine="plain://?speed=2")
    engine.run()
    assert (log, engine.options, engine.compilation) == (["run"], {"speed": "2"}, None)
    with pytest.raises(exc.NotSupported, match=r"Plain cannot run 'a' step by step.*call run"):
        engine.run_iter()
