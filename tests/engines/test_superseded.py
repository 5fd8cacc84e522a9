"""An engine whose flow was taken over begins nothing more, not even what it has handed to its executor."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from stackl_flow import engines, task
from stackl_flow import exceptions as exc
from stackl_flow.patterns.unordered_flow import Flow
from stackl_flow.persistence import backends

TASKS = 12


class Turn(task.Task):
    """Notes that it began; the first to begin has the flow taken over."""

    def __init__(self, name, begun, take_over):
        super().__init__(name)
        self.begun = begun
        self.take_over = take_over

    def execute(self):
        self.begun.append(self.name)
        if len(self.begun) == 1:
            self.take_over()
        time.sleep(0.2)  # the engine is to hear of the first while others are waiting for a thread


@pytest.mark.parametrize("shared", [True, False])
def test_what_waits_for_a_thread_is_taken_back(shared, tmp_path):
    begun = []
    with backends.backend(f"sqlite:///{tmp_path}/flows.db") as backend, ThreadPoolExecutor(1) as pool:

        def take_over():
            with backend.get_connection() as connection:
                connection.take_ownership(engine.storage.flow_uuid, "somebody else", 0.0)

        flow = Flow("f").add(*(Turn(f"t{number}", begun, take_over) for number in range(TASKS)))
        options = {"executor": pool} if shared else {"max_workers": 1}
        engine = engines.load(flow, backend=backend, engine="parallel", **options)
        with pytest.raises(exc.OwnershipLost):
            engine.run()
    assert len(begun) < TASKS / 2
