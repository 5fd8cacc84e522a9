"""Serves `import taskflow.x.y` from our modules.

A module that serves under TaskFlow's name is not loaded a second time: what stands in `sys.modules` is the
one and only. That is how patches of dotted names take effect, and why nothing is slower once imported.
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
    """Puts the module that serves in the place of an empty one."""

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python to make an empty module.

        Args:
            spec: what was found.
        """

    def exec_module(self, module: ModuleType) -> None:
        """Put the module that serves into `sys.modules`; a bare package stays as it is.

        Args:
            module: the empty module.
        """
        name = module.__name__
        if name in module_map.MODULES:
            # Python takes what stands here after loading, and leaves what it knows of itself alone.
            served = sys.modules[name] = importlib.import_module(module_map.MODULES[name])
            logger_names.offer(name, served)
            for word, place in module_map.OFFERED.get(name, {}).items():
                vars(served).setdefault(word, pkgutil.resolve_name(place))
            if module_map.is_package(name) and served.__name__.startswith(f"{__package__}."):
                # "from taskflow.engines import base" looks below the module's own name, which is another.
                vars(served).setdefault("__getattr__", functools.partial(_child, name))
        else:
            module.__doc__ = f"{name}, served by stackl_flow.compat."


def _child(package: str, word: str) -> ModuleType:
    """Import a module below a package of TaskFlow that is served by one of another name."""
    if not word.startswith("_"):
        try:
            return importlib.import_module(f"{package}.{word}")
        except ImportError as error:
            if error.name != f"{package}.{word}":
                raise
    raise AttributeError(f"module '{package}' has no attribute '{word}'")


class Finder:
    """Finds TaskFlow's modules among ours; refuses those that are not served."""

    def __init__(self) -> None:
        self._loader = Loader()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module.

        Args:
            name: its dotted name.
            path: where its package is, which has no meaning here.
            target: the module that is to be loaded anew, which has no meaning here.

        Returns:
            How to load it, or None for what is not TaskFlow's.

        Raises:
            ImportError: it is TaskFlow's and we do not serve it.
        """
        del path, target
        if name != ROOT and not name.startswith(f"{ROOT}."):
            return None
        if name in module_map.PACKAGES or name in module_map.MODULES:
            return ModuleSpec(
                name, self._loader, origin="stackl_flow.compat", is_package=module_map.is_package(name)
            )
        # A ModuleNotFoundError would be hidden by what Python says of "from taskflow import name".
        raise ImportError(
            f"stackl_flow.compat does not serve '{name}': {module_map.why_not(name)}", name=name
        )


_FINDER: Final = Finder()


def install() -> None:
    """Serve `import taskflow...` from stackl_flow, from now on and in this whole process.

    Raises:
        ImportError: the real TaskFlow is imported already.
    """
    if _FINDER in sys.meta_path:
        return
    loaded = sorted(name for name in sys.modules if name == ROOT or name.startswith(f"{ROOT}."))
    if loaded:
        raise ImportError(
            f"TaskFlow itself is imported already ({len(loaded)} of its modules), so its names cannot be"
            " served any more: call stackl_flow.compat.install() before the first 'import taskflow', or"
            " start the program with 'python -m stackl_flow.compat PROGRAM'",
            name=ROOT,
        )
    logger_names.rename()
    sys.meta_path.insert(0, _FINDER)


def is_installed() -> bool:
    """Say whether TaskFlow's names are served in this process.

    Returns:
        True when they are.
    """
    return _FINDER in sys.meta_path
