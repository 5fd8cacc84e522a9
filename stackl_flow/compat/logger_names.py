"""Log records under TaskFlow's logger names, by which services configure levels, handlers and filters."""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import Final

from stackl_flow import redaction
from stackl_flow.compat import module_map

#: TaskFlow's loggers for modules of this library that serve none of its modules.
_OTHER_LOGGERS: Final = {
    "stackl_flow": "taskflow",
    "stackl_flow.compat.jobs.boards": "taskflow.jobs.base",
    "stackl_flow.conductors.claim_monitor": "taskflow.conductors.backends.impl_executor",
    "stackl_flow.conductors.conductor": "taskflow.conductors.base",
    "stackl_flow.conductors.prefetch": "taskflow.conductors.backends.impl_executor",
    "stackl_flow.conductors.retention": "taskflow.conductors.backends.impl_executor",
    "stackl_flow.conductors.job_runner": "taskflow.conductors.backends.impl_executor",
    "stackl_flow.engines.values": "taskflow.storage",
    "stackl_flow.engines.factories": "taskflow.engines.helpers",
    "stackl_flow.engines.secrets": "taskflow.engines.action_engine.engine",
    "stackl_flow.engines.journal": "taskflow.storage",
    "stackl_flow.engines.base": "taskflow.engines.action_engine.engine",
    "stackl_flow.engines.loop": "taskflow.engines.action_engine.engine",
    "stackl_flow.jobboards.board": "taskflow.jobs.base",
    "stackl_flow.jobboards.claims": "taskflow.jobs.base",
    "stackl_flow.jobboards.events": "taskflow.jobs.base",
    "stackl_flow.jobboards.unreadable": "taskflow.jobs.base",
    "stackl_flow.kv.backends.directory.store": "taskflow.jobs.base",
    "stackl_flow.kv.backends.redis.store": "taskflow.jobs.base",
    "stackl_flow.kv.backends.sql.session": "taskflow.jobs.base",
    "stackl_flow.kv.wakeup_pipe": "taskflow.jobs.base",
    "stackl_flow.coordination.heartbeat": "taskflow.jobs.base",
    "stackl_flow.coordination.leases": "taskflow.jobs.base",
    "stackl_flow.coordination.change_feed": "taskflow.jobs.base",
    "stackl_flow.persistence.serialization": "taskflow.persistence.models",
    "stackl_flow.databases.retrying": "taskflow.persistence.backends.impl_sqlalchemy",
}


def taskflow_loggers() -> dict[str, str]:
    """Return TaskFlow's logger names by those of this library."""
    served = {ours: name for name, ours in module_map.MODULES.items()}
    return {**served, **_OTHER_LOGGERS}


def rename_loggers() -> None:
    """Replace the loggers of this library, existing and future ones, by TaskFlow's."""
    # As in TaskFlow, nothing is logged unless the program configures logging.
    logging.getLogger("taskflow").addHandler(logging.NullHandler())
    for ours, name in taskflow_loggers().items():
        logger = redaction.get_logger(name)
        logging.Logger.manager.loggerDict[ours] = logger
        module = sys.modules.get(ours)
        if module is not None and isinstance(vars(module).get("_LOG"), logging.Logger):
            vars(module)["_LOG"] = logger


def add_log_attribute(name: str, module: ModuleType) -> None:
    """Add the logger of a module as its attribute `LOG`, which programs patch."""
    logger = vars(module).setdefault("_LOG", redaction.get_logger(name))
    vars(module).setdefault("LOG", logger)
