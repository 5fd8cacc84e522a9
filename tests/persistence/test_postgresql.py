"""The contract, on PostgreSQL; each test has a schema of its own."""

import pytest

from stackl_flow.persistence import backends
from stackl_flow.testing.contracts.persistence import PersistenceContract
from tests.support import databases


@pytest.fixture
def url(postgresql_url):
    with databases.new_schema(postgresql_url) as schema:
        yield schema.url


class TestPostgreSQL(PersistenceContract):
    @pytest.fixture
    def backend(self, url):
        with backends.backend(url) as backend:
            yield backend
