"""A process is killed in the middle of a flow; another one resumes it and repeats no finished task."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from stackl_flow import engines, task
from stackl_flow.patterns import linear_flow
from stackl_flow.persistence import backends


class Step(task.Task):
    """Prints its name; the second one kills its process once."""

    def execute(self, fuse: str) -> None:
        """Run; `fuse` is a file that is removed at the crash."""
        print(f"  {self.name}", flush=True)
        if self.name == "second" and Path(fuse).exists():
            Path(fuse).unlink()
            os._exit(9)  # no clean-up, no exception, like `kill -9`


def steps() -> linear_flow.Flow:
    """Build the flow; the name of this factory is stored with it."""
    return linear_flow.Flow("steps").add(Step("first"), Step("second"), Step("third"))


def start(folder: str) -> None:
    """Start the flow, in the process that is killed."""
    with backends.backend(f"sqlite:///{folder}/flows.db") as backend:
        store = {"fuse": f"{folder}/fuse"}
        engines.load_from_factory("crash_and_resume:steps", store=store, backend=backend).run()


def resume(folder: str) -> None:
    """Load the flow from the database and finish it."""
    with backends.backend(f"sqlite:///{folder}/flows.db") as backend:
        (book,) = backend.get_connection().get_logbooks()
        (flow_detail,) = book
        engine = engines.load_from_detail(flow_detail, backend=backend)
        engine.run()
        print("the flow is", engine.storage.get_flow_state())


if __name__ == "__main__" and len(sys.argv) > 1:
    start(sys.argv[1])
elif __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        Path(made, "fuse").touch()
        print("a process starts the flow and is killed:", flush=True)
        killed = subprocess.run([sys.executable, __file__, made], check=False)  # noqa: S603 - this file
        print("exit status:", killed.returncode)
        print("another process resumes it:")
        resume(made)
