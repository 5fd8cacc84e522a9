"""A board in a directory keeps the contract, with claimers that really die."""

import pytest

from stackl_flow.testing.contracts.jobboards import JobBoardContract


class TestDirectory(JobBoardContract):
    @pytest.fixture
    def address(self, tmp_path):
        return f"dir://{tmp_path}"
