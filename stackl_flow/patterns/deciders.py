"""Decider depths: how much is skipped when a decider returns False."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from stackl_flow import exceptions as exc
from stackl_flow.atom import check_body, check_signature


class Depth(enum.Enum):
    """What is skipped when a decider returns False, widest first."""

    ALL = "ALL"
    """The atom and all its successors."""

    FLOW = "FLOW"
    """The atom and its successors in the same flow."""

    NEIGHBORS = "NEIGHBORS"
    """The atom and its direct successors."""

    ATOM = "ATOM"
    """The atom only."""

    @classmethod
    def translate(cls, desired_depth: Depth | str) -> Depth:
        """Return the depth of a name.

        Args:
            desired_depth: a depth or its name, in upper or lower case.

        Raises:
            ValueError: the name is unknown.
            TypeError: the argument is neither a depth nor a string.
        """
        if isinstance(desired_depth, cls):
            return desired_depth
        if not isinstance(desired_depth, str):
            raise TypeError(
                f"Unexpected decider depth {desired_depth!r}: pass one of {', '.join(cls.__members__)}"
            )
        name = desired_depth.upper()
        if name not in cls.__members__:
            raise ValueError(
                f"Unknown decider depth '{desired_depth}': expected one of {', '.join(cls.__members__)}"
            )
        return cls[name]


def check_decider(decider: Callable[..., Any], what: str) -> None:
    """Check that a decider can decide.

    Args:
        decider: the decider.
        what: what it is, for the error message.

    Raises:
        NotABody: it is async or a generator, or built-in without a signature.
    """
    check_body(decider, what)
    if inspect.isbuiltin(decider):
        check_signature(decider, what)


def call_decider(decider: Callable[..., Any], history: Mapping[str, Any]) -> bool:
    """Call a decider.

    Raises:
        NotABody: it returned a coroutine or a generator, which would count as True.
    """
    answer = decider(history=history)
    if inspect.iscoroutine(answer) or inspect.isgenerator(answer) or inspect.isasyncgen(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise exc.NotABody(f"decider {decider!r} returned a {type(answer).__name__}, not True or False")
    return bool(answer)


_WIDEST_FIRST = tuple(Depth)


def pick_widest(depths: Iterable[Depth | str]) -> Depth:
    """Return the widest of one or more depths."""
    return min(map(Depth.translate, depths), key=_WIDEST_FIRST.index)
