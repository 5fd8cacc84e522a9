"""TaskFlow's `taskflow.types.entity`: participants such as conductors."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(eq=False)
class Entity:
    """A participant with a kind and a name, such as a conductor.

    Attributes:
        kind: the kind, such as "conductor".
        name: the name, unique within its kind.
        metadata: further data about it.
    """

    kind: str
    name: str
    metadata: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as a dictionary."""
        return {"kind": self.kind, "name": self.name, "metadata": self.metadata}
