"""A board in a SQLite file passes the contract, with owners that are killed."""

import pytest

from stackl_flow.testing.contracts.jobboards import JobBoardContract


class TestSQLite(JobBoardContract):
    @pytest.fixture
    def address(self, tmp_path):
        return f"sqlite:///{tmp_path}/jobs.db"
