"""Flows whose tasks raise errors that cannot be read, or return what cannot be used."""

from __future__ import annotations

from stackl_flow import task
from stackl_flow.patterns import linear_flow
from tests.conductors.flows import LogCall
from tests.engines.test_what_goes_wrong import ERRORS, RESULTS
from tests.support import unreadable

#: What may go wrong in the body of a task, by name.
WORK = {**unreadable.ERRORS, **ERRORS, **RESULTS}


class Do(task.Task):
    def __init__(self, what, where):
        super().__init__("do", provides={"a", "b"})
        self._what, self._where = what, where

    def _step(self):
        work = WORK[self._what]
        if self._what in unreadable.ERRORS:
            raise work()
        return work()

    def execute(self):
        if self._where == "revert":
            raise ValueError("to revert")
        return self._step()

    def revert(self, **_):
        if self._where == "revert":
            self._step()


class Use(task.Task):
    def execute(self, a, b):
        raise ValueError("used")


def nasty(what, where="execute"):
    return linear_flow.Flow("nasty").add(LogCall("first"), Do(what, where), Use("use"))
