"""Saves that fail for a reason that may pass are tried again, some seconds apart.

How often and how far apart is the dialect's to say. Only that is tried again which is known not to have
landed, or may be done twice, or looks first whether it has landed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tenacity

from stackl_flow import exceptions as exc
from stackl_flow import secrecy
from stackl_flow.clock import Clock
from stackl_flow.persistence.backends.sql.dialect import SQLDialect

_LOG = secrecy.logger(__name__)

T = TypeVar("T")


class Again:
    """Does something, and does it again if it failed for a reason that may pass.

    Args:
        dialect: knows such reasons, how often to try and how long to wait.
        clock: lets the time pass.
    """

    def __init__(self, dialect: SQLDialect, clock: Clock) -> None:
        self._dialect = dialect
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._may_pass),
            stop=tenacity.stop_after_attempt(dialect.save_attempts),
            wait=lambda state: dialect.next_wait(state.attempt_number),
            sleep=clock.sleep,
            before_sleep=self._tell,
            reraise=True,
        )

    def __call__(self, save: Callable[[], T]) -> T:
        """Do something.

        Args:
            save: what to do; it lands whole or not at all.

        Returns:
            What it gave.

        Raises:
            StorageFailure: every attempt failed; this is the last one's error.
        """
        try:
            return save()
        except exc.StorageFailure as error:
            return self.after(error, save)

    def after(self, error: exc.StorageFailure, save: Callable[[], T]) -> T:
        """Do something again that failed once.

        Args:
            error: why it failed.
            save: what to do; it lands whole or not at all.

        Returns:
            What it gave.

        Raises:
            StorageFailure: there is no use in trying, or every attempt failed; this is the last one's error.
        """
        if not self._may_pass(error):
            raise error
        failed = [error]

        def attempt() -> T:
            if failed:
                raise failed.pop()
            return save()

        return self._retrying(attempt)

    def _may_pass(self, error: BaseException) -> bool:
        # Its subclasses are about owners and versions: trying again changes nothing.
        return type(error) is exc.StorageFailure and self._dialect.may_pass(error.cause)

    def _tell(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome and state.outcome.exception()
        wait = self._dialect.next_wait(state.attempt_number)
        _LOG.warning(
            "attempt %d of %d to save: %s; next in %g seconds",
            state.attempt_number, self._dialect.save_attempts, error, wait,
        )  # fmt: skip
