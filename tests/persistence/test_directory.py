"""The contract, on a directory and on a key-value store in memory."""

import pytest

from stackl_flow.persistence import backends
from stackl_flow.persistence.backends.kv import KVBackend
from stackl_flow.testing.contracts.persistence import PersistenceContract


class TestDirectory(PersistenceContract):
    @pytest.fixture
    def backend(self, tmp_path):
        with backends.backend(f"dir://{tmp_path}/flows?sync=no") as backend:
            yield backend


class TestFrequentCompaction(PersistenceContract):
    @pytest.fixture
    def backend(self, tmp_path):
        with backends.backend(f"dir://{tmp_path}/flows?sync=no&journal_size=1") as backend:
            yield backend


class TestMemoryStore(PersistenceContract):
    @pytest.fixture
    def backend(self):
        with KVBackend("memory") as backend:
            backend.get_connection().upgrade()
            yield backend
