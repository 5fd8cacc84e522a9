"""Undocumented behaviour of TaskFlow's engines that programs depend on."""

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


class Recorded(Task):
    """Records its calls."""

    def __init__(self, name, log, **kwargs):
        self.log = log
        super().__init__(name, **kwargs)

    def execute(self):
        self.log.append(self.name)
        return self.name

    def revert(self, **kwargs):
        self.log.append(f"-{self.name}")


class Fails(Recorded):
    def execute(self):
        super().execute()
        raise RuntimeError("woot")


class FailsToRevert(Recorded):
    def revert(self, **kwargs):
        raise ValueError("gotcha")


@pytest.fixture
def log():
    return []


@pytest.fixture(params=["serial", "parallel"])
def kind(request):
    return request.param


def listen(engine):
    """Collect the notifications of an engine, including those of the flow."""
    notifications = []
    engine.atom_notifier.register(
        "*", lambda state, details: notifications.append(f"{details['task_name']} {state}")
    )
    engine.notifier.register(
        "*", lambda state, details: notifications.append(f"{details['flow_name']} {state}")
    )
    return notifications


# ------------------------------------------------------------------ methods


@pytest.mark.parametrize("method", ["pre_execute", "execute", "post_execute"])
def test_a_method_replaced_after_construction_is_called(method, kind, log):
    work = Recorded("a", log)
    setattr(work, method, lambda: log.append(method))
    engines.run(work, engine=kind)
    assert method in log


@pytest.mark.parametrize("method", ["pre_revert", "revert", "post_revert"])
def test_a_revert_method_replaced_after_construction_is_called(method, kind, log):
    work = Recorded("a", log)
    setattr(work, method, lambda **kwargs: log.append(method))
    with pytest.raises(RuntimeError, match="woot"):
        engines.run(linear_flow.Flow("f").add(work, Fails("b", log)), engine=kind)
    assert method in log


def test_a_class_patched_after_compilation(kind, log, monkeypatch):
    engine = engines.load(Recorded("a", log), engine=kind)
    engine.compile()
    monkeypatch.setattr(Recorded, "execute", lambda self: f"patched {self.name}")
    engine.run()
    assert engine.storage.get("a") == "patched a"


def test_replaced_methods_of_a_retry(kind, log):
    again = Times(1, "r")
    answers = iter([RETRY, RETRY, REVERT])
    again.on_failure = lambda *args, **kwargs: next(answers)
    with pytest.raises(RuntimeError, match="woot"):
        engines.run(linear_flow.Flow("f", again).add(Fails("a", log)), engine=kind)
    assert log == ["a", "-a"] * 3


def counted(method):
    """Count calls; sets ``__wrapped__``, like decorators of services."""

    @functools.wraps(method)
    def wrapper(self, result, flow_failures, **kwargs):
        self.log.append(f"{self.name} gave {result}, then {sorted(flow_failures)} failed")
        return method(self, **kwargs)

    return wrapper


def popped(method):
    """Remove an argument that is for the decorator only."""

    @functools.wraps(method)
    def wrapper(self, *args, **kwargs):
        self.log.append(f"{self.name} gave {kwargs.pop('result')}")
        kwargs.pop("flow_failures")
        return method(self, *args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    ("decorator", "expected"), [(counted, "a gave a, then ['b'] failed"), (popped, "a gave a")]
)
def test_a_decorated_revert_receives_the_arguments_of_the_decorator(decorator, expected, kind, log):
    class Decorated(Recorded):
        @decorator
        def revert(self):
            self.log.append("undone")

    with pytest.raises(RuntimeError, match="woot"):
        engines.run(linear_flow.Flow("f").add(Decorated("a", log), Fails("b", log)), engine=kind)
    assert log == ["a", "b", "-b", expected, "undone"]


def test_a_revert_that_is_not_hashable(log):
    class Undo:
        __hash__ = None

        def __call__(self, **kwargs):
            log.append(sorted(kwargs))

    work = Recorded("a", log)
    work.revert = Undo()
    with pytest.raises(RuntimeError, match="woot"):
        engines.run(linear_flow.Flow("f").add(work, Fails("b", log)))
    assert log[-1] == ["flow_failures", "result"]


# ------------------------------------------------------------------ progress


def test_an_overridden_update_progress_is_called_at_transitions(kind, log):
    class Telling(Recorded):
        def update_progress(self, progress, **kwargs):
            super().update_progress(progress, **kwargs)
            self.log.append(progress)

        def execute(self):
            self.update_progress(0.5)

    engines.run(Telling("a", log), engine=kind)
    assert log == [0.0, 0.5, 1.0]


def test_an_error_in_update_progress_is_ignored(kind, log, caplog):
    work = Recorded("a", log)

    def broken(progress):
        raise ValueError(f"cannot store {progress}")

    work.update_progress = broken
    engines.run(work, engine=kind)
    assert log == ["a"]
    assert "cannot store 1.0" in caplog.text


