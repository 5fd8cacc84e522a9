"""TaskFlow's `taskflow.types.entity`: who or what takes part in the work."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(eq=False)
class Entity:
    """A thing that has a kind and a name, such as a conductor.

    Args:
        kind: what kind of thing it is.
        name: what it is called; unique within its kind.
        metadata: what else is known of it.
    """

    kind: str
    name: str
    metadata: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return {"kind": self.kind, "name": self.name, "metadata": self.metadata}
