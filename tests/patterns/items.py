"""Items for flows that are never run."""

from __future__ import annotations

from stackl_flow import task


def item(name, provides=None, requires=None):
    """Make a task that provides and requires what it is told."""
    return task.FunctorTask(lambda **kwargs: None, name=name, provides=provides, requires=requires)
