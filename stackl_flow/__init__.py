"""Flows of tasks that finish or are undone, and survive a crash half-way."""

__version__ = "0.1.0"
