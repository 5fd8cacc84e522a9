"""PostgreSQL keeps the contract, on a real server; each test has a schema of its own."""

import uuid

import psycopg
import pytest

from stackl_flow.persistence import backends
from stackl_flow.testing.contracts.persistence import PersistenceContract


@pytest.fixture
def address(postgresql_url):
    name = f"flows_{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_url, autocommit=True) as server:
        server.execute(f"CREATE SCHEMA {name}")
        yield f"{postgresql_url}?options=-csearch_path%3D{name}"
        server.execute(f"DROP SCHEMA {name} CASCADE")


class TestPostgreSQL(PersistenceContract):
    @pytest.fixture
    def backend(self, address):
        with backends.backend(address) as backend:
            yield backend
