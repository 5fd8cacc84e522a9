"""The import hook that serves `import taskflow.x.y` from this library.

Modules are not loaded a second time under TaskFlow's name: `sys.modules` refers to the same module. So
patches of dotted names take effect, and there is no cost after the import.
"""

from __future__ import annotations

import functools
import importlib.abc
import pkgutil
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

from stackl_flow.compat import logger_names, module_map

ROOT: Final = "taskflow"


class Loader(importlib.abc.Loader):
    """Replaces an empty module by the module that serves its name."""

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python create an empty module."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the serving module into `sys.modules`; a bare package stays as it is."""
        name = module.__name__
        if name in module_map.MODULES:
            # Python uses the entry of sys.modules after loading.
            served = sys.modules[name] = importlib.import_module(module_map.MODULES[name])
            logger_names.add_log_attribute(name, served)
            for attribute, source in module_map.EXTRA_ATTRIBUTES.get(name, {}).items():
                vars(served).setdefault(attribute, pkgutil.resolve_name(source))
            for attribute, class_name in module_map.CLASS_NAMES.get(name, {}).items():
                kind = vars(served)[attribute]
                kind.__name__ = kind.__qualname__ = class_name
            if module_map.is_package(name) and served.__name__.startswith(f"{__package__}."):
                # "from taskflow.engines import base" would look below the real name of the module.
                vars(served).setdefault("__getattr__", functools.partial(_child, name))
        else:
            module.__doc__ = f"{name}, provided by stackl_flow.compat."


def _child(package: str, name: str) -> ModuleType:
    """Import a submodule of a package that is served by a package of another name."""
    if not name.startswith("_"):
        try:
            return importlib.import_module(f"{package}.{name}")
        except ImportError as error:
            if error.name != f"{package}.{name}":
                raise
    raise AttributeError(f"module '{package}' has no attribute '{name}'")


class Finder:
    """Finds TaskFlow's modules in this library and rejects those that are not available."""

    def __init__(self) -> None:
        self._loader = Loader()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of TaskFlow, or None for other modules.

        Raises:
            ImportError: the module is not available.
        """
        del path, target
        if name != ROOT and not name.startswith(f"{ROOT}."):
            return None
        if name in module_map.PACKAGES or name in module_map.MODULES:
            return ModuleSpec(
                name, self._loader, origin="stackl_flow.compat", is_package=module_map.is_package(name)
            )
        # "from taskflow import name" would replace the message of a ModuleNotFoundError.
        raise ImportError(
            f"stackl_flow.compat does not provide '{name}': {module_map.explain_missing(name)}", name=name
        )


_FINDER: Final = Finder()


def install() -> None:
    """Serve `import taskflow...` from this library in this process.

    Raises:
        ImportError: the real TaskFlow is already imported.
    """
    if _FINDER in sys.meta_path:
        return
    loaded = sorted(name for name in sys.modules if name == ROOT or name.startswith(f"{ROOT}."))
    if loaded:
        raise ImportError(
            f"TaskFlow itself is already imported ({len(loaded)} modules), so its names cannot be replaced:"
            " call stackl_flow.compat.install() before the first 'import taskflow', or"
            " start the program with 'python -m stackl_flow.compat PROGRAM'",
            name=ROOT,
        )
    logger_names.rename_loggers()
    sys.meta_path.insert(0, _FINDER)


def is_installed() -> bool:
    """Return whether this process imports TaskFlow's names from this library."""
    return _FINDER in sys.meta_path
