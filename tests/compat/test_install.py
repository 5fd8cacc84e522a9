"""TaskFlow's names served in a process of their own: what is served, what is refused, what takes effect."""

import re
import textwrap

import pytest

from stackl_flow.compat import logger_names
from tests.compat.upstream_suite import ROOT


def test_what_serves_is_the_very_module(python):
    assert python("""
        from stackl_flow import compat
        compat.install()
        compat.install()
        import taskflow.task, taskflow.retry, taskflow.patterns.graph_flow, taskflow.types.failure
        import stackl_flow.task, stackl_flow.retry, stackl_flow.patterns.graph_flow, stackl_flow.failure
        print(taskflow.task is stackl_flow.task, taskflow.retry is stackl_flow.retry)
        print(taskflow.patterns.graph_flow.Flow is stackl_flow.patterns.graph_flow.Flow)
        print(taskflow.types.failure.Failure is stackl_flow.failure.Failure)
        print(stackl_flow.task.__spec__.name, compat.is_installed())
    """) == ["True True", "True", "True", "stackl_flow.task True"]


def test_nothing_is_installed_on_its_own(python):
    assert python("""
        import sys, stackl_flow, stackl_flow.compat
        print(stackl_flow.compat.is_installed())
        import taskflow.task
        print("site-packages" in taskflow.task.__file__)
    """) == ["False", "True"]


def test_too_late_where_taskflow_is_imported_already(python):
    (said,) = python("""
        import taskflow.task
        from stackl_flow import compat
        try:
            compat.install()
        except ImportError as error:
            print(error)
        assert not compat.is_installed()
    """)

    assert "TaskFlow itself is already imported" in said
    assert "python -m stackl_flow.compat" in said


def test_every_name_of_the_table_is_served(python):
    assert (
        python("""
        import importlib, sys
        from stackl_flow import compat
        from stackl_flow.compat import module_map
        compat.install()
        for name, ours in module_map.MODULES.items():
            served = importlib.import_module(name)
            assert served is sys.modules[ours], name
            parent, _, child = name.rpartition(".")
            assert getattr(sys.modules[parent], child) is served, name
            assert hasattr(served, "LOG"), name
        for name in module_map.PACKAGES:
            importlib.import_module(name)
    """)
        == []
    )


def test_a_module_that_is_not_served_says_where_to_look(python):
    said = python("""
        from stackl_flow import compat
        compat.install()
        for name in ("taskflow.engines.worker_based.engine", "taskflow.utils.nothing", "taskflow.tasks"):
            try:
                __import__(name)
            except ImportError as error:
                print(error)
    """)

    assert said[0].startswith("stackl_flow.compat does not provide 'taskflow.engines.worker_based'")
    assert "Celery" in said[0]
    assert "taskflow.utils.misc" in said[1]
    assert "taskflow.task" in said[2]


def test_a_name_that_is_not_served_says_where_to_look(python):
    (said,) = python("""
        from stackl_flow import compat
        compat.install()
        try:
            from taskflow.task import Nothing
        except ImportError as error:
            print(error)
    """)

    assert "cannot import name 'Nothing' from 'stackl_flow.task'" in said
    assert "task.py" in said


def test_patches_of_dotted_names_take_effect(python):
    assert python("""
        from unittest import mock
        from stackl_flow import compat
        compat.install()
        import taskflow.engines
        from taskflow import task
        from taskflow.patterns import linear_flow

        class Hello(task.Task):
            def execute(self):
                print("hello")

        with mock.patch("taskflow.task.Task.__init__", side_effect=ValueError("patched")):
            try:
                Hello()
            except ValueError as error:
                print(error)
        flow = linear_flow.Flow("f").add(Hello())
        with mock.patch("taskflow.engines.load", return_value="an engine"):
            print(taskflow.engines.load(flow))
        with mock.patch("taskflow.engines.action_engine.engine.ActionEngine.run"):
            taskflow.engines.load(flow).run()
        taskflow.engines.run(flow)
    """) == ["patched", "an engine", "hello"]


def test_methods_are_looked_up_when_called(python):
    assert python("""
        import functools
        from stackl_flow import compat
        compat.install()
        import taskflow.engines
        from taskflow import task
        from taskflow.patterns import linear_flow

        def spoken(method):
            @functools.wraps(method)
            def wrapper(*args, **kwargs):
                print("wrapped", sorted(kwargs))
                return method(*args, **kwargs)
            return wrapper

        class Add(task.Task):
            default_provides = "sum"

            @spoken
            def execute(self, a, b=2):
                return a + b

        first = Add()
        print(taskflow.engines.run(linear_flow.Flow("f").add(first), store={"a": 1})["sum"])
        first.execute = lambda **kwargs: "replaced"
        print(taskflow.engines.run(linear_flow.Flow("f").add(first), store={"a": 1})["sum"])
    """) == ["wrapped ['a']", "3", "replaced"]


