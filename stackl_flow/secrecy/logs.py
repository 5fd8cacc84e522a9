"""Log records and tracebacks without secrets."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType
from typing import Final

from stackl_flow.secrecy.known import any_kept, redact

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def traceback_of(exc_info: ExcInfo) -> str:
    """Write an error with its traceback and causes, without secrets.

    Args:
        exc_info: type, error and traceback.

    Returns:
        The text.
    """
    return redact("".join(traceback.format_exception(*exc_info)))


def shows(exc_info: ExcInfo | None) -> bool:
    """Say whether an error would show a secret if it were printed as it is.

    Args:
        exc_info: type, error and traceback, or None.

    Returns:
        True when it would.
    """
    if exc_info is None or not any_kept():
        return False
    text = "".join(traceback.format_exception(*exc_info))
    return redact(text) != text


class SecretsFilter(logging.Filter):
    """Takes secrets out of log records; put it on the handlers of a program whose own tasks log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change a record that would show a secret.

        Args:
            record: the record.

        Returns:
            True: no record is held back.
        """
        if not any_kept():
            return True
        message = record.getMessage()
        shown = redact(message)
        if shown != message:
            record.msg, record.args = shown, None
        told = record.exc_info
        if told and told[0] is not None and shows(told):
            record.exc_text, record.exc_info = traceback_of(told).rstrip(), None
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


_FILTER: Final = SecretsFilter()


def logger(name: str) -> logging.Logger:
    """Get the logger of a module of this library, whose records show no secrets.

    Args:
        name: the module.

    Returns:
        The logger.
    """
    made = logging.getLogger(name)
    made.addFilter(_FILTER)
    return made
