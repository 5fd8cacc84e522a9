"""Callbacks: the engine reports every transition of the flow and its atoms, and a task its progress."""

from collections.abc import Mapping
from typing import Any

from stackl_flow import engines, task
from stackl_flow.patterns import linear_flow


class Upload(task.Task):
    """Reports its progress."""

    def execute(self) -> str:
        """Upload in two parts."""
        self.update_progress(0.5)
        return "done"


def on_flow(state: str, details: Mapping[str, Any]) -> None:
    """Receive transitions of the flow."""
    print(f"flow {details['flow_name']}: {details['old_state']} -> {state}")


def on_atom(state: str, details: Mapping[str, Any]) -> None:
    """Receive transitions of atoms; with a result when an atom has ended."""
    result = f", result {details['result']!r}" if "result" in details else ""
    print(f"task {details['task_name']}: {details['old_state']} -> {state}{result}")


def on_progress(_event: str, details: Mapping[str, Any]) -> None:
    """Receive the progress of a task."""
    print(f"progress {details['progress']:.0%}")


upload = Upload("upload")
upload.notifier.register(task.EVENT_UPDATE_PROGRESS, on_progress)
engine = engines.load(linear_flow.Flow("backup").add(upload))
engine.notifier.register("*", on_flow)
engine.atom_notifier.register("*", on_atom)
engine.run()
