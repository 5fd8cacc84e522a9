"""The unit tests that ship inside the taskflow wheel, run against us."""

import os

import pytest

from scripts.servers.server import ServerError
from tests.compat import suite, table, wheel
from tests.support import summaries

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(suite.PATIENCE + 60),
    pytest.mark.usefixtures("work_ahead"),
]


def of_group(group):
    """Run a group; where its server is missing, a desk goes on without it and CI fails."""
    try:
        return suite.of_group(group)
    except ServerError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.mark.parametrize("module", suite.modules())
def test_module(module):
    done = of_group(suite.group_of(module))
    came = suite.tally(module)

    assert came.count, f"{module} was not run:\n{done.said}"
    shown = [f"--- {test}\n{text[-1500:]}" for test, text in came.failed.items()]
    assert not came.failed, f"{len(shown)} of {came.count} tests of {module} failed:\n" + "\n".join(shown)
    assert came.wrongly_listed == []
    # Nothing is quietly skipped that runs on TaskFlow itself.
    assert len(came.passed) + len(came.left_out) >= table.theirs()[module]["passed"]


@pytest.mark.parametrize("group", suite.GROUPS)
def test_nothing_but_tests_comes_from_the_wheel(group):
    done = of_group(group)

    assert done.modules, done.said
    assert done.foreign == []


def test_what_else_comes_from_the_wheel_is_noticed(python):
    said = python("""
        from tests.compat import wheel
        guard = wheel.Guard()
        print(guard.foreign())
        (wheel.package() / "tests" / "utils.py").read_text()
        print(guard.foreign())
        (wheel.package() / "states.py").read_text()
        import taskflow.types.latch
        print(*guard.foreign(), sep="\\n")
    """)

    assert said[:2] == ["[]", "[]"]
    opened = [line for line in said[2:] if " from " not in line]
    loaded = {line.partition(" from ")[0] for line in said[2:] if " from " in line}
    assert any(line.endswith("states.py") for line in opened)
    assert any("latch" in line for line in opened)
    assert loaded == {"taskflow", "taskflow.types", "taskflow.types.latch"}


def test_the_page_is_up_to_date():
    for group in suite.SERVERS:
        of_group(group)
    assert wheel.version() == table.theirs()["version"], "run: python -m tests.compat.table --measure"
    here, there = table.seconds()
    summaries.count("seconds of TaskFlow's own tests", "here", round(here))
    summaries.count("seconds of TaskFlow's own tests", "on TaskFlow itself, when last measured", round(there))
    assert table.lasting(table.page()) == table.lasting(table.PAGE.read_text()), (
        "run: python -m tests.compat.table"
    )
