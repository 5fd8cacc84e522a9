"""Conductors: claim jobs from a board, run their flows, and hand them over when they have to stop."""

from stackl_flow.conductors.conductor import Conductor
from stackl_flow.submission import post_flow

__all__ = ["Conductor", "post_flow"]
