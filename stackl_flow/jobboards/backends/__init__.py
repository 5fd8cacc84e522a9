"""Finds the board for an address, or for TaskFlow's settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.jobboards.base import JobBoard
from stackl_flow.jobboards.board import TTL, KVBoard
from stackl_flow.jobboards.job import Books
from stackl_flow.jobboards.maintenance import Rules
from stackl_flow.kv import backends as places

NAMESPACE: Final = "stackl_flow.kv"


def fetch(
    name: str,
    conf: str | Mapping[str, Any],
    namespace: str = NAMESPACE,
    persistence: Books | None = None,
    clock: Clock = SYSTEM,
) -> JobBoard:
    """Make the board for an address; nothing is opened yet.

    Args:
        name: the board's name; boards of different names may share a place.
        conf: an address of a place of items, such as "memory://jobs" or "dir:///var/lib/app", or settings
            with one under "connection" or TaskFlow's "board". Beside it may stand ``ttl`` (seconds a claim
            outlives its owner), ``max_claims`` (claims in vain before a job is quarantined) and
            ``keep_outcomes`` (seconds).
        namespace: the group of entry points in which places are looked for.
        persistence: the backend in which the jobs' logbooks are.
        clock: tells the time.

    Returns:
        The board; ``connect`` it, or use it in a ``with``.

    Raises:
        NotFound: there is no place for such addresses, or it cannot be imported.
        InvalidFormat: the address or its options make no sense.
    """
    _check(name, conf)
    settings = {"connection": conf} if isinstance(conf, str) else dict(conf)
    if "board" in settings:
        settings.setdefault("connection", settings.pop("board"))
    ttl = _number(settings, "ttl", TTL)
    most = settings.pop("max_claims", Rules().max_claims)
    most = None if most is None else int(_number({"max_claims": most}, "max_claims", 0))
    rules = Rules(most, _number(settings, "keep_outcomes", Rules().keep_outcomes))
    kv = places.fetch(settings, namespace=namespace, clock=clock)
    return KVBoard(name, kv, persistence, ttl=ttl, rules=rules, clock=clock)


def _check(name: Any, conf: Any) -> None:
    """Refuse what is easily confused."""
    if not isinstance(name, str) or not isinstance(conf, str | Mapping):
        raise exc.InvalidFormat(
            "a board needs a name and an address, such as fetch('jobs', 'sqlite:///jobs.db'), and not"
            f" fetch({name!r}, a {type(conf).__name__})"
        )


def _number(settings: dict[str, Any], name: str, usual: float) -> float:
    """Take a number out of the settings."""
    value = settings.pop(name, usual)
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise exc.InvalidFormat(
            f"'{name}' of a board must be a number, not {value!r}", cause=error
        ) from error


@contextmanager
def backend(
    name: str,
    conf: str | Mapping[str, Any],
    namespace: str = NAMESPACE,
    persistence: Books | None = None,
    clock: Clock = SYSTEM,
) -> Iterator[JobBoard]:
    """Make a board, connect it, and close it at the end.

    Args:
        name: as for ``fetch``.
        conf: as for ``fetch``.
        namespace: as for ``fetch``.
        persistence: as for ``fetch``.
        clock: as for ``fetch``.

    Yields:
        The board.
    """
    with fetch(name, conf, namespace, persistence, clock) as board:
        yield board
