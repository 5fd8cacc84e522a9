"""Retries of database transactions, with exponential backoff.

Only a transaction that was rolled back, or that may be applied twice, or that first checks whether it was
applied, may be run this way.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.clock import SYSTEM
from stackl_flow.databases.base import Database, ErrorKind

T = TypeVar("T")

_LOG = redaction.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which errors are retried, how often, and with which delays.

    Attributes:
        kinds: the kinds of error after which a transaction is run again.
        max_attempts: how often it is run at most.
        first_delay: seconds before the second attempt.
        factor: how much longer each delay is than the one before.
        max_delay: the longest delay, in seconds.
        jitter: whether each delay is chosen at random, between half of it and all of it.
        max_seconds: no further attempt begins so many seconds after the first one failed.
        first_connection: whether to retry when no connection to the database was ever made.
        log_level: level of the log line before each delay.
    """

    kinds: frozenset[ErrorKind]
    max_attempts: int
    first_delay: float
    factor: float = 1.0
    max_delay: float = math.inf
    jitter: bool = False
    max_seconds: float = math.inf
    first_connection: bool = False
    log_level: int = logging.WARNING

    def delay(self, attempt: int) -> float:
        """Return how many seconds to wait after an attempt, counted from 1."""
        delay = min(self.max_delay, self.first_delay * self.factor ** (attempt - 1))
        return random.uniform(delay / 2, delay) if self.jitter else delay  # noqa: S311  no secret


class Retrying:
    """Runs transactions, and runs them again by a policy.

    Args:
        database: explains errors.
        policy: which errors are retried, and how.
        sleep: waits for some seconds.
    """

    def __init__(self, database: Database, policy: RetryPolicy, sleep: Callable[[float], None]) -> None:
        self._database = database
        self._policy = policy
        self._sleep = sleep

    def __call__(self, transaction: Callable[[], T]) -> T:
        """Run a transaction and return its result.

        Raises:
            StorageFailure: it is not retried, or every attempt failed; this is the last one's error.
        """
        try:
            return transaction()
        except exc.StorageFailure as error:
            return self.after(error, transaction)

    def after(self, error: exc.StorageFailure, transaction: Callable[[], T]) -> T:
        """Run a transaction again that failed once; see `__call__`."""
        policy = self._policy
        until = SYSTEM.monotonic() + policy.max_seconds
        for attempt in range(1, policy.max_attempts):
            delay = policy.delay(attempt)
            if not self.is_retryable(error) or SYSTEM.monotonic() + delay > until:
                break
            _LOG.log(
                policy.log_level, "attempt %d of %d failed, next in %g seconds: %s",
                attempt, policy.max_attempts, delay, error,
            )  # fmt: skip
            self._sleep(delay)
            try:
                return transaction()
            except exc.StorageFailure as latest:
                error = latest
        raise error

    def is_retryable(self, error: BaseException) -> bool:
        """Return whether a transaction that failed with an error is run again."""
        # Subclasses are about ownership and versions: nothing changes when the same is done again.
        if type(error) is not exc.StorageFailure:
            return False
        kind = self._database.explain(error.cause).kind
        if kind is ErrorKind.DISCONNECTED and not (
            self._policy.first_connection or self._database.has_connected
        ):
            return False
        return kind in self._policy.kinds
