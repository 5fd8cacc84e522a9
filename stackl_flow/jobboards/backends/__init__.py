"""Makes the job board of a URL, or of TaskFlow's settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.jobboards.base import JobBoard, LogBookSource
from stackl_flow.jobboards.board import TTL, KVBoard
from stackl_flow.jobboards.maintenance import QueuePolicy
from stackl_flow.kv import backends as kv_backends

NAMESPACE: Final = "stackl_flow.kv"


def fetch(
    name: str,
    conf: str | Mapping[str, Any],
    namespace: str = NAMESPACE,
    persistence: LogBookSource | None = None,
    clock: Clock = SYSTEM,
) -> JobBoard:
    """Make the board of a URL; it connects with ``connect()``, or in a ``with``.

    Args:
        name: name of the board; boards of different names may share a store.
        conf: the URL of a key-value store, such as ``"redis://localhost"``, or the path of a SQLite file. Or
            settings with the URL under ``"connection"`` or TaskFlow's ``"board"``, and with the options of
            the store or of the board: ``ttl`` (lease duration in seconds, 15: how long a claim outlives its
            owner), ``max_claims`` (failed claims before a job becomes a dead letter, 10; None for no limit)
            and ``outcome_retention`` (seconds for which the outcome of an ended job is kept, 86400).
        namespace: group of entry points in which stores are looked up.
        persistence: backend of the jobs' logbooks, for ``Job.book``.
        clock: clock of posts, claims, due times and expiry.

    Raises:
        NotFound: there is no store for such URLs, or it cannot be imported.
        InvalidFormat: the URL or an option is invalid.
    """
    _check_arguments(name, conf)
    settings = {"connection": conf} if isinstance(conf, str) else dict(conf)
    if "board" in settings:
        settings.setdefault("connection", settings.pop("board"))
    ttl = _pop_number(settings, "ttl", TTL)
    policy = pop_policy(settings)
    kv = kv_backends.fetch(settings, namespace=namespace, clock=clock)
    return KVBoard(name, kv, persistence, ttl=ttl, policy=policy, clock=clock)


def pop_policy(settings: dict[str, Any]) -> QueuePolicy:
    """Take the queue policy out of settings.

    Raises:
        InvalidFormat: an option is not a number.
    """
    default = QueuePolicy()
    max_claims = settings.pop("max_claims", default.max_claims)
    if max_claims is not None:
        max_claims = int(_pop_number({"max_claims": max_claims}, "max_claims", 0))
    return QueuePolicy(max_claims, _pop_number(settings, "outcome_retention", default.outcome_retention))


def _check_arguments(name: Any, conf: Any) -> None:
    """Reject arguments in the wrong order."""
    if not isinstance(name, str) or not isinstance(conf, str | Mapping):
        raise exc.InvalidFormat(
            "a board needs a name and a URL, such as fetch('jobs', 'sqlite:///jobs.db'), not"
            f" fetch({name!r}, a {type(conf).__name__})"
        )


def _pop_number(settings: dict[str, Any], name: str, default: float) -> float:
    value = settings.pop(name, default)
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise exc.InvalidFormat(
            f"option '{name}' of a board must be a number, not {value!r}", cause=error
        ) from error


@contextmanager
def backend(
    name: str,
    conf: str | Mapping[str, Any],
    namespace: str = NAMESPACE,
    persistence: LogBookSource | None = None,
    clock: Clock = SYSTEM,
) -> Iterator[JobBoard]:
    """Make a board as ``fetch`` does, connect it, and close it at the end."""
    with fetch(name, conf, namespace, persistence, clock) as board:
        yield board
