"""TaskFlow's `taskflow.utils.kazoo_utils`: ZooKeeper clients out of TaskFlow's settings."""

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
_AS_THEY_ARE: Final = ("ca", "command_retry", "connection_retry", "handler")

#: Boards that share a client may be connected by several threads at once, and kazoo cannot start it twice.
_STARTING: Final = threading.Lock()

Failures = Sequence[tuple[Any, BaseException]]


class KazooTransactionException(kazoo_exceptions.KazooException):  # type: ignore[misc]  # no types there
    """A transaction of which a part failed.

    Args:
        message: what happened.
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
    """Say which operations failed, and how, without the data in them.

    Args:
        failures: pairs of an operation and its error.
        limit: how many to name; all if not positive.

    Returns:
        One line.
    """
    named = []
    for operation, error in failures:
        version = getattr(operation, "version", -1)
        more = "" if version == -1 else f", version={version}"
        what = f"{type(operation).__name__}(path={operation.path!r}{more})"
        named.append(f"{type(error).__name__}@{what}")
    if limit <= 0 or len(named) <= limit:
        return ", ".join(named)
    return f"{', '.join(named[:limit])} and {len(named) - limit} more..."


def checked_commit(txn: Any) -> list[Any]:
    """Commit a transaction, and raise where kazoo only returns errors.

    Args:
        txn: kazoo's transaction.

    Returns:
        The results, one for each operation.

    Raises:
        KazooTransactionException: an operation failed, or the number of results is wrong.
    """
    if not txn.operations:
        return []
    results = list(txn.commit())
    pairs = zip(txn.operations, results, strict=False)
    failures = [(what, came) for what, came in pairs if isinstance(came, kazoo_exceptions.KazooException)]
    if len(results) != len(txn.operations):
        raise KazooTransactionException(
            f"Transaction of {len(txn.operations)} operations gave {len(results)} results", failures
        )
    if failures:
        raise KazooTransactionException(
            f"Transaction of {len(results)} operations failed: {prettify_failures(failures, limit=1)}",
            failures,
        )
    return results


def finalize_client(client: Any) -> None:
    """Stop and close a client, started or not.

    Args:
        client: kazoo's client.
    """
    client.stop()
    client.close()


def _numbers(version: Iterable[Any]) -> tuple[int, ...]:
    return tuple(int(part) for part in version)


def check_compatible(
    client: Any, min_version: Iterable[Any] | None = None, max_version: Iterable[Any] | None = None
) -> None:
    """Check the version of the server that a client speaks to.

    Args:
        client: kazoo's client, started.
        min_version: the oldest that will do.
        max_version: the newest that will do.

    Raises:
        IncompatibleVersion: the server is older or newer.
    """
    least = _numbers(min_version) if min_version else None
    most = _numbers(max_version) if max_version else None
    if least is None and most is None:
        return
    server = _numbers(client.server_version())
    for bound, sign, wrong in ((least, ">=", least is not None and server < least),
                               (most, "<=", most is not None and server > most)):  # fmt: skip
        if wrong and bound is not None:
            raise exc.IncompatibleVersion(
                f"Incompatible zookeeper version {'.'.join(map(str, server))} detected, zookeeper"
                f" {sign} {'.'.join(map(str, bound))} required"
            )


def hosts_of(hosts: Any) -> str:
    """Write hosts as kazoo wants them.

    Args:
        hosts: a text, several texts, or ports by host.

    Returns:
        One text with commas.

    Raises:
        TypeError: that makes no sense, or is empty.
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
    """Make a client out of settings.

    Args:
        conf: hosts, timeout (seconds), handler, command_retry, connection_retry, read_only, randomize_hosts,
            ca, keyfile, keyfile_password, certfile, use_ssl, verify_certs; each may be left out.

    Returns:
        kazoo's client, not started.

    Raises:
        TypeError: the hosts make no sense.
    """
    told: dict[str, Any] = {"logger": _LOG, "hosts": hosts_of(conf.get("hosts", "localhost:2181"))}
    told.update((name, parse_bool(conf.get(name, default), default)) for name, default in _FLAGS.items())
    told.update((name, conf.get(name)) for name in _FILES)
    told.update((name, conf[name]) for name in _AS_THEY_ARE if name in conf)
    if "timeout" in conf:
        told["timeout"] = float(conf["timeout"])
    return kazoo_client.KazooClient(**told)


def start(client: Any, timeout: float = 10.0) -> None:
    """Start a client, unless it is started, from whatever thread; not TaskFlow's.

    Args:
        client: the client.
        timeout: for how many seconds it tries to reach a server.

    Raises:
        TimeoutError: it reached none.
    """
    try:
        with _STARTING:
            client.start(timeout=timeout)
    except (client.handler.timeout_exception, kazoo_exceptions.KazooException) as error:
        raise TimeoutError(
            f"no server of {client.hosts} was reached within {timeout:g} s: see that they run ({error})"
        ) from error


@contextlib.contextmanager
def started(client: Any, conf: Mapping[str, Any]) -> Iterator[Any]:
    """Have a started client, the one that was given or one for a moment; not TaskFlow's.

    Args:
        client: the client, or None.
        conf: TaskFlow's settings.

    Yields:
        The client.

    Raises:
        TimeoutError: no server was reached.
        ConnectionError: what was done with it failed.
    """
    made = make_client(conf) if client is None else client
    try:
        start(made)
        yield made
    except kazoo_exceptions.KazooException as error:
        raise ConnectionError(f"{type(error).__name__} {error}") from error
    finally:
        if client is None:
            finalize_client(made)
