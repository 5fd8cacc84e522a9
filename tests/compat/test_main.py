"""`python -m stackl_flow.compat` runs programs as Python does, on stackl_flow."""

import os
import subprocess
import sys
import textwrap

import pytest

from tests.compat.upstream_suite import ROOT

PROGRAM = """
    import sys
    import messages
    from taskflow import engines, task
    from taskflow.patterns import linear_flow

    def make():
        return linear_flow.Flow("f").add(task.FunctorTask(lambda: messages.WORD, name="say", provides="word"))

    if __name__ == "__main__":
        engine = engines.load_from_factory(make)
        engine.run()
        print(engine.storage.fetch("word"), sys.argv[1:], task.__name__)
        sys.exit(3)
"""


@pytest.fixture
def compat(tmp_path):
    """Return a function that runs the command line, with a folder that contains a program."""
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "program.py").write_text(textwrap.dedent(PROGRAM))
    (folder / "messages.py").write_text('WORD = "hello"\n')

    def run(*args, cwd=tmp_path):
        return subprocess.run(
            [sys.executable, "-m", "stackl_flow.compat", *args],
            cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    run.folder = folder
    return run


def test_a_program_imports_modules_of_its_folder(compat):
    process = compat(os.path.join("programs", "program.py"), "-v", "--help", "x")  # noqa: PTH118  as entered

    assert (process.returncode, process.stderr) == (3, "")
    assert process.stdout == "hello ['-v', '--help', 'x'] stackl_flow.task\n"


def test_a_module_is_imported_from_the_current_directory(compat):
    process = compat("-m", "program", "a", "-b", cwd=compat.folder)

    assert (process.returncode, process.stderr) == (3, "")
    assert process.stdout == "hello ['a', '-b'] stackl_flow.task\n"


def test_a_missing_program(compat):
    process = compat("nothing.py")

    assert process.returncode == 2
    assert "file 'nothing.py' does not exist" in process.stderr
    assert "-m" in process.stderr


def test_help(compat):
    process = compat("--help")

    assert process.returncode == 0
    for text in ("unchanged", "-m MODULE", "compat.install()", "examples:"):
        assert text in process.stdout


def test_tests_of_a_program_run_on_stackl_flow(compat):
    (compat.folder / "test_flow.py").write_text(
        textwrap.dedent("""
            from unittest import mock
            import taskflow.engines
            from taskflow import task
            from taskflow.patterns import linear_flow

            FLOW = linear_flow.Flow("f").add(task.FunctorTask(lambda: 5, name="five", provides="x"))

            def test_runs():
                assert task.__name__ == "stackl_flow.task"
                assert taskflow.engines.run(FLOW) == {"x": 5}

            @mock.patch("taskflow.engines.helpers.load")
            def test_patched(load):
                taskflow.engines.run(FLOW)
                load.assert_called_once()
        """)
    )
    process = compat("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_flow.py", cwd=compat.folder)

    assert process.returncode == 0, process.stdout + process.stderr
    assert "2 passed" in process.stdout
