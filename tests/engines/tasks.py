"""Tasks that record their calls, and functions that inspect a flow."""

from __future__ import annotations

import contextlib

from stackl_flow import task

ALWAYS = 10**6


class Step(task.Task):
    """Appends its name when it executes and ``-name`` when it reverts; fails a given number of times.

    Args:
        name: the task's name.
        log: the list to append to.
        fails: number of executions that fail.
        revert_fails: number of reverts that fail.
        result: its result; its name in capitals if left out.
        priority: as for any atom.
        kwargs: as for any task.
    """

    def __init__(self, name, log, fails=0, revert_fails=0, result=None, priority=0, **kwargs):
        super().__init__(name, **kwargs)
        self.log = log
        self.fails = fails
        self.revert_fails = revert_fails
        self.result = name.upper() if result is None else result
        self.priority = priority

    def execute(self, **kwargs):
        self.log.append(self.name)
        if self.fails:
            self.fails -= 1
            raise ValueError(f"{self.name} failed")
        return self.result

    def revert(self, **kwargs):
        self.log.append(f"-{self.name}")
        if self.revert_fails:
            self.revert_fails -= 1
            raise RuntimeError(f"{self.name} cannot be undone")


class Keep(task.Task):
    """Records the arguments of every call."""

    def __init__(self, name="keep", **kwargs):
        self.executed, self.reverted = [], []
        super().__init__(name, **kwargs)

    def execute(self, **kwargs):
        self.executed.append(kwargs)

    def revert(self, **kwargs):
        self.reverted.append(kwargs)


def steps(names, log, **kwargs):
    """Create a step for each letter."""
    return [Step(name, log, **kwargs) for name in names]


def states_of(engine):
    """Return the state of every atom of the plan, by name."""
    return {name: engine.storage.get_atom_state(name) for name in engine.compilation.names}


def transitions_of(notifier):
    """Return a list to which every notification is appended as (state, details)."""
    received = []
    notifier.register("*", lambda state, details: received.append((state, details)))
    return received


def final_state(engine, error=None):
    """Run an engine, which may raise an exception of a class, and return the flow's final state."""
    with contextlib.suppress(*([error] if error else [])):
        engine.run()
    return engine.storage.get_flow_state()
