"""The unit tests that ship inside the taskflow wheel, and how they alone are loaded from it."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

#: What may be loaded from the wheel; all else of it may not even be opened.
OF_WHEEL = ("taskflow.test", "taskflow.tests")


def package() -> Path:
    """Return the wheel's package folder; nothing of it is imported."""
    found = importlib.metadata.distribution("taskflow").locate_file("taskflow")
    return Path(os.fspath(found)).resolve()


def version() -> str:
    """Return the wheel's version."""
    return importlib.metadata.version("taskflow")


def unit() -> Path:
    """Return the folder with the unit tests."""
    return package() / "tests" / "unit"


def _is_of_wheel(name: str) -> bool:
    return any(name == known or name.startswith(f"{known}.") for known in OF_WHEEL)


class WheelFinder:
    """Finds `taskflow.test` and `taskflow.tests` in the wheel, and nothing else."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not _is_of_wheel(name):
            return None
        parent = package().joinpath(*name.split(".")[1:-1])
        return PathFinder.find_spec(name, [str(parent)], target)


class StandIns:
    """Serves modules whose rooms do not exist yet, so that a test module that merely imports one loads.

    The tests that use one fail, and stand in the list of what is left out.
    """

    def __init__(self, modules: dict[str, dict[str, object]]) -> None:
        self._modules = modules

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self._modules:
            return None
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(self._modules[module.__name__])


class Guard:
    """Watches which files of the wheel are opened, from the moment it is made."""

    def __init__(self) -> None:
        self._package = f"{package()}{os.sep}"
        self._allowed = (
            f"{self._package}tests{os.sep}",
            f"{self._package}test.py",
            f"{self._package}__pycache__{os.sep}test.cpython",
        )
        self.opened: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str):
            self._judge(arguments[0])

    def _judge(self, path: str) -> None:
        if path.startswith(self._package) and not path.startswith(self._allowed):
            self.opened.append(path)

    def foreign(self) -> list[str]:
        """List what of the wheel was opened or is loaded, its tests aside."""
        found = set(self.opened)
        for name, module in list(sys.modules.items()):
            path = getattr(module, "__file__", None) or ""
            if path.startswith(self._package) and not path.startswith(self._allowed):
                found.add(f"{name} from {path}")
        return sorted(found)
