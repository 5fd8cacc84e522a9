"""The contract, on ZooKeeper."""

import uuid

import pytest

from stackl_flow.persistence import backends
from stackl_flow.testing.contracts.persistence import PersistenceContract


class TestZooKeeper(PersistenceContract):
    @pytest.fixture
    def backend(self, zookeeper_url):
        with backends.backend(f"{zookeeper_url}/{uuid.uuid4()}") as backend:
            yield backend
