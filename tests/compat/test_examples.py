"""The programs in the wheel's `taskflow/examples`, through compat: they print what they print on TaskFlow.

What is expected is what the wheel ships beside a program, or else what the program prints on TaskFlow itself
in this very run.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.compat import examples

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("work_ahead")]


@pytest.fixture
def endings(request, name):
    """How a program ended: on us, and what is expected."""
    port = 0
    if name in examples.ON_ZOOKEEPER:
        port = urlsplit(request.getfixturevalue("zookeeper_url")).port
    return [future.result() for future in examples.begin(name, port)]


@pytest.mark.timeout(10 * examples.PATIENCE)
@pytest.mark.parametrize("name", examples.programs())
def test_it_prints_what_it_prints_on_taskflow(name, endings):
    came, expected = endings
    shape, _ = examples.VARYING.get(name.partition("@")[0], (examples.as_it_is, ""))
    said, wanted = shape(examples.plain(came.out)), shape(examples.plain(expected.out))

    assert came.code == expected.code, came.err
    assert said == wanted, came.err
    assert said, "nothing was compared"


def test_only_programs_that_exist_are_named():
    there = {path.stem for path in examples.EXAMPLES.glob("*.py")}
    named = {
        *examples.LATER, *examples.HELPERS, *examples.VARYING, *examples.SITES, *examples.STALE,
        *examples.EDITS, *examples.ON_ZOOKEEPER,
    }  # fmt: skip

    assert there >= {name.partition("@")[0] for name in named}
