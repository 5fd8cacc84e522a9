"""Log records under TaskFlow's logger names: services set levels, handlers and filters by them."""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import Final

from stackl_flow import redaction
from stackl_flow.compat import module_map

#: Where TaskFlow says what modules of ours say that serve none of its own as a whole.
_OTHERS: Final = {
    "stackl_flow": "taskflow",
    "stackl_flow.compat.jobs.boards": "taskflow.jobs.base",
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
    "stackl_flow.coordination.heartbeat": "taskflow.jobs.base",
    "stackl_flow.coordination.leases": "taskflow.jobs.base",
    "stackl_flow.coordination.change_feed": "taskflow.jobs.base",
    "stackl_flow.databases.retrying": "taskflow.persistence.backends.impl_sqlalchemy",
}


def table() -> dict[str, str]:
    """Return TaskFlow's logger names, by ours.

    Returns:
        A logger of each module that serves, and the others that say something.
    """
    served = {ours: theirs for theirs, ours in module_map.MODULES.items()}
    return {**served, **_OTHERS}


def rename() -> None:
    """Have our loggers, those made already and those still to come, be TaskFlow's."""
    # As with TaskFlow, a program that sets up no logging is told nothing.
    logging.getLogger("taskflow").addHandler(logging.NullHandler())
    for ours, theirs in table().items():
        logger = redaction.get_logger(theirs)
        logging.Logger.manager.loggerDict[ours] = logger
        module = sys.modules.get(ours)
        if module is not None and isinstance(vars(module).get("_LOG"), logging.Logger):
            vars(module)["_LOG"] = logger


def offer(name: str, module: ModuleType) -> None:
    """Offer a module's logger as `LOG`, which is what programs patch.

    Args:
        name: TaskFlow's name of the module.
        module: what serves it.
    """
    own = vars(module).setdefault("_LOG", redaction.get_logger(name))
    vars(module).setdefault("LOG", own)
