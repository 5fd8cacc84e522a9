"""A workflow engine: flows of tasks that complete or are rolled back, even across crashes.

These are the names that most programs need. Each is imported on first access (PEP 562), so that importing the
package is fast and loads no driver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stackl_flow import engines, exceptions, patterns, persistence, retry, states, task
    from stackl_flow.engines.factories import flow_from_detail, save_factory_details
    from stackl_flow.engines.helpers import load, load_from_detail, load_from_factory, run, run_iter
    from stackl_flow.exceptions import OwnershipLost, StacklFlowError, WrappedFailure
    from stackl_flow.failure import Failure
    from stackl_flow.notifier import Notifier
    from stackl_flow.patterns.deciders import Depth
    from stackl_flow.patterns.graph_flow import Flow as GraphFlow
    from stackl_flow.patterns.graph_flow import TargetedFlow
    from stackl_flow.patterns.linear_flow import Flow as LinearFlow
    from stackl_flow.patterns.unordered_flow import Flow as UnorderedFlow
    from stackl_flow.persistence.models import FlowDetail, LogBook
    from stackl_flow.retry import (
        AlwaysRevert,
        AlwaysRevertAll,
        Decision,
        ForEach,
        History,
        ParameterizedForEach,
        Retry,
        Times,
    )
    from stackl_flow.task import FunctorTask, MapFunctorTask, ReduceFunctorTask, Task
    from stackl_flow.task_context import current_task

__version__ = "0.1.0"

__all__ = [
    "AlwaysRevert",
    "AlwaysRevertAll",
    "Decision",
    "Depth",
    "Failure",
    "FlowDetail",
    "ForEach",
    "FunctorTask",
    "GraphFlow",
    "History",
    "LinearFlow",
    "LogBook",
    "MapFunctorTask",
    "Notifier",
    "OwnershipLost",
    "ParameterizedForEach",
    "ReduceFunctorTask",
    "Retry",
    "StacklFlowError",
    "TargetedFlow",
    "Task",
    "Times",
    "UnorderedFlow",
    "WrappedFailure",
    "__version__",
    "current_task",
    "engines",
    "exceptions",
    "flow_from_detail",
    "load",
    "load_from_detail",
    "load_from_factory",
    "patterns",
    "persistence",
    "retry",
    "run",
    "run_iter",
    "save_factory_details",
    "states",
    "task",
]

_ENGINES = "stackl_flow.engines.helpers"
_FACTORIES = "stackl_flow.engines.factories"
_EXCEPTIONS = "stackl_flow.exceptions"
_RETRY = "stackl_flow.retry"
_TASK = "stackl_flow.task"

# The source of each name, as module:attribute; no attribute means the module itself.
_SOURCES = {
    "AlwaysRevert": f"{_RETRY}:AlwaysRevert",
    "AlwaysRevertAll": f"{_RETRY}:AlwaysRevertAll",
    "Decision": f"{_RETRY}:Decision",
    "Depth": "stackl_flow.patterns.deciders:Depth",
    "Failure": "stackl_flow.failure:Failure",
    "FlowDetail": "stackl_flow.persistence.models:FlowDetail",
    "ForEach": f"{_RETRY}:ForEach",
    "FunctorTask": f"{_TASK}:FunctorTask",
    "GraphFlow": "stackl_flow.patterns.graph_flow:Flow",
    "History": f"{_RETRY}:History",
    "LinearFlow": "stackl_flow.patterns.linear_flow:Flow",
    "LogBook": "stackl_flow.persistence.models:LogBook",
    "MapFunctorTask": f"{_TASK}:MapFunctorTask",
    "Notifier": "stackl_flow.notifier:Notifier",
    "OwnershipLost": f"{_EXCEPTIONS}:OwnershipLost",
    "ParameterizedForEach": f"{_RETRY}:ParameterizedForEach",
    "ReduceFunctorTask": f"{_TASK}:ReduceFunctorTask",
    "Retry": f"{_RETRY}:Retry",
    "StacklFlowError": f"{_EXCEPTIONS}:StacklFlowError",
    "TargetedFlow": "stackl_flow.patterns.graph_flow:TargetedFlow",
    "Task": f"{_TASK}:Task",
    "Times": f"{_RETRY}:Times",
    "UnorderedFlow": "stackl_flow.patterns.unordered_flow:Flow",
    "WrappedFailure": f"{_EXCEPTIONS}:WrappedFailure",
    "current_task": "stackl_flow.task_context:current_task",
    "engines": "stackl_flow.engines:",
    "exceptions": f"{_EXCEPTIONS}:",
    "flow_from_detail": f"{_FACTORIES}:flow_from_detail",
    "load": f"{_ENGINES}:load",
    "load_from_detail": f"{_ENGINES}:load_from_detail",
    "load_from_factory": f"{_ENGINES}:load_from_factory",
    "patterns": "stackl_flow.patterns:",
    "persistence": "stackl_flow.persistence:",
    "retry": f"{_RETRY}:",
    "run": f"{_ENGINES}:run",
    "run_iter": f"{_ENGINES}:run_iter",
    "save_factory_details": f"{_FACTORIES}:save_factory_details",
    "states": "stackl_flow.states:",
    "task": f"{_TASK}:",
}


def __getattr__(name: str) -> Any:
    if name not in _SOURCES:
        raise AttributeError(f"module 'stackl_flow' has no attribute {name!r}")
    module_name, _, attribute = _SOURCES[name].partition(":")
    module = import_module(module_name)
    value = getattr(module, attribute) if attribute else module
    globals()[name] = value  # so that the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
