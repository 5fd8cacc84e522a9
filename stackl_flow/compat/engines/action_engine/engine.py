"""TaskFlow's `taskflow.engines.action_engine.engine`."""

from __future__ import annotations

from stackl_flow.engines.engine import FlowEngine as ActionEngine
from stackl_flow.engines.engine import ParallelEngine as ParallelActionEngine
from stackl_flow.engines.engine import SerialEngine as SerialActionEngine

__all__ = ["ActionEngine", "ParallelActionEngine", "SerialActionEngine"]