def test_callbacks_get_details_by_keyword(python):
    assert python("""
        from stackl_flow import compat
        compat.install()
        import taskflow.engines
        from taskflow import task
        from taskflow.patterns import linear_flow

        def heard(state, details):
            print(state, sorted(details))

        engine = taskflow.engines.load(linear_flow.Flow("f").add(task.FunctorTask(lambda: 5, name="five")))
        engine.notifier.register("SUCCESS", heard)
        engine.atom_notifier.register("SUCCESS", heard)
        engine.run()
    """) == [
        "SUCCESS ['old_state', 'result', 'task_name', 'task_uuid']",
        "SUCCESS ['engine', 'flow_name', 'flow_uuid', 'old_state']",
    ]


@pytest.mark.parametrize("before", ["", "import stackl_flow.task, stackl_flow.notifier"])
def test_records_carry_taskflows_logger_names(python, before):
    assert python(f"""
        import logging
        {before}
        from stackl_flow import compat
        compat.install()

        class Shown(logging.Handler):
            def emit(self, record):
                print(record.name, record.levelname)

        logging.getLogger("taskflow").addHandler(Shown())
        from taskflow import task
        from taskflow.types import notifier

        class Loud(task.Task):
            def execute(self):
                self.update_progress(5.0)

        teller = notifier.Notifier()
        teller.register("*", lambda *args, **kwargs: 1 / 0)
        teller.notify("SUCCESS", {{}})
        Loud().execute()
        logging.getLogger("taskflow.task").setLevel(logging.ERROR)
        Loud().execute()
    """) == ["taskflow.types.notifier WARNING", "taskflow.task WARNING"]


@pytest.fixture
def plugged(tmp_path):
    """A package that registers an engine and a backend under TaskFlow's groups."""
    plugs = tmp_path / "plugs"
    info = plugs / "others-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[taskflow.engines]\nmine = others:Mine\n[taskflow.persistence]\nhere = others:Here\n"
    )
    (plugs / "others.py").write_text(
        textwrap.dedent("""
            from taskflow.engines.action_engine import engine
            from taskflow.persistence.backends import impl_memory

            class Mine(engine.SerialActionEngine):
                pass

            class Here(impl_memory.MemoryBackend):
                pass
        """)
    )
    return plugs


def test_plug_ins_of_taskflows_groups_are_found(python, plugged):
    assert python(
        """
        from stackl_flow import compat
        compat.install()
        from taskflow import engines, exceptions, task
        from taskflow.patterns import linear_flow
        from taskflow.persistence import backends

        flow = linear_flow.Flow("f").add(task.FunctorTask(lambda: 5, name="five", provides="x"))
        place = backends.fetch({"connection": "here"})
        engine = engines.load(flow, engine="mine", backend=place)
        engine.run()
        print(type(engine).__module__, type(place).__module__, engine.storage.fetch("x"))
        try:
            engines.load(flow, engine="nobody")
        except exceptions.NotFound as error:
            print(error)
        """,
        plugged,
    ) == [
        "others others 5",
        "unknown engine 'nobody' in 'taskflow.engines': known engines are default, mine, parallel, serial",
    ]


def test_a_retry_derived_from_for_each_base(python):
    assert python("""
        from stackl_flow import compat
        compat.install()
        from taskflow import engines, retry, task
        from taskflow.patterns import linear_flow

        class Odd(retry.ForEachBase):
            def on_failure(self, history, *args, **kwargs):
                return self._on_failure([1, 3, 5], history)

            def execute(self, history, *args, **kwargs):
                return self._get_next_value([1, 3, 5], history)

        def work(number):
            print(number)
            if number < 5:
                raise ValueError(number)

        engines.run(linear_flow.Flow("f", retry=Odd(provides="number")).add(task.FunctorTask(work)))
    """) == ["1", "3", "5"]


def test_every_logger_of_ours_has_a_name_of_taskflows():
    sources = [
        path
        for path in (ROOT / "stackl_flow").rglob("*.py")
        if "testing" not in path.parts and re.search(r"[lL]ogger\(__name__\)", path.read_text())
    ]
    speaking = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sources}

    assert len(speaking) > 10
    unmapped = speaking - logger_names.taskflow_loggers().keys()
    assert unmapped == set(), "add them to stackl_flow/compat/logger_names.py"


@pytest.mark.parametrize("engine", ["serial", "parallel"])
def test_the_road_to_a_task_is_as_short_as_without(python, engine):
    (said,) = python(f"""
        import sys
        from stackl_flow import compat
        compat.install()
        from taskflow import engines, task
        from taskflow.patterns import linear_flow

        class Work(task.Task):
            def execute(self):
                names, frame = [], sys._getframe(1)
                while frame is not None and frame.f_code.co_name not in ("go", "run"):
                    names.append(frame.f_code.co_qualname)
                    frame = frame.f_back
                print(len(names))

        engines.run(linear_flow.Flow("f").add(Work()), engine="{engine}")
    """)

    assert int(said) <= 5


def test_a_program_without_logging_is_told_nothing(python):
    assert python("""
        import sys
        sys.stderr = sys.stdout
        from stackl_flow import compat
        compat.install()
        from taskflow import task

        class Loud(task.Task):
            def execute(self):
                self.update_progress(5.0)

        Loud().execute()
        print("done")
    """) == ["done"]
