"""Plugins in TaskFlow's entry point groups: those of this library and those of other packages."""

from __future__ import annotations

from importlib import metadata
from typing import Any, Final

_JOBS: Final = "stackl_flow.compat.jobs"
_CONDUCTORS: Final = "stackl_flow.compat.conductors.backends"
_ENGINE: Final = "stackl_flow.compat.engines.action_engine.engine"
_BACKENDS: Final = "stackl_flow.compat.persistence.backends"

#: The entry points of TaskFlow, and further boards, served by this library.
_BUILT_IN: Final[dict[str, dict[str, str]]] = {
    "taskflow.conductors": {
        "blocking": f"{_CONDUCTORS}.impl_blocking:BlockingConductor",
        "nonblocking": f"{_CONDUCTORS}.impl_nonblocking:NonBlockingConductor",
    },
    "taskflow.engines": {
        "default": f"{_ENGINE}:SerialActionEngine",
        "serial": f"{_ENGINE}:SerialActionEngine",
        "parallel": f"{_ENGINE}:ParallelActionEngine",
    },
    "taskflow.jobboards": {
        "dir": f"{_JOBS}.boards:Board",
        "etcd": f"{_JOBS}.backends.impl_etcd:EtcdJobBoard",
        "memory": f"{_JOBS}.boards:Board",
        "mysql": f"{_JOBS}.boards:Board",
        "postgresql": f"{_JOBS}.boards:Board",
        "redis": f"{_JOBS}.backends.impl_redis:RedisJobBoard",
        "sqlite": f"{_JOBS}.boards:Board",
        "zookeeper": f"{_JOBS}.backends.impl_zookeeper:ZookeeperJobBoard",
    },
    "taskflow.persistence": {
        "dir": f"{_BACKENDS}.impl_dir:DirBackend",
        "file": f"{_BACKENDS}.impl_dir:DirBackend",
        "memory": f"{_BACKENDS}.impl_memory:MemoryBackend",
        "mysql": f"{_BACKENDS}.impl_sqlalchemy:SQLAlchemyBackend",
        "postgresql": f"{_BACKENDS}.impl_sqlalchemy:SQLAlchemyBackend",
        "sqlite": f"{_BACKENDS}.impl_sqlalchemy:SQLAlchemyBackend",
        "zookeeper": f"{_BACKENDS}.impl_zookeeper:ZkBackend",
    },
}


def plugins_of(group: str) -> dict[str, metadata.EntryPoint]:
    """Return the plugins of a group by name. Entry points of an installed TaskFlow are ignored."""
    built_in = {
        name: metadata.EntryPoint(name, target, group) for name, target in _BUILT_IN.get(group, {}).items()
    }
    installed = {
        plugin.name: plugin
        for plugin in metadata.entry_points(group=group)
        if plugin.dist is None or plugin.dist.name != "taskflow"
    }
    return {**built_in, **installed}


def load_plugin(group: str, name: str) -> Any | None:
    """Load a plugin; return None if it does not exist."""
    target = _BUILT_IN.get(group, {}).get(name)
    # Reading the installed entry points takes longer than running a small flow.
    plugin = metadata.EntryPoint(name, target, group) if target else plugins_of(group).get(name)
    return None if plugin is None else plugin.load()
