"""TaskFlow's names in a separate process: available and missing modules, patches, loggers, plugins."""

import re
import textwrap

import pytest

from stackl_flow.compat import logger_names
from tests.compat.upstream_suite import ROOT


def test_the_same_module_object_is_served(python):
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


def test_nothing_is_installed_automatically(python):
    assert python("""
        import sys, stackl_flow, stackl_flow.compat
        print(stackl_flow.compat.is_installed())
        import taskflow.task
        print("site-packages" in taskflow.task.__file__)
    """) == ["False", "True"]


def test_install_after_importing_taskflow_is_an_error(python):
    (output,) = python("""
        import taskflow.task
        from stackl_flow import compat
        try:
            compat.install()
        except ImportError as error:
            print(error)
        assert not compat.is_installed()
    """)

    assert "TaskFlow itself is already imported" in output
    assert "python -m stackl_flow.compat" in output


def test_every_mapped_module_can_be_imported(python):
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


def test_the_error_of_a_missing_module_names_the_alternative(python):
    output = python("""
        from stackl_flow import compat
        compat.install()
        for name in ("taskflow.engines.worker_based.engine", "taskflow.utils.nothing", "taskflow.tasks"):
            try:
                __import__(name)
            except ImportError as error:
                print(error)
    """)

    assert output[0].startswith("stackl_flow.compat does not provide 'taskflow.engines.worker_based'")
    assert "Celery" in output[0]
    assert "taskflow.utils.misc" in output[1]
    assert "taskflow.task" in output[2]


def test_the_error_of_a_missing_name(python):
    (output,) = python("""
        from stackl_flow import compat
        compat.install()
        try:
            from taskflow.task import Nothing
        except ImportError as error:
            print(error)
    """)

    assert "cannot import name 'Nothing' from 'stackl_flow.task'" in output
    assert "task.py" in output


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

        def traced(method):
            @functools.wraps(method)
            def wrapper(*args, **kwargs):
                print("wrapped", sorted(kwargs))
                return method(*args, **kwargs)
            return wrapper

        class Add(task.Task):
            default_provides = "sum"

            @traced
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

        def record(state, details):
            print(state, sorted(details))

        engine = taskflow.engines.load(linear_flow.Flow("f").add(task.FunctorTask(lambda: 5, name="five")))
        engine.notifier.register("SUCCESS", record)
        engine.atom_notifier.register("SUCCESS", record)
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

        class PrintHandler(logging.Handler):
            def emit(self, record):
                print(record.name, record.levelname)

        logging.getLogger("taskflow").addHandler(PrintHandler())
        from taskflow import task
        from taskflow.types import notifier

        class Reporting(task.Task):
            def execute(self):
                self.update_progress(5.0)

        watched = notifier.Notifier()
        watched.register("*", lambda *args, **kwargs: 1 / 0)
        watched.notify("SUCCESS", {{}})
        Reporting().execute()
        logging.getLogger("taskflow.task").setLevel(logging.ERROR)
        Reporting().execute()
    """) == ["taskflow.types.notifier WARNING", "taskflow.task WARNING"]


@pytest.fixture
def plugin_path(tmp_path):
    """Return the path of a package that registers an engine and a backend in TaskFlow's groups."""
    folder = tmp_path / "plugins"
    info = folder / "others-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[taskflow.engines]\nmine = others:Mine\n[taskflow.persistence]\nhere = others:Here\n"
    )
    (folder / "others.py").write_text(
        textwrap.dedent("""
            from taskflow.engines.action_engine import engine
            from taskflow.persistence.backends import impl_memory

            class Mine(engine.SerialActionEngine):
                pass

            class Here(impl_memory.MemoryBackend):
                pass
        """)
    )
    return folder


def test_plugins_in_taskflows_groups_are_found(python, plugin_path):
    assert python(
        """
        from stackl_flow import compat
        compat.install()
        from taskflow import engines, exceptions, task
        from taskflow.patterns import linear_flow
        from taskflow.persistence import backends

        flow = linear_flow.Flow("f").add(task.FunctorTask(lambda: 5, name="five", provides="x"))
        backend = backends.fetch({"connection": "here"})
        engine = engines.load(flow, engine="mine", backend=backend)
        engine.run()
        print(type(engine).__module__, type(backend).__module__, engine.storage.fetch("x"))
        try:
            engines.load(flow, engine="unknown")
        except exceptions.NotFound as error:
            print(error)
        """,
        plugin_path,
    ) == [
        "others others 5",
        "unknown engine 'unknown' in 'taskflow.engines': known engines are default, mine, parallel, serial",
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


def test_every_logger_has_a_taskflow_name():
    sources = [
        path
        for path in (ROOT / "stackl_flow").rglob("*.py")
        if "testing" not in path.parts and re.search(r"[lL]ogger\(__name__\)", path.read_text())
    ]
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sources}

    assert len(modules) > 10
    unmapped = modules - logger_names.taskflow_loggers().keys()
    assert unmapped == set(), "add them to stackl_flow/compat/logger_names.py"


@pytest.mark.parametrize("engine", ["serial", "parallel"])
def test_compat_adds_no_frames_above_a_task(python, engine):
    (output,) = python(f"""
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

    assert int(output) <= 5


def test_a_program_without_logging_is_told_nothing(python):
    assert python("""
        import sys
        sys.stderr = sys.stdout
        from stackl_flow import compat
        compat.install()
        from taskflow import task

        class Reporting(task.Task):
            def execute(self):
                self.update_progress(5.0)

        Reporting().execute()
        print("done")
    """) == ["done"]
