"""An engine that lost ownership starts nothing more, not even calls that it submitted to its executor."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from stackl_flow import engines, task
from stackl_flow import exceptions as exc
from stackl_flow.patterns.unordered_flow import Flow
from stackl_flow.persistence import backends

TASKS = 12


class Turn(task.Task):
    """Records that it started; the first one has the flow taken over."""

    def __init__(self, name, begun, take_over):
        super().__init__(name)
        self.begun = begun
        self.take_over = take_over

    def execute(self):
        self.begun.append(self.name)
        if len(self.begun) == 1:
            self.take_over()
        time.sleep(0.2)  # the first is reported while others wait for a thread


@pytest.mark.parametrize("shared", [True, False])
def test_queued_calls_are_recalled_when_ownership_is_lost(shared, tmp_path):
    begun = []
    with backends.backend(f"sqlite:///{tmp_path}/flows.db") as backend, ThreadPoolExecutor(1) as pool:

        def take_over():
            with backend.get_connection() as connection:
                connection.take_ownership(engine.storage.flow_uuid, "another owner", 0.0)

        flow = Flow("f").add(*(Turn(f"t{number}", begun, take_over) for number in range(TASKS)))
        options = {"executor": pool} if shared else {"max_workers": 1}
        engine = engines.load(flow, backend=backend, engine="parallel", **options)
        with pytest.raises(exc.OwnershipLost):
            engine.run()
    assert len(begun) < TASKS / 2
