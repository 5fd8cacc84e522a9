"""A database for flows."""

import pytest

from stackl_flow.persistence import backends


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/flows.db"


@pytest.fixture
def backend(url):
    with backends.backend(url) as backend:
        yield backend
