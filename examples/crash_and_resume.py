"""A process dies in the middle of a flow; another goes on, and repeats nothing that was finished."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from stackl_flow import engines, task
from stackl_flow.patterns import linear_flow
from stackl_flow.persistence import backends


class Step(task.Task):
    """Says that it runs, and dies with the whole process if it was told so."""

    def execute(self, fuse: str) -> None:
        """Run; the fuse is a file that burns once."""
        print(f"  {self.name}", flush=True)
        if self.name == "second" and Path(fuse).exists():
            Path(fuse).unlink()
            os._exit(9)  # No clean-up, no exception: as with `kill -9`.


def steps() -> linear_flow.Flow:
    """A factory: its name is stored beside the flow, so that anybody can build the flow again."""
    return linear_flow.Flow("steps").add(Step("first"), Step("second"), Step("third"))


def start(folder: str) -> None:
    """Start the flow; this is what the process does that dies."""
    with backends.backend(f"sqlite:///{folder}/flows.db") as backend:
        store = {"fuse": f"{folder}/fuse"}
        engines.load_from_factory("crash_and_resume.steps", store=store, backend=backend).run()


def go_on(folder: str) -> None:
    """Find the flow in the database and run it to its end."""
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
        print("a process starts the flow and dies:", flush=True)
        died = subprocess.run([sys.executable, __file__, made], check=False)  # noqa: S603 - this file
        print("its exit status:", died.returncode)
        print("another process goes on:")
        go_on(made)
