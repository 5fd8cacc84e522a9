"""TaskFlow's `taskflow.version`."""

from __future__ import annotations

from typing import Final

#: The version of TaskFlow whose interface and behaviour the conformance tests check.
TASKFLOW_VERSION: Final = "6.5.0"

TASK_VENDOR: Final = "OpenStack Foundation"
TASK_PRODUCT: Final = "OpenStack TaskFlow"
TASK_PACKAGE: Final[str | None] = None


def version_string() -> str:
    """Return the version of TaskFlow."""
    return TASKFLOW_VERSION


def version_string_with_package() -> str:
    """Return the version of TaskFlow; there is no packaging suffix."""
    return TASKFLOW_VERSION
