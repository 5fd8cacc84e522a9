"""How far a decider's "no" reaches."""

from __future__ import annotations

import enum
from collections.abc import Iterable


class Depth(enum.Enum):
    """How far a decider's "no" reaches, widest first."""

    ALL = "ALL"
    """The atom and everything after it."""

    FLOW = "FLOW"
    """The atom and the tasks after it in the same flow."""

    NEIGHBORS = "NEIGHBORS"
    """The atom and the tasks right after it."""

    ATOM = "ATOM"
    """The atom alone."""

    @classmethod
    def translate(cls, desired_depth: Depth | str) -> Depth:
        """Turn a word into a depth.

        Args:
            desired_depth: a depth or its name, in any case.

        Returns:
            The depth.

        Raises:
            ValueError: there is no such depth.
            TypeError: that is not a word.
        """
        if isinstance(desired_depth, cls):
            return desired_depth
        if not isinstance(desired_depth, str):
            raise TypeError(
                f"Unexpected decider depth {desired_depth!r}: give one of {', '.join(cls.__members__)}"
            )
        word = desired_depth.upper()
        if word not in cls.__members__:
            raise ValueError(
                f"Unknown decider depth '{desired_depth}': expected one of {', '.join(cls.__members__)}"
            )
        return cls[word]


_WIDEST_FIRST = tuple(Depth)


def pick_widest(depths: Iterable[Depth | str]) -> Depth:
    """Pick the depth that reaches furthest.

    Args:
        depths: at least one.

    Returns:
        The widest.
    """
    return min(map(Depth.translate, depths), key=_WIDEST_FIRST.index)
