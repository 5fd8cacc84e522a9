"""Tasks for flows that are never run."""

from __future__ import annotations

from stackl_flow import task


def item(name, provides=None, requires=None):
    """Return a task with these outputs and inputs."""
    return task.FunctorTask(lambda **kwargs: None, name=name, provides=provides, requires=requires)
