"""The modules of this library that serve TaskFlow's module names.

Where the interfaces agree, TaskFlow's name refers to the module itself, so patches by a program take
effect. Where they differ, it refers to a module below `stackl_flow.compat` with the same path.
"""

from __future__ import annotations

from typing import Final

#: Packages without content of their own.
PACKAGES: Final = frozenset(
    {
        "taskflow",
        "taskflow.conductors",
        "taskflow.jobs",
        "taskflow.listeners",
        "taskflow.patterns",
        "taskflow.persistence",
        "taskflow.types",
        "taskflow.utils",
    }
)

#: TaskFlow's module names and the modules that serve them.
MODULES: Final[dict[str, str]] = {
    "taskflow.atom": "stackl_flow.atom",
    "taskflow.conductors.backends": "stackl_flow.compat.conductors.backends",
    "taskflow.conductors.backends.impl_blocking": "stackl_flow.compat.conductors.backends.impl_blocking",
    "taskflow.conductors.backends.impl_executor": "stackl_flow.compat.conductors.backends.impl_executor",
    "taskflow.conductors.backends.impl_nonblocking": (
        "stackl_flow.compat.conductors.backends.impl_nonblocking"
    ),
    "taskflow.conductors.base": "stackl_flow.conductors.conductor",
    "taskflow.deciders": "stackl_flow.patterns.deciders",
    "taskflow.engines": "stackl_flow.compat.engines",
    "taskflow.engines.action_engine": "stackl_flow.compat.engines.action_engine",
    "taskflow.engines.action_engine.compiler": "stackl_flow.compat.engines.action_engine.compiler",
    "taskflow.engines.action_engine.engine": "stackl_flow.compat.engines.action_engine.engine",
    "taskflow.engines.action_engine.executor": "stackl_flow.compat.engines.action_engine.executor",
    "taskflow.engines.action_engine.scopes": "stackl_flow.compat.engines.action_engine.scopes",
    "taskflow.engines.base": "stackl_flow.engines.base",
    "taskflow.engines.helpers": "stackl_flow.compat.engines.helpers",
    "taskflow.exceptions": "stackl_flow.exceptions",
    "taskflow.flow": "stackl_flow.patterns.base",
    "taskflow.formatters": "stackl_flow.formatters",
    "taskflow.jobs.backends": "stackl_flow.compat.jobs.backends",
    "taskflow.jobs.backends.impl_etcd": "stackl_flow.compat.jobs.backends.impl_etcd",
    "taskflow.jobs.backends.impl_redis": "stackl_flow.compat.jobs.backends.impl_redis",
    "taskflow.jobs.backends.impl_zookeeper": "stackl_flow.compat.jobs.backends.impl_zookeeper",
    "taskflow.jobs.base": "stackl_flow.compat.jobs.base",
    "taskflow.listeners.base": "stackl_flow.listeners.base",
    "taskflow.listeners.capturing": "stackl_flow.listeners.capturing",
    "taskflow.listeners.claims": "stackl_flow.listeners.claims",
    "taskflow.listeners.logging": "stackl_flow.listeners.logging",
    "taskflow.listeners.printing": "stackl_flow.listeners.printing",
    "taskflow.listeners.timing": "stackl_flow.listeners.timing",
    "taskflow.logging": "stackl_flow.compat.logging",
    "taskflow.patterns.graph_flow": "stackl_flow.patterns.graph_flow",
    "taskflow.patterns.linear_flow": "stackl_flow.patterns.linear_flow",
    "taskflow.patterns.unordered_flow": "stackl_flow.patterns.unordered_flow",
    "taskflow.persistence.backends": "stackl_flow.compat.persistence.backends",
    "taskflow.persistence.backends.impl_dir": "stackl_flow.compat.persistence.backends.impl_dir",
    "taskflow.persistence.backends.impl_memory": "stackl_flow.compat.persistence.backends.impl_memory",
    "taskflow.persistence.backends.impl_sqlalchemy": (
        "stackl_flow.compat.persistence.backends.impl_sqlalchemy"
    ),
    "taskflow.persistence.backends.impl_zookeeper": (
        "stackl_flow.compat.persistence.backends.impl_zookeeper"
    ),
    "taskflow.persistence.base": "stackl_flow.compat.persistence.base",
    "taskflow.persistence.models": "stackl_flow.persistence.models",
    "taskflow.persistence.path_based": "stackl_flow.compat.persistence.path_based",
    "taskflow.retry": "stackl_flow.retry",
    "taskflow.states": "stackl_flow.compat.states",
    "taskflow.storage": "stackl_flow.compat.storage",
    "taskflow.task": "stackl_flow.task",
    "taskflow.types.entity": "stackl_flow.compat.types.entity",
    "taskflow.types.failure": "stackl_flow.failure",
    "taskflow.types.graph": "stackl_flow.compat.types.graph",
    "taskflow.types.latch": "stackl_flow.compat.types.latch",
    "taskflow.types.notifier": "stackl_flow.notifier",
    "taskflow.types.sets": "stackl_flow.compat.types.sets",
    "taskflow.types.timing": "stackl_flow.compat.types.timing",
    "taskflow.types.tree": "stackl_flow.compat.types.tree",
    "taskflow.utils.eventlet_utils": "stackl_flow.compat.utils.eventlet_utils",
    "taskflow.utils.iter_utils": "stackl_flow.compat.utils.iter_utils",
    "taskflow.utils.kazoo_utils": "stackl_flow.compat.utils.kazoo_utils",
    "taskflow.utils.misc": "stackl_flow.compat.utils.misc",
    "taskflow.utils.persistence_utils": "stackl_flow.persistence.factory",
    "taskflow.utils.redis_utils": "stackl_flow.compat.utils.redis_utils",
    "taskflow.utils.threading_utils": "stackl_flow.compat.utils.threading_utils",
    "taskflow.version": "stackl_flow.compat.version",
}