def test_progress_notified_directly_is_stored(kind, log):
    class ByHand(Recorded):
        def execute(self):
            self.notifier.notify(EVENT_UPDATE_PROGRESS, {"progress": 0.5, "file": "x"})

    engine = engines.load(ByHand("a", log), engine=kind)
    engine.run()
    assert engine.storage.get_task_progress_details("a") == {"at_progress": 0.5, "details": {"file": "x"}}


# ------------------------------------------------------------------ engines


def test_a_patched_run_is_used(kind, log, monkeypatch):
    monkeypatch.setattr(classes.ActionEngine, "run", lambda self, timeout=None: log.append("patched"))
    engines.run(Recorded("a", log), engine=kind)
    assert log == ["patched"]


def test_a_patched_load_is_used_by_run(log, monkeypatch):
    loads = helpers.load
    monkeypatch.setattr(helpers, "load", lambda flow, *rest, **more: log.append("load") or loads(flow))
    engines.run(Recorded("a", log))
    assert log == ["load", "a"]


def test_a_subclass_of_an_engine(log):
    class Loud(classes.SerialActionEngine):
        def run(self, timeout=None):
            log.append("run")
            super().run(timeout)

        def suspend(self):
            log.append("suspend")
            super().suspend()

    flow = linear_flow.Flow("f").add(Recorded("a", log), Recorded("b", log))
    engine = Loud(flow, factory.create_flow_detail(flow), None, {})
    engine.atom_notifier.register(st.SUCCESS, lambda state, details: engine.suspend())
    engine.run()
    assert isinstance(engine, classes.ActionEngine)
    assert log == ["run", "a", "suspend"]
    assert engine.storage.get_flow_state() == st.SUSPENDED


def test_the_text_of_an_engine(kind, log):
    engine = engines.load(graph_flow.Flow("f").add(Recorded("a", log)), engine=kind)
    assert repr(engine).startswith(f"<taskflow.engines.action_engine.engine.{kind.capitalize()}ActionEngine")
    assert engine.compilation is None
    engine.compile()
    assert [str(node.name) for node in engine.compilation.execution_graph] == ["f", "a", "f[$]"]
    assert engine.compilation is engine.compilation


def test_the_task_executor_of_an_engine():
    flow = linear_flow.Flow("f")
    on = [engines.load(flow, engine=kind)._task_executor for kind in ("serial", "parallel")]
    assert [type(one) for one in on] == [executor.SerialTaskExecutor, executor.ParallelThreadTaskExecutor]


def test_a_replaced_task_executor(log):
    class Counting(executor.SerialTaskExecutor):
        def submit(self, call):
            log.append("submit")
            super().submit(call)

    engine = engines.load(Recorded("a", log))
    engine._task_executor = Counting()
    engine.run()
    assert log == ["submit", "a"]


def test_a_flow_with_a_failed_revert_ends_in_failure(kind, log):
    flow = linear_flow.Flow("f").add(FailsToRevert("a", log), Fails("b", log))
    engine = engines.load(flow, engine=kind)
    notifications = listen(engine)
    with pytest.raises(ValueError, match="gotcha"):
        engine.run()
    assert engine.storage.get_flow_state() == st.FAILURE
    assert notifications[-2:] == ["a REVERT_FAILURE", "f FAILURE"]


def test_run_iter_ends_with_the_state_of_the_flow(kind, log):
    flow = linear_flow.Flow("f").add(FailsToRevert("a", log), Fails("b", log))
    stages = engines.run_iter(flow, engine=kind)
    seen = []
    with pytest.raises(ValueError, match="gotcha"):
        seen.extend(stages)
    assert seen[-2:] == [st.ANALYZING, st.FAILURE]


def test_run_iter_of_an_empty_flow_yields_all_states(kind):
    seen = list(engines.run_iter(linear_flow.Flow("f"), engine=kind))
    assert seen == [st.RESUMING, st.SCHEDULING, st.WAITING, st.ANALYZING, st.SUCCESS]


def test_a_serial_engine_has_finished_its_work_when_it_is_waiting(log):
    engine = engines.load(linear_flow.Flow("f").add(Recorded("a", log), Recorded("b", log)))
    for state in engine.run_iter():
        log.append(state)
    assert log == [
        st.RESUMING,
        *(st.SCHEDULING, "a", st.WAITING, st.ANALYZING),
        *(st.SCHEDULING, "b", st.WAITING, st.ANALYZING),
        st.SUCCESS,
    ]


