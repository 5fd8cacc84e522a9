"""TaskFlow's `taskflow.logging`: the names of the standard library and a level below DEBUG."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from logging import CRITICAL, DEBUG, ERROR, FATAL, INFO, NOTSET, WARN, WARNING
from typing import Any, Final

__all__ = [
    "BLATHER", "CRITICAL", "DEBUG", "ERROR", "FATAL", "INFO", "NOTSET", "TRACE", "WARN", "WARNING",
    "getLogger",
]  # fmt: skip

BLATHER: Final = 5
TRACE: Final = BLATHER


class TraceLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger with a level below DEBUG."""

    def trace(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Log at level TRACE."""
        self.log(TRACE, msg, *args, **kwargs)

    def warn(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Log at level WARNING."""
        self.warning(msg, *args, **kwargs)


def getLogger(name: str = "taskflow", extra: Mapping[str, object] | None = None) -> TraceLogger:  # noqa: N802
    """Return a logger that drops its records unless the program configures handlers."""
    logger = logging.getLogger(name)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return TraceLogger(logger, extra)