#: Attributes added to a module of this library when it serves a name of TaskFlow, as `module:attribute`.
EXTRA_ATTRIBUTES: Final[dict[str, dict[str, str]]] = {
    "taskflow.retry": {"ForEachBase": "stackl_flow.compat.retries:ForEachBase"},
    "taskflow.states": {
        "_ALLOWED_FLOW_TRANSITIONS": "stackl_flow.states:FLOW_TRANSITIONS",
        "_ALLOWED_JOB_TRANSITIONS": "stackl_flow.states:JOB_TRANSITIONS",
        "_ALLOWED_TASK_TRANSITIONS": "stackl_flow.compat.states:TASK_TRANSITIONS",
        "_IGNORED_FLOW_TRANSITIONS": "stackl_flow.states:IGNORED_FLOW_TRANSITIONS",
    },
    "taskflow.types.failure": {
        "_are_equal_exc_info_tuples": "stackl_flow.compat.types.exc_info:are_equal_exc_info_tuples",
        "_copy_exc_info": "stackl_flow.compat.types.exc_info:copy_exc_info",
    },
}

#: Names of TaskFlow for classes of this library with another ``__name__``. Programs print and compare them.
CLASS_NAMES: Final[dict[str, dict[str, str]]] = {
    "taskflow.exceptions": {"StacklFlowError": "TaskFlowException", "NotSupported": "NotImplementedError"},
}

#: Modules of TaskFlow that are not available, with the reason or alternative.
UNAVAILABLE: Final[dict[str, str]] = {
    "taskflow.engines.worker_based": "remote execution is done by existing engines: Celery, Dask or Ray",
    "taskflow.test": "it is part of the tests of TaskFlow",
    "taskflow.tests": "they are the tests of TaskFlow",
    "taskflow.utils.kombu_utils": "stackl_flow does not use kombu directly",
    "taskflow.utils.schema_utils": "use the jsonschema package",
}


def is_package(name: str) -> bool:
    """Return whether a module name of TaskFlow has submodules."""
    return name in PACKAGES or any(other.startswith(f"{name}.") for other in MODULES)


def explain_missing(name: str) -> str:
    """Return why a module is not available and what to use instead."""
    ancestor = name
    while ancestor:
        if ancestor in UNAVAILABLE:
            return UNAVAILABLE[ancestor]
        ancestor = ancestor.rpartition(".")[0]
    parent = name.rpartition(".")[0]
    served = sorted(other for other in (*MODULES, *PACKAGES) if other.rpartition(".")[0] == parent)
    return (
        f"available in '{parent}': {', '.join(served)}" if served else "see stackl_flow/compat/module_map.py"
    )
