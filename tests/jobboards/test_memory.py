"""A board in this process passes the contract."""

import uuid

import pytest

from stackl_flow.testing.clock import SteppedClock
from stackl_flow.testing.contracts.jobboards import JobBoardContract


class TestMemory(JobBoardContract):
    ttl = 30.0
    is_shared = False

    @pytest.fixture(autouse=True)
    def stepped(self):
        self.clock = SteppedClock()

    @pytest.fixture
    def address(self):
        return f"memory://{uuid.uuid4()}"

    def pass_time(self, seconds):
        self.clock.step(seconds)

    def kill_owner(self, open_board, uuid, owner):
        board = open_board()
        board.claim(next(job for job in board.iterjobs() if job.uuid == uuid), owner)
        self.clock.step(self.ttl + 1)
