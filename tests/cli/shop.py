"""Flows for the tests of the command line."""

import os
import subprocess
import sys
import time
from pathlib import Path

from stackl_flow import retry, task
from stackl_flow.patterns import graph_flow, linear_flow, unordered_flow

NOT_CALLABLE = 3


class Step(task.Task):
    def __init__(self, name, fail=False, block=None, provides=None, seconds=0.0):
        super().__init__(name=name, provides=provides)
        self._fail, self._block, self._seconds = fail, block, seconds

    def execute(self, order):
        time.sleep(self._seconds)
        if self._fail:
            raise ValueError(f"no stock for order {order}")
        return {"order": order}

    def revert(self, order, **_):
        if self._block and Path(self._block).exists():
            raise RuntimeError("cannot take back")


class Gate(task.Task):
    """Creates a file when it starts, and waits for another to continue."""

    def __init__(self, name, folder):
        super().__init__(name=name)
        self._folder = Path(folder)

    def execute(self):
        self.update_progress(0.5, parcels=3)
        (self._folder / f"{self.name}.begun").touch()
        while not (self._folder / "open").exists():
            time.sleep(0.01)


class Dies(task.Task):
    """Kills its process once."""

    def __init__(self, fuse):
        super().__init__(name="dies")
        self._fuse = Path(fuse)

    def execute(self):
        if self._fuse.exists():
            self._fuse.unlink()
            os._exit(9)


class Noisy(task.Task):
    """Prints, and starts a program that prints."""

    def execute(self):
        print("from the task")  # noqa: T201  as tasks do
        subprocess.run(["echo", "from its program"], check=True)

    def revert(self, **_):
        print("from the revert")  # noqa: T201  as tasks do


class Exits(task.Task):
    def execute(self):
        sys.exit(3)


class Sized(task.Task):
    def execute(self, size):
        return size


class Odd(task.Task):
    def execute(self):
        return object()


def order(fail=False, block=None):
    flow = linear_flow.Flow("order")
    flow.add(Step("reserve", block=block, provides="reservation"))
    mails = [Step(f"mail_{number}") for number in range(3)]
    flow.add(unordered_flow.Flow("notify", retry=retry.Times(2, name="twice")).add(*mails))
    return flow.add(Step("ship", fail=fail))


def gated(folder):
    return linear_flow.Flow("gated").add(Step("first"), Gate("gate", folder), Step("last"))


def dying(fuse):
    return linear_flow.Flow("dying").add(Step("first"), Dies(fuse), Step("last"))


def lone():
    return Step("alone")


def odd():
    return linear_flow.Flow("odd").add(Step("first"), Odd("odd"))


def noisy(fail=False):
    print("from the factory")  # noqa: T201  as factories do
    return linear_flow.Flow("noisy").add(Noisy("noisy"), Step("last", fail=fail))


def exits():
    return linear_flow.Flow("exits").add(Step("first"), Exits("exits"))


nameless = lambda: linear_flow.Flow("nameless").add(Step("alone"))  # noqa: E731  a factory can be a lambda


async def later():
    return linear_flow.Flow("later")


def a_class():
    return Step


def twins():
    return linear_flow.Flow("twins").add(Step("same"), Step("same"))


def circle():
    flow, one, other = graph_flow.Flow("circle"), Step("one"), Step("other")
    return flow.add(one, other).link(one, other).link(other, one)


def renamed(folder):
    """Once the marker exists, a retry has the name of a task, so that stored flows no longer match."""
    if (Path(folder) / "changed").exists():
        inner = unordered_flow.Flow("inner", retry=retry.Times(2, name="gate")).add(Step("inside"))
        return linear_flow.Flow("gated").add(Step("first"), inner, Step("last"))
    return gated(folder)


def grown(folder):
    """Once the marker exists, there is one more task, with a missing input."""
    flow = gated(folder)
    return flow.add(Sized("late")) if (Path(folder) / "changed").exists() else flow


def nothing():
    return None


def number():
    return 3


def broken():
    raise KeyError("no such shop")
