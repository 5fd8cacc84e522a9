"""The plan of a round, derived from a seed before the round starts.

The same seed always gives the same plan. Its outcome varies, since processes have their own timing: repeat a
round that failed with its seed, several times if necessary.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

from tests.support.chaos.flows import KINDS


class FaultKind(Enum):
    """The kinds of faults."""

    #: SIGKILL to a conductor, which is started again.
    KILL = "kill"
    #: SIGSTOP to a conductor, continued later; its heartbeat process runs on.
    STOP = "stop"
    #: SIGSTOP to a conductor and its heartbeat process, as on a frozen machine.
    FREEZE = "freeze"
    #: SIGTERM to a conductor: it hands its jobs over and is started again.
    DRAIN = "drain"
    #: SIGKILL to the heartbeat process of a conductor.
    KILL_HEARTBEAT = "kill heartbeat of"
    #: The leases of a conductor are revoked.
    EXPIRE = "revoke leases of"
    #: SIGKILL to a server, which is started again later.
    CRASH = "crash"
    #: Shutdown of a server, which is started again later.
    RESTART = "restart"
    #: SIGSTOP to a server, continued later.
    STALL = "stall"
    #: The connections of a conductor are closed; it may make new ones.
    CUT = "close connections of"
    #: The same, and new connections are refused for a while.
    REFUSE = "refuse connections of"
    #: Messages of a conductor and its servers are delivered late.
    HOLD = "hold messages of"
    #: Responses to a conductor are lost; then its connections are closed.
    MUTE = "drop responses to"
    #: Messages of a conductor are delayed.
    SLOW = "delay messages of"


#: Faults of conductors, of servers and of the connections between them.
CONDUCTORS: Final = (
    FaultKind.KILL,
    FaultKind.STOP,
    FaultKind.FREEZE,
    FaultKind.DRAIN,
    FaultKind.KILL_HEARTBEAT,
    FaultKind.EXPIRE,
)
SERVERS: Final = (FaultKind.CRASH, FaultKind.RESTART, FaultKind.STALL)
CONNECTIONS: Final = (FaultKind.CUT, FaultKind.REFUSE, FaultKind.HOLD, FaultKind.MUTE, FaultKind.SLOW)
#: Faults without a duration.
INSTANT: Final = frozenset(
    {FaultKind.KILL, FaultKind.DRAIN, FaultKind.KILL_HEARTBEAT, FaultKind.EXPIRE, FaultKind.CUT}
)
#: Faults that stop all conductors: kept short, or nothing else is tested.
_GLOBAL: Final = frozenset(SERVERS)

#: Kind of a job without a flow, which must be trashed.
NO_FLOW: Final = "no flow"
_KINDS: Final = (*KINDS, *KINDS, NO_FLOW)
_PRIORITIES: Final = ("HIGH", "NORMAL", "NORMAL", "LOW")


class JobSpec(NamedTuple):
    """A job: when it is posted (seconds from the start), and its flow (see ``flows.make``)."""

    number: int
    at: float
    kind: str
    steps: int
    pace: float
    priority: str


class Fault(NamedTuple):
    """A fault: when and for how long (seconds), and the index of its conductor or server.

    ``server``: the server whose connections to the conductor are disturbed; None for all servers.
    """

    at: float
    kind: FaultKind
    target: int
    duration: float
    server: int | None = None


class Scale(NamedTuple):
    """The size of a round.

    ``servers``: number of servers; without servers there are no connections to disturb. ``jobs``: number of
    jobs. ``conductors``: number of processes that run them, each ``slots`` at once. ``span``: seconds with
    faults. ``ttl``: lease of a claim in seconds. ``faults``: faults a second.
    ``steady``: number of conductors whose processes are never killed or drained, to watch their memory.
    """

    servers: int = 0
    jobs: int = 40
    conductors: int = 3
    slots: int = 2
    span: float = 6.0
    ttl: float = 2.0
    faults: float = 2.5
    steady: int = 0


class Plan(NamedTuple):
    """The plan of a round. ``workers`` is how many tasks of a flow run at once."""

    seed: int
    scale: Scale
    workers: int
    jobs: tuple[JobSpec, ...]
    faults: tuple[Fault, ...]


def make_plan(seed: int, scale: Scale) -> Plan:
    """Derive a plan from a seed."""
    rng = random.Random(seed)
    workers = rng.choice((1, 1, 2))
    jobs = tuple(_job(rng, number, scale.span) for number in range(scale.jobs))
    count = round(scale.faults * scale.span)
    kinds = _kinds(rng, scale)
    faults = sorted((_fault(rng, next(kinds), scale) for _ in range(count)), key=lambda fault: fault.at)
    return Plan(seed, scale, workers, jobs, tuple(faults))


def _job(rng: random.Random, number: int, span: float) -> JobSpec:
    at = 0.0 if rng.random() < 0.5 else rng.uniform(0, span * 0.8)
    steps, pace = rng.randint(1, 5), rng.choice((0.0, 0.01, 0.05, 0.2))
    return JobSpec(number, round(at, 2), rng.choice(_KINDS), steps, pace, rng.choice(_PRIORITIES))


def _kinds(rng: random.Random, scale: Scale) -> Iterator[FaultKind]:
    """Yield the possible kinds in shuffled cycles, so that a round has most of them."""
    possible = [*CONDUCTORS, *(SERVERS + CONNECTIONS if scale.servers else ())]
    while True:
        rng.shuffle(possible)
        yield from possible


def _fault(rng: random.Random, kind: FaultKind, scale: Scale) -> Fault:
    targets = scale.servers if kind in SERVERS else scale.conductors
    if kind in {FaultKind.KILL, FaultKind.DRAIN}:
        targets -= scale.steady
    beyond_lease = scale.ttl + rng.uniform(0.5, 1.5)
    if kind in INSTANT:
        duration = 0.0
    elif kind in _GLOBAL:
        duration = rng.choice((0.0, 0.3, 1.0))
    else:
        duration = rng.choice((0.2, 0.8, beyond_lease, beyond_lease))
    # A conductor that has lost the board but not the flows runs on with flows that others have claimed.
    server = rng.choice((None, *range(scale.servers))) if kind in CONNECTIONS else None
    at = round(rng.uniform(0.2, scale.span), 2)
    return Fault(at, kind, rng.randrange(targets), round(duration, 2), server)
