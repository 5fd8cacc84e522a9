"""Conductors: claim jobs from a board, run their flows, and hand them over when they have to stop."""

from stackl_flow.conductors.base import Conductor
from stackl_flow.conductors.posting import post_flow

__all__ = ["Conductor", "post_flow"]
