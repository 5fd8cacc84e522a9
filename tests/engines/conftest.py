"""Fixtures: each kind of engine, and backends."""

from __future__ import annotations

import pytest

from stackl_flow import engines
from stackl_flow.persistence import backends


@pytest.fixture(params=["serial", "parallel"])
def load(request):
    """Return ``engines.load`` for each kind of engine."""

    def make(flow, **kwargs):
        return engines.load(flow, engine=request.param, **kwargs)

    return make


@pytest.fixture(params=["memory", "sqlite"])
def backend(request, tmp_path):
    """Return each backend, ready for use."""
    address = "memory" if request.param == "memory" else f"sqlite:///{tmp_path / 'flows.db'}"
    with backends.backend(address) as made:
        yield made


@pytest.fixture
def log():
    """Return a list that tasks append to."""
    return []