def test_a_serial_batch_is_notified_together_and_stored_one_by_one(log):
    backend = MemoryBackend()
    seen = []

    class Looks(Recorded):
        def execute(self):
            with backend.get_connection() as connection:
                seen.extend(detail.state for detail in connection.get_flow_details(detail_of.uuid))

    flow = unordered_flow.Flow("f").add(Recorded("a", log), Looks("b", log))
    detail_of = factory.create_flow_detail(flow, backend=backend)
    engine = engines.load(flow, flow_detail=detail_of, backend=backend)
    notifications = listen(engine)
    engine.run()
    assert [text for text in notifications if not text.startswith("f")] == [
        "a RUNNING",
        "b RUNNING",
        "a SUCCESS",
        "b SUCCESS",
    ]
    assert seen == [st.SUCCESS, st.RUNNING]


def test_a_reset_is_notified_for_every_atom(kind, log):
    engine = engines.load(linear_flow.Flow("f").add(Recorded("a", log), Recorded("b", log)), engine=kind)
    engine.run()
    notifications = listen(engine)
    engine.reset()
    assert notifications == ["a PENDING", "b PENDING", "f PENDING"]


def test_the_cause_of_a_rollback_is_raised_although_its_atom_is_gone(kind, log):
    first = engines.load(linear_flow.Flow("f").add(Recorded("a", log), Fails("b", log)), engine=kind)
    first.atom_notifier.register(st.REVERTED, lambda state, details: first.suspend())
    first.run()
    detail = first.storage._flowdetail
    second = engines.load(linear_flow.Flow("f").add(Recorded("a", log)), flow_detail=detail, engine=kind)
    with pytest.raises(RuntimeError, match="woot"):
        second.run()
    assert second.storage.get_flow_state() == st.REVERTED
    assert log == ["a", "b", "-b", "-a"]


def test_greenthreads_need_eventlet():
    with pytest.raises(exc.NotSupported, match="eventlet"):
        engines.load(linear_flow.Flow("f"), engine="parallel", executor="greenthreads")


def test_parameters_of_a_uri_are_options(log):
    threads = set()

    class Where(Recorded):
        def execute(self):
            threads.add(threading.get_ident())

    flow = linear_flow.Flow("f").add(Where("a", log), Where("b", log))
    engine = engines.load(flow, engine="parallel://?max_workers=1")
    engine.run()
    assert engine.options == {"max_workers": "1"}
    assert len(threads) == 1


# ------------------------------------------------------------------ factories


def a_flow(name):
    """Create a flow; importable from this module."""
    return linear_flow.Flow(name)


def test_flow_from_detail():
    engine = engines.load_from_factory(a_flow, factory_kwargs={"name": "shop"})
    again = engines.flow_from_detail(engine.storage._flowdetail)
    assert again.name == "shop"


def test_a_factory_is_imported_with_oslo_utils(monkeypatch):
    importutils = pytest.importorskip("oslo_utils.importutils", reason="it comes with TaskFlow")
    _, detail = factory.temporary_flow_detail()
    detail.meta["factory"] = {"name": "nowhere.made", "args": ["shop"]}
    monkeypatch.setattr(importutils, "import_class", lambda name: lambda word: (name, word))
    assert engines.flow_from_detail(detail) == ("nowhere.made", "shop")


@pytest.mark.parametrize(
    ("meta", "error", "message"),
    [
        ({}, ValueError, "no factory information saved"),
        ({"factory": {"name": "nowhere.at_all"}}, ImportError, "Could not import factory 'nowhere.at_all'"),
    ],
)
def test_a_flow_that_cannot_be_created_again(meta, error, message):
    _, detail = factory.temporary_flow_detail()
    detail.meta.update(meta)
    with pytest.raises(error, match=message):
        engines.flow_from_detail(detail)


def test_submodules_are_imported_from_their_package(python):
    assert python("""
        from stackl_flow import compat
        compat.install()
        from taskflow.engines import base, helpers
        from taskflow.engines.action_engine import compiler, engine
        import taskflow.engines
        print(base.__name__, hasattr(taskflow.engines, "nonsense"))
    """) == ["stackl_flow.engines.base False"]


class Plain(base.Engine):
    """A minimal engine on TaskFlow's base class, of another package."""

    storage = statistics = None

    def rest(self):
        """Do nothing."""

    compile = prepare = validate = suspend = reset = rest

    def run(self):
        self._flow.log.append("run")


def test_an_engine_of_another_package(log, tmp_path, monkeypatch):
    folder = tmp_path / "plain-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plain\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[taskflow.engines]\nplain = {__name__}:Plain\n")
    monkeypatch.syspath_prepend(tmp_path)
    engine = engines.load(Recorded("a", log), engine="plain://?speed=2")
    engine.run()
    assert (log, engine.options, engine.compilation) == (["run"], {"speed": "2"}, None)
    with pytest.raises(exc.NotSupported, match=r"Plain cannot run 'a' step by step.*call run"):
        engine.run_iter()
