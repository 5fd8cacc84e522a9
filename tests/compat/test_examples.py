"""The example programs of TaskFlow's wheel have the same output under compat as on TaskFlow.

The expected output is in the wheel, or else that of the program on TaskFlow itself in the same test run.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.compat import examples

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("work_ahead")]


@pytest.fixture
def results(request, name):
    """Return the results of a program on stackl_flow and on TaskFlow."""
    port = 0
    if name in examples.ON_ZOOKEEPER:
        port = urlsplit(request.getfixturevalue("zookeeper_url")).port
    return [future.result() for future in examples.begin(name, port)]


@pytest.mark.timeout(10 * examples.TIMEOUT)
@pytest.mark.parametrize("name", examples.programs())
def test_same_output_as_on_taskflow(name, results):
    actual, expected = results
    normalize, _ = examples.VARYING.get(name.partition("@")[0], (examples.unchanged, ""))
    output = normalize(examples.mask_ids(actual.out))
    expected_output = normalize(examples.mask_ids(expected.out))

    assert actual.code == expected.code, actual.err
    assert output == expected_output, actual.err
    assert output, "nothing was compared"


def test_all_named_programs_exist():
    existing = {path.stem for path in examples.EXAMPLES.glob("*.py")}
    named = {
        *examples.NOT_IMPLEMENTED, *examples.HELPERS, *examples.VARYING, *examples.SITES, *examples.STALE,
        *examples.EDITS, *examples.ON_ZOOKEEPER,
    }  # fmt: skip

    assert existing >= {name.partition("@")[0] for name in named}
