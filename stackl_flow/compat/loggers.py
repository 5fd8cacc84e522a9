"""Log records under TaskFlow's logger names: services set levels, handlers and filters by them."""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import Final

from stackl_flow.compat import names

#: Where TaskFlow says what modules of ours say that serve none of its own as a whole.
_OTHERS: Final = {
    "stackl_flow.engines.arguments": "taskflow.storage",
    "stackl_flow.engines.engine": "taskflow.engines.action_engine.engine",
    "stackl_flow.engines.helpers": "taskflow.engines.helpers",
    "stackl_flow.engines.ledger": "taskflow.storage",
    "stackl_flow.engines.run": "taskflow.engines.action_engine.completer",
    "stackl_flow.engines.shell": "taskflow.engines.action_engine.engine",
    "stackl_flow.persistence.backends.memory": "taskflow.persistence.backends.impl_memory",
    "stackl_flow.persistence.backends.sql": "taskflow.persistence.backends.impl_sqlalchemy",
    "stackl_flow.persistence.backends.sql.again": "taskflow.persistence.backends.impl_sqlalchemy",
    "stackl_flow.persistence.books": "taskflow.utils.persistence_utils",
}


def table() -> dict[str, str]:
    """Return TaskFlow's logger names, by ours.

    Returns:
        A logger of each module that serves, and the others that say something.
    """
    served = {ours: theirs for theirs, ours in names.MODULES.items()}
    return {**served, **_OTHERS, "stackl_flow": "taskflow"}


def rename() -> None:
    """Have our loggers, those made already and those still to come, be TaskFlow's."""
    for ours, theirs in table().items():
        logger = logging.getLogger(theirs)
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
    own = vars(module).setdefault("_LOG", logging.getLogger(name))
    vars(module).setdefault("LOG", own)
