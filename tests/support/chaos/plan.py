"""What is to happen in a round: drawn from a seed, and nothing else, before anything begins.

The same seed gives the same plan for ever. What comes of it differs a little each time, because processes
have their own time; so a round that failed is run again with its seed, several times if need be.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

from tests.support.chaos.flows import KINDS


class What(Enum):
    """What can be done to somebody."""

    #: A conductor, with SIGKILL; another of the same name takes its place.
    KILL = "kill"
    #: A conductor, with SIGSTOP, and continued later; its heart goes on.
    STOP = "stop"
    #: A conductor and its heart, as on a machine that was frozen.
    FREEZE = "freeze"
    #: A conductor, with SIGTERM: it hands over what it has; another takes its place.
    DRAIN = "drain"
    #: The process that keeps a conductor's leases up, with SIGKILL.
    UNHEART = "unheart"
    #: The leases of a conductor, by somebody who gives them up in its place.
    EXPIRE = "expire"
    #: A server, with SIGKILL; it comes back later.
    CRASH = "crash"
    #: A server, in order; it comes back later.
    RESTART = "restart"
    #: A server, with SIGSTOP, and continued later.
    STALL = "stall"
    #: The connections of a conductor, which are closed; it may make new ones.
    CUT = "cut"
    #: The same, and no new ones for a while.
    REFUSE = "refuse"
    #: What a conductor and its servers say to each other arrives later, when the one may have been given up.
    HOLD = "hold"
    #: What a conductor asks for is done, and it gets no answer; then its connections are closed.
    MUTE = "mute"
    #: Every message of a conductor takes a while.
    SLOW = "slow"


#: What is done to conductors, to servers, and to the links between them.
CONDUCTORS: Final = (What.KILL, What.STOP, What.FREEZE, What.DRAIN, What.UNHEART, What.EXPIRE)
SERVERS: Final = (What.CRASH, What.RESTART, What.STALL)
LINKS: Final = (What.CUT, What.REFUSE, What.HOLD, What.MUTE, What.SLOW)
#: Those that are over at once.
AT_ONCE: Final = frozenset({What.KILL, What.DRAIN, What.UNHEART, What.EXPIRE, What.CUT})
#: Those after which nobody works until they are over: they are to be short, or nothing else is tested.
_FOR_ALL: Final = frozenset(SERVERS)

#: Name of a job without a flow, which is to be trashed.
BOOKLESS: Final = "bookless"
_KINDS: Final = (*KINDS, *KINDS, BOOKLESS)
_PRIORITIES: Final = ("HIGH", "NORMAL", "NORMAL", "LOW")


class JobSpec(NamedTuple):
    """A job: when it is posted (seconds from the beginning), and its flow (see ``flows.make``)."""

    number: int
    at: float
    kind: str
    steps: int
    pace: float
    priority: str


class Deed(NamedTuple):
    """Something done: when and for how long (seconds), and to which conductor or server.

    ``way``: to the conductor's link with which server; None for all its links.
    """

    at: float
    what: What
    whom: int
    lasts: float
    way: int | None = None


class Means(NamedTuple):
    """What there is to be disturbed, and how much of it.

    ``servers``: how many servers there are; with none there are no links either. ``jobs``: how many are
    posted. ``conductors``: how many processes run them, each ``slots`` at once. ``span``: seconds in which
    there is no peace. ``ttl``: seconds a claim outlives its owner. ``deeds``: how many disturbances a second.
    """

    servers: int = 0
    jobs: int = 40
    conductors: int = 3
    slots: int = 2
    span: float = 6.0
    ttl: float = 2.0
    deeds: float = 2.5


class Plan(NamedTuple):
    """A whole round. ``workers`` is how many tasks of one flow may run at once."""

    seed: int
    means: Means
    workers: int
    jobs: tuple[JobSpec, ...]
    deeds: tuple[Deed, ...]


def make_plan(seed: int, means: Means) -> Plan:
    """Draw a plan.

    Args:
        seed: any whole number.
        means: what there is.

    Returns:
        The plan.
    """
    chance = random.Random(seed)
    workers = chance.choice((1, 1, 2))
    jobs = tuple(_job(chance, number, means.span) for number in range(means.jobs))
    count = round(means.deeds * means.span)
    kinds = _kinds(chance, means)
    deeds = sorted((_deed(chance, next(kinds), means) for _ in range(count)), key=lambda deed: deed.at)
    return Plan(seed, means, workers, jobs, tuple(deeds))


def _job(chance: random.Random, number: int, span: float) -> JobSpec:
    at = 0.0 if chance.random() < 0.5 else chance.uniform(0, span * 0.8)
    steps, pace = chance.randint(1, 5), chance.choice((0.0, 0.01, 0.05, 0.2))
    return JobSpec(number, round(at, 2), chance.choice(_KINDS), steps, pace, chance.choice(_PRIORITIES))


def _kinds(chance: random.Random, means: Means) -> Iterator[What]:
    """Go over all that can be done here, in ever new orders: no round leaves much of it out."""
    there = [*CONDUCTORS, *(SERVERS + LINKS if means.servers else ())]
    while True:
        chance.shuffle(there)
        yield from there


def _deed(chance: random.Random, what: What, means: Means) -> Deed:
    among = means.servers if what in SERVERS else means.conductors
    longer = means.ttl + chance.uniform(0.5, 1.5)
    if what in AT_ONCE:
        lasts = 0.0
    elif what in _FOR_ALL:
        lasts = chance.choice((0.0, 0.3, 1.0))
    else:
        lasts = chance.choice((0.2, 0.8, longer, longer))
    # Cut off from the board alone, a conductor goes on with flows that others have by now.
    way = chance.choice((None, *range(means.servers))) if what in LINKS else None
    at = round(chance.uniform(0.2, means.span), 2)
    return Deed(at, what, chance.randrange(among), round(lasts, 2), way)
