"""The flows of conductors under faults; effects are recorded in this process, by key of the test."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

from stackl_flow import retry, task
from stackl_flow.patterns import linear_flow, unordered_flow


class Record:
    """What tasks did: a line for each call, and whether two calls of one atom ever ran at once."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str, str]] = []
        self.overlaps: list[tuple[int, str, str]] = []
        self._running: set[tuple[int, str]] = set()
        self._lock = threading.Lock()

    def begin(self, job: int, atom: str, what: str) -> None:
        with self._lock:
            if (job, atom) in self._running:
                self.overlaps.append((job, atom, what))
            self._running.add((job, atom))
            self.lines.append((job, atom, what))

    def end(self, job: int, atom: str) -> None:
        with self._lock:
            self._running.discard((job, atom))


RECORDS: defaultdict[str, Record] = defaultdict(Record)


class StepFailed(Exception):
    """The planned failure of a step."""


class Step(task.Task):
    """Records its calls; fails in all attempts before `until`."""

    def __init__(self, name: str, until: int = 1, requires: Any = ()) -> None:
        super().__init__(name, provides=name, requires=requires)
        self.until = until

    def execute(self, record: str, job: int, attempt: int = 1, **_: Any) -> str:
        self.call(record, job, "execute")
        if attempt < self.until:
            raise StepFailed(self.name)
        return f"{self.name} of {job}"

    def revert(self, record: str, job: int, **_: Any) -> None:
        self.call(record, job, "revert")

    def call(self, record: str, job: int, what: str) -> None:
        RECORDS[record].begin(job, self.name, what)
        RECORDS[record].end(job, self.name)


def good() -> Any:
    return linear_flow.Flow("good").add(Step("a"), Step("b", requires=["a"]), Step("c", requires=["b"]))


def bad() -> Any:
    return linear_flow.Flow("bad").add(Step("a"), Step("b", requires=["a"]), Step("c", until=9))


def retried() -> Any:
    inner = linear_flow.Flow("inner", retry=retry.Times(3, "again", provides="attempt"))
    return linear_flow.Flow("retried").add(Step("a"), inner.add(Step("b"), Step("c", until=2)))


def wide() -> Any:
    return linear_flow.Flow("wide").add(unordered_flow.Flow("middle").add(Step("a"), Step("b")), Step("c"))


#: Factories: the state in which their flows end, and the calls of each atom.
KINDS: dict[str, tuple[str, dict[str, list[str]]]] = {
    "good": ("SUCCESS", {name: ["execute"] for name in "abc"}),
    "bad": ("REVERTED", {name: ["execute", "revert"] for name in "abc"}),
    "retried": ("SUCCESS", {"a": ["execute"], **{name: ["execute", "revert", "execute"] for name in "bc"}}),
    "wide": ("SUCCESS", {name: ["execute"] for name in "abc"}),
}
