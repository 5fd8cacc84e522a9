"""The contract, on etcd."""

import uuid

import pytest

from stackl_flow.persistence import backends
from stackl_flow.testing.contracts.persistence import PersistenceContract


class TestEtcd(PersistenceContract):
    @pytest.fixture
    def backend(self, etcd_url):
        with backends.backend(f"{etcd_url}/{uuid.uuid4()}") as backend:
            yield backend
