"""Tasks that write down what was done to them, and ways to look at what became of a flow."""

from __future__ import annotations

import contextlib

from stackl_flow import task

ALWAYS = 10**6


class Step(task.Task):
    """Writes its name when it executes and ``-name`` when it reverts; fails as often as it is told to.

    Args:
        name: the task's name.
        log: the list that it writes to.
        fails: how many executions fail.
        revert_fails: how many reverts fail.
        result: what it gives; its name in capitals if left out.
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
    """Keeps every set of arguments that it is handed."""

    def __init__(self, name="keep", **kwargs):
        self.executed, self.reverted = [], []
        super().__init__(name, **kwargs)

    def execute(self, **kwargs):
        self.executed.append(kwargs)

    def revert(self, **kwargs):
        self.reverted.append(kwargs)


def steps(names, log, **kwargs):
    """Make a step for each letter."""
    return [Step(name, log, **kwargs) for name in names]


def states_of(engine):
    """Return the state of every atom of the plan, by name."""
    return {name: engine.storage.get_atom_state(name) for name in engine.compilation.names}


def moves_of(notifier):
    """Have every move that a notifier tells of written down as (state, details)."""
    told = []
    notifier.register("*", lambda state, details: told.append((state, details)))
    return told


def ends(engine, error=None):
    """Run an engine, which may end with an error of that kind, and return the flow's state."""
    with contextlib.suppress(*([error] if error else [])):
        engine.run()
    return engine.storage.get_flow_state()
