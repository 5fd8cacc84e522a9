"""TaskFlow's unit tests, from its wheel, run on stackl_flow."""

import os

import pytest

from scripts.servers.server import ServerError
from tests.compat import conformance_page, upstream_suite, wheel
from tests.support import summaries

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(upstream_suite.TIMEOUT + 60),
    pytest.mark.usefixtures("work_ahead"),
]


def of_group(group):
    """Run a group; without its server, the test is skipped, and fails in CI."""
    try:
        return upstream_suite.of_group(group)
    except ServerError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.mark.parametrize("module", upstream_suite.modules())
def test_module(module):
    outcome = of_group(upstream_suite.group_of(module))
    tally = upstream_suite.tally(module)

    assert tally.count, f"{module} was not run:\n{outcome.output}"
    failures = [f"--- {test}\n{text[-1500:]}" for test, text in tally.failed.items()]
    assert not tally.failed, f"{len(failures)} of {tally.count} tests of {module} failed:\n" + "\n".join(
        failures
    )
    assert tally.invalid_exclusions == []
    # No test is skipped here that runs on TaskFlow itself.
    assert len(tally.passed) + len(tally.excluded) >= conformance_page.upstream_results()[module]["passed"]


@pytest.mark.parametrize("group", upstream_suite.GROUPS)
def test_only_tests_are_loaded_from_the_wheel(group):
    outcome = of_group(group)

    assert outcome.modules, outcome.output
    assert outcome.opened == []


def test_the_audit_records_other_files_of_the_wheel(python):
    output = python("""
        from tests.compat import wheel
        audit = wheel.FileAudit()
        print(audit.foreign_files())
        (wheel.package() / "tests" / "utils.py").read_text()
        print(audit.foreign_files())
        (wheel.package() / "states.py").read_text()
        import taskflow.types.latch
        print(*audit.foreign_files(), sep="\\n")
    """)

    assert output[:2] == ["[]", "[]"]
    opened = [line for line in output[2:] if " from " not in line]
    loaded = {line.partition(" from ")[0] for line in output[2:] if " from " in line}
    assert any(line.endswith("states.py") for line in opened)
    assert any("latch" in line for line in opened)
    assert loaded == {"taskflow", "taskflow.types", "taskflow.types.latch"}


def test_the_conformance_page_is_up_to_date():
    for group in upstream_suite.SERVERS:
        of_group(group)
    assert wheel.version() == conformance_page.upstream_results()["version"], (
        "run: python -m tests.compat.conformance_page --measure"
    )
    here, there = conformance_page.seconds()
    summaries.count("seconds of TaskFlow's tests", "here", round(here))
    summaries.count("seconds of TaskFlow's tests", "on TaskFlow itself, when last measured", round(there))
    assert conformance_page.stable_lines(conformance_page.page()) == conformance_page.stable_lines(
        conformance_page.PAGE.read_text()
    ), "run: python -m tests.compat.conformance_page"
