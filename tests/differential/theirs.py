"""Runs cases on TaskFlow in a chosen order.

TaskFlow keeps ready and finished atoms in sets of objects hashed by memory address, so the order of siblings,
and for some flows the outcome, differs between runs. Here these sets are replaced by ordered ones: a run
takes one of the orders that are possible with TaskFlow.
"""

from __future__ import annotations

import contextlib
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from unittest import mock

import taskflow.deciders
import taskflow.engines
import taskflow.retry
import taskflow.task
from taskflow.engines.action_engine import builder
from taskflow.patterns import graph_flow, linear_flow, unordered_flow
from taskflow.types.failure import Failure

from tests.support.random_flows import Case, Library, Outcome, run_case

logging.getLogger("taskflow").setLevel(logging.CRITICAL + 1)

TASKFLOW = Library(
    taskflow.task,
    taskflow.retry,
    {"linear": linear_flow, "unordered": unordered_flow, "graph": graph_flow},
    taskflow.deciders.Depth,
    taskflow.engines,
)

#: Returns the sort key of an atom or a future.
Order = Callable[[Any], Any]


class ChosenSet:
    """A set with a chosen order."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._items: list[Any] = []

    def update(self, items: Iterable[Any]) -> None:
        for item in items:
            if item not in self._items:
                self._items.append(item)

    def intersection_update(self, others: Iterable[Any]) -> None:
        kept = set(others)
        self._items = [item for item in self._items if item in kept]

    def pop(self) -> Any:
        first = min(self._items, key=self._order)
        self._items.remove(first)
        return first

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(self._items, key=self._order))

    def __len__(self) -> int:
        return len(self._items)


def _failed(item: Any) -> bool:
    """Whether a finished future has a failure; False for an atom."""
    return hasattr(item, "result") and isinstance(item.result()[1], Failure)


def orders(case: Case, shuffles: int) -> Iterator[tuple[str, Order]]:
    """Yield the orders to try, likely ones first, then that many random ones."""
    numbers = {atom.name: number for number, atom in enumerate(case.flow.atoms())}

    def number(item: Any) -> int:
        return numbers[item.name if hasattr(item, "name") else item.atom.name]

    yield "as added", number
    yield "failures first", lambda item: (not _failed(item), number(item))
    yield "failures last", lambda item: (_failed(item), number(item))
    yield "backwards", lambda item: -number(item)
    for seed in range(shuffles):
        yield f"shuffle {seed}", _shuffle(seed, number)


def _shuffle(seed: int, number: Order) -> Order:
    """Make a random order that is the same in every process, whatever order TaskFlow asks in."""
    calls: Counter[int] = Counter()

    def sort_key(item: Any) -> float:
        atom = number(item)
        calls[atom] += 1
        return random.Random(f"{seed} {atom} {calls[atom]}").random()

    return sort_key


def run_theirs(case: Case, order: Order) -> Outcome:
    """Run a case on TaskFlow in an order."""
    with _ordered(order):
        return run_case(case, TASKFLOW)


@contextlib.contextmanager
def _ordered(order: Order) -> Iterator[None]:
    class Memory(builder.MachineMemory):  # type: ignore[misc]  # TaskFlow has no types
        def __init__(self) -> None:
            super().__init__()
            self.next_up, self.done = ChosenSet(order), ChosenSet(order)

    with mock.patch.object(builder, "MachineMemory", Memory):
        yield
