"""A failure told together with what led to it."""

from stackl_flow.formatters.failure import FailureFormatter

__all__ = ["FailureFormatter"]
