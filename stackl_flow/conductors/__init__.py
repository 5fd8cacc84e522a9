"""Conductors: they claim jobs from a board, run their flows, and hand over unfinished jobs when they stop."""

from stackl_flow.conductors.conductor import Conductor

__all__ = ["Conductor"]
