"""What a conductor's process and whoever starts it have agreed on."""

from __future__ import annotations

from typing import Final, NamedTuple

#: What the board is called.
BOARD: Final = "chaos"
#: How a process ends that could not even begin: whoever started it starts it again.
NO_BEGINNING: Final = 3


class Settings(NamedTuple):
    """What a conductor is told; ``told`` is a file to which it writes how its jobs ended."""

    name: str
    board: str
    flows: str
    told: str
    ttl: float
    slots: int
    workers: int
