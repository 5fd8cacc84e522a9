"""TaskFlow's `taskflow.utils.redis_utils`: a client that stays closed, and key expiry."""

from __future__ import annotations

import enum
import re
from typing import Any, Final

import redis
from redis import exceptions as redis_exceptions


class RedisClient(redis.Redis):
    """A client that raises an error after `close`, where redis-py would reconnect."""

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
        """Execute a command.

        Raises:
            ConnectionError: the client is closed.
        """
        self._check_open()
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py's

    def transaction(self, *args: Any, **kwargs: Any) -> Any:
        """Run a transaction.

        Raises:
            ConnectionError: the client is closed.
        """
        self._check_open()
        return super().transaction(*args, **kwargs)

    def pubsub(self, **kwargs: Any) -> Any:
        """Return a publish/subscribe object.

        Raises:
            ConnectionError: the client is closed.
        """
        self._check_open()
        return super().pubsub(**kwargs)  # type: ignore[no-untyped-call]  # redis-py's


class UnknownExpire(enum.IntEnum):
    """Results of the PTTL command that are not a time."""

    DOES_NOT_EXPIRE = -1
    KEY_NOT_FOUND = -2


DOES_NOT_EXPIRE: Final = UnknownExpire.DOES_NOT_EXPIRE
KEY_NOT_FOUND: Final = UnknownExpire.KEY_NOT_FOUND


def get_expiry(client: Any, key: str, prior_version: str | None = None) -> float | UnknownExpire:
    """Return the seconds until a key expires; ``prior_version`` has no effect."""
    del prior_version
    milliseconds = client.pttl(key)
    if milliseconds in (DOES_NOT_EXPIRE, KEY_NOT_FOUND):
        return UnknownExpire(milliseconds)
    return float(milliseconds) / 1000.0


def apply_expiry(client: Any, key: str, expiry: float, prior_version: str | None = None) -> bool:
    """Let a key expire in ``expiry`` seconds; return False if it does not exist."""
    del prior_version
    return bool(client.pexpire(key, max(0, int(expiry * 1000.0))))


def is_server_new_enough(
    client: Any, min_version: tuple[int, ...], default: bool = False, prior_version: str | None = None
) -> tuple[bool, str]:
    """Return whether a server has at least a version, and its version.

    Args:
        client: the client.
        min_version: the oldest supported version.
        default: returned if the server does not report its version.
        prior_version: the version if known, to save a request.
    """
    version = prior_version
    if not version:
        try:
            version = str(client.info().get("redis_version", ""))
        except redis_exceptions.ResponseError:
            version = ""
    numbers = tuple(int(number) for number in re.findall(r"\d+", version))
    return (numbers >= tuple(min_version) if numbers else default), version
