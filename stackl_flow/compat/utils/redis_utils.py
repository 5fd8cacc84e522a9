"""TaskFlow's `taskflow.utils.redis_utils`: a client that knows when it is closed, and keys that expire."""

from __future__ import annotations

import enum
import re
from typing import Any, Final

import redis
from redis import exceptions as redis_exceptions


class RedisClient(redis.Redis):
    """A client that refuses work after it was closed, where redis-py would quietly connect again.

    Args:
        args: as for ``redis.Redis``.
        kwargs: as for ``redis.Redis``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.closed = False

    def close(self) -> None:
        """Close the client for good."""
        self.closed = True
        super().close()

    def _check_open(self) -> None:
        if self.closed:
            raise redis_exceptions.ConnectionError("Connection has been closed")

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command.

        Args:
            args: as for ``redis.Redis``.
            options: as for ``redis.Redis``.

        Returns:
            The answer.

        Raises:
            ConnectionError: the client was closed.
        """
        self._check_open()
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py's

    def transaction(self, *args: Any, **kwargs: Any) -> Any:
        """Run a transaction.

        Args:
            args: as for ``redis.Redis``.
            kwargs: as for ``redis.Redis``.

        Returns:
            The answers.

        Raises:
            ConnectionError: the client was closed.
        """
        self._check_open()
        return super().transaction(*args, **kwargs)

    def pubsub(self, **kwargs: Any) -> Any:
        """Listen to channels.

        Args:
            kwargs: as for ``redis.Redis``.

        Returns:
            What one listens with.

        Raises:
            ConnectionError: the client was closed.
        """
        self._check_open()
        return super().pubsub(**kwargs)  # type: ignore[no-untyped-call]  # redis-py's


class UnknownExpire(enum.IntEnum):
    """Answers of Redis to the question when a key expires that are no time."""

    DOES_NOT_EXPIRE = -1
    KEY_NOT_FOUND = -2


DOES_NOT_EXPIRE: Final = UnknownExpire.DOES_NOT_EXPIRE
KEY_NOT_FOUND: Final = UnknownExpire.KEY_NOT_FOUND


def get_expiry(client: Any, key: str, prior_version: str | None = None) -> float | UnknownExpire:
    """Ask when a key expires.

    Args:
        client: the client.
        key: the key.
        prior_version: has no meaning any more.

    Returns:
        In how many seconds, or why that is not known.
    """
    del prior_version
    left = client.pttl(key)
    if left in (DOES_NOT_EXPIRE, KEY_NOT_FOUND):
        return UnknownExpire(left)
    return float(left) / 1000.0


def apply_expiry(client: Any, key: str, expiry: float, prior_version: str | None = None) -> bool:
    """Have a key expire.

    Args:
        client: the client.
        key: the key.
        expiry: in how many seconds; at once if negative.
        prior_version: has no meaning any more.

    Returns:
        False where there is no such key.
    """
    del prior_version
    return bool(client.pexpire(key, max(0, int(expiry * 1000.0))))


def is_server_new_enough(
    client: Any, min_version: tuple[int, ...], default: bool = False, prior_version: str | None = None
) -> tuple[bool, str]:
    """Ask whether a server is new enough.

    Args:
        client: the client.
        min_version: the oldest that will do.
        default: the answer where the server does not tell.
        prior_version: what it told before, to spare the question.

    Returns:
        Whether it is, and its version as it told.
    """
    told = prior_version
    if not told:
        try:
            told = str(client.info().get("redis_version", ""))
        except redis_exceptions.ResponseError:
            told = ""
    numbers = tuple(int(number) for number in re.findall(r"\d+", told))
    return (numbers >= tuple(min_version) if numbers else default), told
