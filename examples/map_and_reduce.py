"""Functions as tasks: map one over several values, and reduce them to one."""

import operator

from stackl_flow import engines, task
from stackl_flow.patterns import linear_flow


def read(lines: list[str]) -> list[int]:
    """Count the letters of each line."""
    return [len(line) for line in lines]


def square(value: int) -> int:
    """Square a number."""
    return value * value


flow = linear_flow.Flow("squares").add(
    task.FunctorTask(read, provides=["a", "b", "c"]),
    task.MapFunctorTask(square, requires=["a", "b", "c"], provides=["aa", "bb", "cc"]),
    task.ReduceFunctorTask(operator.add, requires=["aa", "bb", "cc"], provides="sum"),
)
results = engines.run(flow, store={"lines": ["one", "three", "eleven"]})
for name in ("a", "b", "c", "aa", "bb", "cc", "sum"):
    print(f"{name} = {results[name]}")
