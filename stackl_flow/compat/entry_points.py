"""Plug-ins under TaskFlow's entry-point groups: ours by TaskFlow's names, and those of other packages."""

from __future__ import annotations

from importlib import metadata
from typing import Any, Final

_JOBS: Final = "stackl_flow.compat.jobs"
_CONDUCTORS: Final = "stackl_flow.compat.conductors.backends"
_ENGINE: Final = "stackl_flow.compat.engines.action_engine.engine"
_BACKENDS: Final = "stackl_flow.compat.persistence.backends"

#: What TaskFlow itself registers, by group, and our further boards.
_OWN: Final[dict[str, dict[str, str]]] = {
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


def known(group: str) -> dict[str, metadata.EntryPoint]:
    """List the plug-ins of a group.

    Args:
        group: such as "taskflow.engines".

    Returns:
        The entry points by name; those of TaskFlow itself, if it is installed beside us, are ours.
    """
    own = {name: metadata.EntryPoint(name, place, group) for name, place in _OWN.get(group, {}).items()}
    found = {
        plug.name: plug
        for plug in metadata.entry_points(group=group)
        if plug.dist is None or plug.dist.name != "taskflow"
    }
    return {**own, **found}


def find(group: str, name: str) -> Any | None:
    """Load a plug-in.

    Args:
        group: such as "taskflow.engines".
        name: such as "parallel".

    Returns:
        What it stands for, or None where there is no such plug-in.
    """
    own = _OWN.get(group, {}).get(name)
    # Reading what is installed takes longer than running a small flow.
    plug = metadata.EntryPoint(name, own, group) if own else known(group).get(name)
    return None if plug is None else plug.load()
