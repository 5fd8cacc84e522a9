"""TaskFlow's `taskflow.utils.kazoo_utils`: ZooKeeper clients from TaskFlow's settings."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from kazoo import client as kazoo_client
from kazoo import exceptions as kazoo_exceptions

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.compat.utils.booleans import parse_bool

_LOG: Final = redaction.get_logger(__name__)

_FLAGS: Final = {"read_only": False, "randomize_hosts": False, "use_ssl": False, "verify_certs": True}
_FILES: Final = ("keyfile", "keyfile_password", "certfile")
_UNCHANGED: Final = ("ca", "command_retry", "connection_retry", "handler")

#: Boards may share a client and connect in several threads, but kazoo cannot start it twice.
_START_LOCK: Final = threading.Lock()

Failures = Sequence[tuple[Any, BaseException]]


class KazooTransactionException(kazoo_exceptions.KazooException):  # type: ignore[misc]  # kazoo has no types
    """A part of a transaction failed.

    Args:
        message: the message.
        failures: pairs of an operation and its error.
    """

    def __init__(self, message: str, failures: Failures) -> None:
        super().__init__(message)
        self._failures = tuple(failures)

    @property
    def failures(self) -> tuple[tuple[Any, BaseException], ...]:
        """Pairs of an operation and its error."""
        return self._failures


def prettify_failures(failures: Failures, limit: int = -1) -> str:
    """Describe failed operations in one line, without their data; at most ``limit`` if positive."""
    descriptions = []
    for operation, error in failures:
        version = getattr(operation, "version", -1)
        suffix = "" if version == -1 else f", version={version}"
        target = f"{type(operation).__name__}(path={operation.path!r}{suffix})"
        descriptions.append(f"{type(error).__name__}@{target}")
    if limit <= 0 or len(descriptions) <= limit:
        return ", ".join(descriptions)
    return f"{', '.join(descriptions[:limit])} and {len(descriptions) - limit} more..."


def checked_commit(txn: Any) -> list[Any]:
    """Commit a transaction and return its results; kazoo itself returns errors as results.

    Raises:
        KazooTransactionException: an operation failed, or the number of results is wrong.
    """
    if not txn.operations:
        return []
    results = list(txn.commit())
    pairs = zip(txn.operations, results, strict=False)
    failures = [
        (operation, result)
        for operation, result in pairs
        if isinstance(result, kazoo_exceptions.KazooException)
    ]
    if len(results) != len(txn.operations):
        raise KazooTransactionException(
            f"Transaction of {len(txn.operations)} operations returned {len(results)} results", failures
        )
    if failures:
        raise KazooTransactionException(
            f"Transaction of {len(results)} operations failed: {prettify_failures(failures, limit=1)}",
            failures,
        )
    return results


def finalize_client(client: Any) -> None:
    """Stop and close a client, started or not."""
    client.stop()
    client.close()


def _numbers(version: Iterable[Any]) -> tuple[int, ...]:
    return tuple(int(part) for part in version)


def check_compatible(
    client: Any, min_version: Iterable[Any] | None = None, max_version: Iterable[Any] | None = None
) -> None:
    """Check the server version of a started client.

    Args:
        client: the kazoo client.
        min_version: the oldest supported version.
        max_version: the newest supported version.

    Raises:
        IncompatibleVersion: the server is older or newer.
    """
    minimum = _numbers(min_version) if min_version else None
    maximum = _numbers(max_version) if max_version else None
    if minimum is None and maximum is None:
        return
    server = _numbers(client.server_version())
    for bound, sign, is_violated in ((minimum, ">=", minimum is not None and server < minimum),
                               (maximum, "<=", maximum is not None and server > maximum)):  # fmt: skip
        if is_violated and bound is not None:
            raise exc.IncompatibleVersion(
                f"Incompatible zookeeper version {'.'.join(map(str, server))} detected, zookeeper"
                f" {sign} {'.'.join(map(str, bound))} required"
            )


def hosts_of(hosts: Any) -> str:
    """Convert hosts to a comma-separated text, as kazoo expects.

    Args:
        hosts: text, a list of texts, or a dictionary of host to port.

    Raises:
        TypeError: ``hosts`` is empty or of another type.
    """
    if isinstance(hosts, Mapping):
        hosts = [f"{host}:{port}" for host, port in hosts.items()]
    if isinstance(hosts, (list, set, tuple)):
        hosts = ",".join(map(str, hosts))
    if not isinstance(hosts, str) or not hosts.strip():
        raise TypeError(
            f"Invalid hosts format: expected text such as 'localhost:2181', or a list, not {hosts!r}"
        )
    return hosts.strip()


def make_client(conf: Mapping[str, Any]) -> Any:
    """Create a client from settings; it is not started.

    Args:
        conf: hosts, timeout (seconds), handler, command_retry, connection_retry, read_only, randomize_hosts,
            ca, keyfile, keyfile_password, certfile, use_ssl, verify_certs; all optional.

    Raises:
        TypeError: the hosts are invalid.
    """
    options: dict[str, Any] = {"logger": _LOG, "hosts": hosts_of(conf.get("hosts", "localhost:2181"))}
    options.update((name, parse_bool(conf.get(name, default), default)) for name, default in _FLAGS.items())
    options.update((name, conf.get(name)) for name in _FILES)
    options.update((name, conf[name]) for name in _UNCHANGED if name in conf)
    if "timeout" in conf:
        options["timeout"] = float(conf["timeout"])
    return kazoo_client.KazooClient(**options)


def start(client: Any, timeout: float = 10.0) -> None:
    """Start a client unless it is started; thread-safe. Not part of TaskFlow.

    Args:
        client: the kazoo client.
        timeout: seconds to try to reach a server.

    Raises:
        TimeoutError: no server was reached.
    """
    try:
        with _START_LOCK:
            client.start(timeout=timeout)
    except (client.handler.timeout_exception, kazoo_exceptions.KazooException) as error:
        raise TimeoutError(
            f"no server of {client.hosts} was reached within {timeout:g} s: check that they run ({error})"
        ) from error


@contextlib.contextmanager
def started(client: Any, conf: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the client, or a temporary one if it is None, started. Not part of TaskFlow.

    Raises:
        TimeoutError: no server was reached.
        ConnectionError: an operation of the block failed.
    """
    started_client = make_client(conf) if client is None else client
    try:
        start(started_client)
        yield started_client
    except kazoo_exceptions.KazooException as error:
        raise ConnectionError(f"{type(error).__name__} {error}") from error
    finally:
        if client is None:
            finalize_client(started_client)
