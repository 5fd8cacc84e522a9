"""TaskFlow's `taskflow.version`: the version of TaskFlow whose names are served here."""

from __future__ import annotations

from typing import Final

#: The TaskFlow whose surface and behaviour the conformance runs are made with.
TASKFLOW_VERSION: Final = "6.5.0"

TASK_VENDOR: Final = "OpenStack Foundation"
TASK_PRODUCT: Final = "OpenStack TaskFlow"
TASK_PACKAGE: Final[str | None] = None


def version_string() -> str:
    """Return the version of TaskFlow that this stands in for.

    Returns:
        The number, as text.
    """
    return TASKFLOW_VERSION


def version_string_with_package() -> str:
    """Return the version; there is no packager's suffix here.

    Returns:
        The number, as text.
    """
    return TASKFLOW_VERSION
