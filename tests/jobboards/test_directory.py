"""A board in a directory passes the contract, with owners that are killed."""

import pytest

from stackl_flow.testing.contracts.jobboards import JobBoardContract


class TestDirectory(JobBoardContract):
    @pytest.fixture
    def address(self, tmp_path):
        return f"dir://{tmp_path}"
