"""What passes between a board and who works in turns: how claims are to end, and what a turn brought."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from stackl_flow import exceptions as exc
from stackl_flow.jobboards.job import Job

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Ending(NamedTuple):
    """How a claimed job is to end.

    ``how``: "consumed" or "trashed", and it is off the board; "abandoned" or "deferred" (both count towards a
    quarantine; who defers a job has it wait a while, longer each time, because of a trouble that may pass),
    "released" (an orderly stop: does not count) or "unbegun" (nobody worked on it: the claim is not even
    remembered), and it waits again. ``outcome``: what came of a consumed job; why ("reason") it is trashed.
    """

    job: Job
    how: str
    outcome: Mapping[str, Any] = _NOTHING


class Late(NamedTuple):
    """An ending that did not land; ``error`` says why.

    ``NotSerializable``: the outcome cannot be kept on the board, and the job is to be ended with another one.
    Otherwise the claim is not there any more.
    """

    ending: Ending
    error: exc.TaskFlowException


class Turn(NamedTuple):
    """What a turn brought: the jobs claimed in it, in their order, and the endings that did not land.

    ``until`` (seconds of the monotonic clock): a job that is not begun by then should be given back instead:
    while a process is stopped its claims may be lost without its noticing.
    """

    claimed: tuple[Job, ...] = ()
    late: tuple[Late, ...] = ()
    until: float = 0.0
