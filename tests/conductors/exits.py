"""Flows whose tasks, factories, retries and deciders raise what ends threads, or fail outside any atom."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

from stackl_flow import exceptions as exc
from stackl_flow import retry, task
from stackl_flow.patterns import graph_flow, linear_flow
from tests.conductors.flows import LogCall, append_line

KINDS = {
    "SystemExit": SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "GeneratorExit": GeneratorExit(),
    "Exception": RuntimeError("no such site"),
}


class Raise(task.Task):
    def __init__(self, kind, name="raise"):
        super().__init__(name)
        self._kind = kind

    def execute(self):
        raise KINDS[self._kind]


class OnceRepaired(task.Task):
    """Its revert fails until a file exists."""

    def execute(self, log_file):
        append_line(log_file, f"{self.name} execute {os.getpid()}")

    def revert(self, log_file, repaired):
        append_line(log_file, f"{self.name} revert {os.getpid()}")
        if not Path(repaired).exists():
            raise OSError("the disk is gone")


class BadDecision(retry.Retry):
    """Its decision fails until a file exists."""

    def execute(self, history, repaired=""):
        return len(history)

    def on_failure(self, history, repaired=""):
        if repaired and Path(repaired).exists():
            return retry.REVERT_ALL
        raise LookupError("no policy")


class Unstorable(task.Task):
    def execute(self):
        raise exc.StorageFailure("the store of this task is gone")


def plain():
    return linear_flow.Flow("plain").add(LogCall("a", provides="first"), LogCall("b"))


def raising(kind="Exception"):
    return linear_flow.Flow("raising").add(LogCall("a"), Raise(kind))


def exit_in_factory(kind="SystemExit"):
    if os.environ.get("STACKL_FLOW_TEST_EXITS"):
        raise KINDS[kind]
    return linear_flow.Flow("factory").add(LogCall("a"))


def broken_revert():
    return linear_flow.Flow("broken").add(LogCall("a"), OnceRepaired("b"), Raise("Exception"))


def on_failure_raises():
    inner = linear_flow.Flow("inner", retry=BadDecision("policy", provides="attempt"))
    return linear_flow.Flow("outer").add(LogCall("a"), inner.add(Raise("Exception")))


def decider_raises():
    flow = graph_flow.Flow("decided")
    first, second = LogCall("a"), LogCall("b")
    flow.add(first, second)
    flow.link(first, second, decider=_decide)
    return flow


def _decide(history):
    raise LookupError("no rule")


def storage_failure_of_a_task():
    return linear_flow.Flow("unstorable").add(LogCall("a"), Unstorable("b"))


def never_resolved():
    return linear_flow.Flow("never").add(LogCall("a"), Raise("Exception"))


class Fork(task.Task):
    """Forks; the child leaves the task as ``how`` says."""

    def execute(self, how):
        if how == "multiprocessing":
            child = multiprocessing.get_context("fork").Process(target=os.getpid)
            child.start()
            child.join()
            return "the parent's"
        child = os.fork()
        if not child:
            if how == "exit":
                sys.exit(0)
            if how == "raise":
                raise RuntimeError("in the child")
            return "the child's"
        os.waitpid(child, 0)
        return "the parent's"


def forking():
    return linear_flow.Flow("forking").add(LogCall("a"), Fork("fork", provides="whose"), LogCall("b"))
