"""A listener that prints."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from stackl_flow import redaction
from stackl_flow.listeners import base


class PrintingListener(base.DumpingListener):
    """Prints a line for each transition of the flow and of its tasks, and the tracebacks of failures.

    Args:
        engine: the engine.
        task_listen_for: see ``Listener``.
        flow_listen_for: see ``Listener``.
        retry_listen_for: see ``Listener``.
        stderr: print to standard error instead of standard output.
    """

    def __init__(
        self,
        engine: base.Engine,
        task_listen_for: Iterable[str] | None = base.DEFAULT_LISTEN_FOR,
        flow_listen_for: Iterable[str] | None = base.DEFAULT_LISTEN_FOR,
        retry_listen_for: Iterable[str] | None = base.DEFAULT_LISTEN_FOR,
        stderr: bool = False,
    ) -> None:
        super().__init__(engine, task_listen_for, flow_listen_for, retry_listen_for)
        self._file = sys.stderr if stderr else sys.stdout

    def _dump(self, message: str, *args: Any, **kwargs: Any) -> None:
        print(redaction.redact(message % args), file=self._file)
        exc_info = kwargs.get("exc_info")
        if exc_info is not None:
            print(redaction.format_traceback(exc_info).rstrip(), file=self._file)
