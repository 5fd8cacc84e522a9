"""An engine of each kind, a clock to step, and a list to write to."""

from __future__ import annotations

import pytest

from stackl_flow import engines
from stackl_flow.persistence import backends
from stackl_flow.testing.clock import SteppedClock


@pytest.fixture(params=["serial", "parallel"])
def load(request):
    """Give ``engines.load`` for each kind of engine."""

    def make(flow, **kwargs):
        return engines.load(flow, engine=request.param, **kwargs)

    return make


@pytest.fixture(params=["memory", "sqlite"])
def backend(request, tmp_path):
    """Give each backend, ready for use."""
    address = "memory" if request.param == "memory" else f"sqlite:///{tmp_path / 'flows.db'}"
    with backends.backend(address) as made:
        yield made


@pytest.fixture
def clock():
    """Give a clock that stands at 1000 seconds."""
    return SteppedClock(1000.0)


@pytest.fixture
def log():
    """Give a list for tasks to write to."""
    return []
