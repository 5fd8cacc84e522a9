"""`python -m stackl_flow.compat`: programs run as Python runs them, on us."""

import os
import subprocess
import sys
import textwrap

import pytest

from tests.compat.upstream_suite import ROOT

PROGRAM = """
    import sys
    import beside
    from taskflow import engines, task
    from taskflow.patterns import linear_flow

    def make():
        return linear_flow.Flow("f").add(task.FunctorTask(lambda: beside.WORD, name="say", provides="word"))

    if __name__ == "__main__":
        engine = engines.load_from_factory(make)
        engine.run()
        print(engine.storage.fetch("word"), sys.argv[1:], task.__name__)
        sys.exit(3)
"""


@pytest.fixture
def compat(tmp_path):
    """Runs the command line in a folder with a program in it, and another folder to stand in."""
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "program.py").write_text(textwrap.dedent(PROGRAM))
    (folder / "beside.py").write_text('WORD = "hello"\n')

    def run(*args, cwd=tmp_path):
        return subprocess.run(
            [sys.executable, "-m", "stackl_flow.compat", *args],
            cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    run.folder = folder
    return run


def test_a_program_finds_what_stands_beside_it(compat):
    done = compat(os.path.join("programs", "program.py"), "-v", "--help", "x")  # noqa: PTH118  as users write it

    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout == "hello ['-v', '--help', 'x'] stackl_flow.task\n"


def test_a_module_is_looked_for_where_one_stands(compat):
    done = compat("-m", "program", "a", "-b", cwd=compat.folder)

    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout == "hello ['a', '-b'] stackl_flow.task\n"


def test_a_program_that_is_not_there(compat):
    done = compat("nothing.py")

    assert done.returncode == 2
    assert "file 'nothing.py' does not exist" in done.stderr
    assert "-m" in done.stderr


def test_help_teaches(compat):
    done = compat("--help")

    assert done.returncode == 0
    for words in ("unchanged", "-m MODULE", "compat.install()", "examples:"):
        assert words in done.stdout


def test_a_programs_own_tests_run_on_us(compat):
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
    done = compat("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_flow.py", cwd=compat.folder)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
