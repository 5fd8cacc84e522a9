"""Flows with a bit of everything, and a place to store them."""

import pytest

from stackl_flow.persistence import backends


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/flows.db"


@pytest.fixture
def backend(url):
    with backends.backend(url) as place:
        yield place
