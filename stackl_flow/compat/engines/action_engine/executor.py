"""TaskFlow's `taskflow.engines.action_engine.executor`."""

from __future__ import annotations

from typing import Final

from stackl_flow.engines.executors.serial import SerialExecutor as SerialTaskExecutor
from stackl_flow.engines.executors.threads import ThreadsExecutor as ParallelThreadTaskExecutor

__all__ = ["EXECUTED", "REVERTED", "ParallelThreadTaskExecutor", "SerialTaskExecutor"]

EXECUTED: Final = "executed"
REVERTED: Final = "reverted"
