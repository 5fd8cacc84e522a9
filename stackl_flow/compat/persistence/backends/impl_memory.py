"""TaskFlow's `taskflow.persistence.backends.impl_memory`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackl_flow.persistence.backends import memory


class MemoryBackend(memory.MemoryBackend):
    """Keeps everything in this process.

    Args:
        conf: settings; "connection" has no meaning here.
    """

    def __init__(self, conf: Mapping[str, Any] | None = None) -> None:
        del conf
        super().__init__({"connection": "memory"})
