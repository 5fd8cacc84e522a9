"""The unit tests in the wheel of TaskFlow, and finders that load only them from it."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

#: The modules that may be loaded from the wheel; other files must not be opened.
ALLOWED = ("taskflow.test", "taskflow.tests")


def package() -> Path:
    """Return the package directory of the wheel, without importing it."""
    location = importlib.metadata.distribution("taskflow").locate_file("taskflow")
    return Path(os.fspath(location)).resolve()


def version() -> str:
    """Return the version of the wheel."""
    return importlib.metadata.version("taskflow")


def unit() -> Path:
    """Return the directory of the unit tests."""
    return package() / "tests" / "unit"


def _is_allowed(name: str) -> bool:
    return any(name == allowed or name.startswith(f"{allowed}.") for allowed in ALLOWED)


class WheelFinder:
    """Finds `taskflow.test` and `taskflow.tests` in the wheel, and nothing else."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not _is_allowed(name):
            return None
        parent = package().joinpath(*name.split(".")[1:-1])
        return PathFinder.find_spec(name, [str(parent)], target)


class StubFinder:
    """Provides stubs of modules that are not implemented, so that test modules that import them load.

    The tests that use them fail and are excluded.
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


class FileAudit:
    """Records which files of the wheel are opened."""

    def __init__(self) -> None:
        self._package = f"{package()}{os.sep}"
        self._allowed = (
            f"{self._package}tests{os.sep}",
            f"{self._package}test.py",
            f"{self._package}__pycache__{os.sep}test.cpython",
        )
        self.opened: list[str] = []
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str):
            self._check(arguments[0])

    def _check(self, path: str) -> None:
        if path.startswith(self._package) and not path.startswith(self._allowed):
            self.opened.append(path)

    def foreign_files(self) -> list[str]:
        """List the files of the wheel that were opened or loaded, except its tests."""
        files = set(self.opened)
        for name, module in list(sys.modules.items()):
            path = getattr(module, "__file__", None) or ""
            if path.startswith(self._package) and not path.startswith(self._allowed):
                files.add(f"{name} from {path}")
        return sorted(files)
