"""How the tests are divided among the workers of pytest-xdist: by file, the longest first.

A server is started in each worker that needs it, and fixtures of a module once: so a file stays together.
The exceptions are below.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from xdist.scheduler import LoadScopeScheduling

#: Files with long tests that share nothing: each test goes to the next free worker.
_DIVISIBLE = {
    "tests/chaos/test_chaos.py",
    "tests/crash/test_kill.py",
    "tests/differential/test_taskflow.py",
    "tests/kv/test_directory_crash.py",
    "tests/persistence/test_directory_crash.py",
    "tests/property/test_decisions.py",
}
#: Files that share what they start in the background.
_TOGETHER = {
    "tests/compat/test_examples.py": "compat",
    "tests/compat/test_wheel.py": "compat",
}


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives whole files to workers, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return nodeid if path in _DIVISIBLE else _TOGETHER.get(path, path)


def longest_first(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Order tests so that no long file runs last: slow files, divisible slow files, the rest."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def order(item: pytest.Item) -> int:
        if item.path not in slow:
            return 2
        return int(item.nodeid.partition("::")[0] in _DIVISIBLE)

    return sorted(items, key=order)
