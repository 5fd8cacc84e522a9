"""A key-value store on an etcd cluster, by etcd's own transactions, leases and watches.

**Cost.** A commit is one transaction; without checks it is one read and one transaction. A list reads its
keys and no others (see ``_RangeReader``), except in reverse, where the server reads every key with the prefix
before it applies the limit: negligible for a few thousand, slow for a hundred thousand. Versions are
revisions of the cluster.

**Commits are applied once**, however often they are sent. A transaction always compares something that it
changes itself, so that it fails the second time. Each stored value begins with the token of the commit that
wrote it, which tells whether the first attempt was applied.

**Leases** last whole seconds, at least one and a half election timeouts. The leader looks for expired leases
twice a second.

**Waiting.** All waiters of an object share one watch stream for each root of keys (see ``ordered.root_of``),
so that nothing of another board reaches them.
"""

from __future__ import annotations

import math
import os
import ssl
import threading
import uuid
from base64 import b64decode, b64encode
from builtins import list as List  # noqa: N812  inside the class, ``list`` is the method
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import urls
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.kv.backends.etcd.client import (
    EtcdClient,
    NoAnswerError,
    ResponseError,
    ResponseStream,
    SilentError,
)
from stackl_flow.kv.backoff import Backoff
from stackl_flow.kv.items import (
    ABSENT,
    MAX_KEY,
    PRESENT,
    Check,
    Item,
    Lease,
    Limits,
    Put,
    conflict_error,
    is_satisfied,
    lease_lost_error,
)
from stackl_flow.kv.ordered import ChangeLog, prefix_end, root_of
from stackl_flow.kv.store import KV

_PORT: Final = 2379
#: gRPC codes.
_NOT_FOUND: Final = 5
_FAILED_PRECONDITION: Final = 9
#: Operations that a server accepts in one transaction.
_MAX_OPERATIONS: Final = 128
#: Bytes that a server accepts in one request, unless ``--max-request-bytes`` is set; and the least that the
#: store can work with.
_MAX_REQUEST: Final = 1_572_864
_MIN_REQUEST: Final = 16_384
#: Bytes of a request that are left to its frame and the store's own check.
_COMMIT: Final = 2_000
#: Bytes of an operation or a check, beside the value: a check also reads its key, and a put has a token.
_OPERATION: Final = 256
#: What servers answer to a request that is too large.
_TOO_LARGE: Final = ("too large", "larger than max", "too many operations")
#: What servers answer to a request without the rights for it.
_REJECTED: Final = (
    "authentication failed",
    "permission denied",
    "user name is empty",
    "authentication is not enabled",
    "user name not found",
)
_TOKEN_SIZE: Final = 12
_LEASE_ID_SIZE: Final = 16

_Answer = dict[str, Any]


class EtcdKV(KV):
    """Keeps items in an etcd cluster (3.4 or newer), through its JSON gateway.

    Args:
        conf: "connection" is the URL: "etcd://user:password@host:port/path", several servers separated by
            commas; or "etcd" with ``host``, ``port``, ``username`` and ``password`` beside it. Further
            options: ``path``, the prefix of the keys; ``protocol``, "http" or "https"; ``ca_cert``,
            ``cert_cert`` and ``cert_key``, files for TLS; ``timeout``, seconds to wait for an answer;
            ``api_path``, where the gateway is; ``max_request_bytes``, as it is set on the servers.
        clock: not used: leases expire by the cluster's clock.

    Raises:
        InvalidFormat: the URL or an option is invalid.
    """

    def __init__(self, conf: str | Mapping[str, Any], clock: Clock = SYSTEM) -> None:
        url = urls.parse(conf)
        super().__init__(url.conf, clock=clock)
        options = url.read_options(
            host=str,
            port=int,
            protocol=str,
            ca_cert=str,
            cert_cert=str,
            cert_key=str,
            timeout=float,
            api_path=str,
            path=str,
            username=str,
            password=str,
            max_request_bytes=int,
        ).values
        hosts, _, path = url.location_without_login.partition("/")
        user, password = url.login
        login = (user or options.get("username", ""), password or options.get("password", ""))
        servers = _parse_servers(hosts, options, url.masked_url)
        path = (path or options.get("path", "stackl_flow")).strip("/")
        self._name = f"etcd://{','.join(f'{host}:{port}' for host, port in servers)}/{path}"
        self._timeout = options.get("timeout", 10.0)
        self._max_request = _read_max_request(options, url.masked_url)
        overhead = _OPERATION + 3 * len(path)
        self.limits = Limits(
            value=self._max_request - _COMMIT - 4 * (MAX_KEY + overhead),
            commit=self._max_request - _COMMIT,
            operations=_MAX_OPERATIONS - 1,  # the store uses one
            overhead=overhead,
        )
        tls = _tls_context(options, self._name)
        self._client = EtcdClient(servers, tls, self._timeout, options.get("api_path", "/v3/"), login)
        self._encoding = _Encoding(f"/{path}/")
        self._ranges = _RangeReader(partial(self._call, "kv/range"))
        self._watches: dict[str, _Watch] = {}
        self._lock = threading.Lock()
        self._pid = os.getpid()

    @property
    def name(self) -> str:
        return self._name

    def close(self) -> None:
        watches, self._watches = self._watches, {}
        for watch in watches.values() if self._pid == os.getpid() else ():
            watch.close()
        self._client.close()

    def _send(self, path: str, body: Mapping[str, Any]) -> tuple[_Answer, bool]:
        """Send a request until it is answered.

        Returns:
            The answer, and whether an earlier attempt may have been executed.
        """
        is_repeated, backoff = False, Backoff(self._timeout)
        while True:
            try:
                return self._client.call(path, body), is_repeated
            except NoAnswerError as error:
                is_repeated = is_repeated or error.was_sent
                if isinstance(error.__cause__, ssl.SSLError) or not backoff.sleep():
                    raise self._translate_error(error) from error

    def _call(self, path: str, body: Mapping[str, Any]) -> _Answer:
        """Send an idempotent request and return its answer."""
        try:
            return self._send(path, body)[0]
        except ResponseError as error:
            raise self._translate_error(error) from error

    def _translate_error(self, error: NoAnswerError | ResponseError) -> exc.StorageFailure:
        if isinstance(error, ResponseError) and any(text in str(error) for text in _REJECTED):
            remedy = "rejected the login: check user and password, and the user's rights on its keys"
        elif isinstance(error, ResponseError):
            remedy = (
                "rejected a request: check that it is an etcd server (3.4 or newer) with the JSON gateway, "
                "check the options protocol and api_path, and see its log"
            )
        elif isinstance(error.__cause__, ssl.SSLError):
            remedy = "failed the TLS handshake: check protocol, ca_cert, cert_cert and cert_key"
        else:
            remedy = (
                f"did not answer within {self._timeout:g} s: check that the server runs and can be reached"
                " (with TLS: protocol=https)"
            )
        return exc.StorageFailure(f"'{self._name}' {remedy} ({error})", cause=error)

    # ---------------------------------------------------------------- reads

    def _get(self, key: str) -> Item | None:
        for fields in self._call("kv/range", {"key": self._encoding.key(key)}).get("kvs", ()):
            return self._encoding.decode_item(fields)
        return None

    def _get_many(self, keys: Sequence[str]) -> List[Item | None]:
        lists = self._read_ranges([{"key": self._encoding.key(key)} for key in keys])
        return [next(iter(items), None) for items in lists]

    def _list_many(self, prefixes: Sequence[str]) -> List[List[Item]]:
        return self._read_ranges([self._encoding.prefix_range(prefix) for prefix in prefixes])

    def _read_ranges(self, ranges: Sequence[Mapping[str, str]]) -> List[List[Item]]:
        lists: list[list[Item]] = []
        for start in range(0, len(ranges), _MAX_OPERATIONS):
            answer = self._call("kv/txn", _read_request(ranges[start : start + _MAX_OPERATIONS]))
            results = (response["response_range"] for response in answer["responses"])
            lists += ([self._encoding.decode_item(kv) for kv in each.get("kvs", ())] for each in results)
        return lists

    def _list(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> List[Item]:
        request = self._encoding.list_request(prefix, after, limit, reverse=reverse)
        if request is None:
            return []
        return [self._encoding.decode_item(fields) for fields in self._ranges.read(request)]

    # ---------------------------------------------------------------- commits

    def _commit(
        self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str], lease: str | None
    ) -> int:
        lease_number = 0 if lease is None else _lease_number(lease)
        if lease is not None and lease_number is None:
            raise lease_lost_error(lease)
        token = uuid.uuid4().hex[:_TOKEN_SIZE]
        while True:
            guard = self._guard(checks, puts, deletes)
            request = self._encoding.commit_request(
                [*checks, *guard], puts, deletes, lease_number or 0, token
            )
            try:
                answer, is_repeated = self._send("kv/txn", request)
            except ResponseError as error:
                self._raise_if_too_large(error, checks, puts, deletes)
                if error.code != _NOT_FOUND or lease is None:
                    raise self._translate_error(error) from error
                # An earlier attempt may have been applied, before the lease expired.
                version = self._find_applied(puts, token)
                if version is None:
                    raise lease_lost_error(lease) from error
                return version
            if answer.get("succeeded"):
                return int(answer["header"]["revision"])
            if is_repeated:
                if not checks and not puts and not any(self._get_many(deletes)):
                    # The keys to delete do not exist, whichever commit has deleted them.
                    return int(answer["header"]["revision"])
                return self._find_applied_or_fail(puts, token)
            self._raise_conflict(checks, _stored_versions(answer))

    def _raise_if_too_large(
        self, error: ResponseError, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str]
    ) -> None:
        if any(part in str(error) for part in _TOO_LARGE):
            size = self.limits.commit_size(checks, puts, deletes)
            self.limits = self.limits.below(size)
            raise exc.ValueTooLarge(
                f"'{self._name}' refused a commit of about {size} bytes ({error}): nothing was written; "
                f"raise --max-request-bytes and --max-txn-ops of the servers, or name the first in the URL "
                f"(max_request_bytes=) to have large writes split; or write less at once, or store large "
                f"values elsewhere and pass a reference (a codec can do that)",
                cause=error,
                size=size,
            ) from error

    def _guard(self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str]) -> List[Check]:
        """Return a check that fails once the commit is applied, unless its own checks have one."""
        written = [put.key for put in puts]
        by_version = {check.key for check in checks if check.version != PRESENT}
        by_presence = {check.key for check in checks if check.version == PRESENT}
        fails_after_put = by_version.intersection(written)
        fails_after_delete = (by_version | by_presence).intersection(deletes)
        if fails_after_put or fails_after_delete or not (written or deletes):
            return []
        key = (*written, *deletes)[0]
        item = self._get(key)
        return [Check(key, ABSENT if item is None else item.version)]

    def _find_applied(self, puts: Sequence[Put], token: str) -> int | None:
        """Return the version of a commit whose answer was lost, or None if its token is not stored."""
        answer = self._call("kv/txn", _read_request([{"key": self._encoding.key(put.key)} for put in puts]))
        for response in answer.get("responses", ()):
            for fields in response["response_range"].get("kvs", ()):
                if b64decode(fields.get("value", ""))[:_TOKEN_SIZE] == token.encode():
                    return int(fields["mod_revision"])
        return None

    def _find_applied_or_fail(self, puts: Sequence[Put], token: str) -> int:
        version = self._find_applied(puts, token)
        if version is None:
            raise exc.StorageFailure(
                f"the answer of '{self._name}' to a commit was lost, and its items were written by others "
                f"since: it is unknown whether the commit was applied before; read the items again"
            )
        return version

    def _raise_conflict(self, checks: Sequence[Check], versions: Sequence[int]) -> None:
        """Raise ``Conflict``; return if only the guard has failed, so that the commit is to be repeated."""
        for check, version in zip(checks, versions, strict=False):
            if not is_satisfied(check, version):
                raise conflict_error(check, version)

    # ---------------------------------------------------------------- leases

    def _grant(self, lease: Lease) -> Lease:
        number = (int(lease.id, 16) & (2**63 - 1)) or 1
        seconds = max(math.ceil(lease.ttl), 1)
        try:
            answer, _ = self._send("lease/grant", {"ID": str(number), "TTL": str(seconds)})
            seconds = int(answer["TTL"])
        except ResponseError as error:
            if error.code != _FAILED_PRECONDITION:  # it exists: it is ours, and the first answer was lost
                raise self._translate_error(error) from error
        return Lease(_lease_id(number), float(seconds))

    def _extend(self, lease: Lease) -> bool:
        number = _lease_number(lease.id)
        if number is None:
            return False
        answer = self._call("lease/keepalive", {"ID": str(number)})
        return int(answer.get("result", {}).get("TTL", 0)) > 0

    def _revoke(self, lease: Lease) -> None:
        number = _lease_number(lease.id)
        if number is None:
            return
        try:
            self._send("lease/revoke", {"ID": str(number)})
        except ResponseError as error:
            if error.code != _NOT_FOUND:
                raise self._translate_error(error) from error

    # ---------------------------------------------------------------- waiting

    def _wait(self, prefix: str, since: int, timeout: float | None) -> int:
        root = root_of(prefix)
        if since:
            return self._watching(root, since).wait(prefix, since, timeout)
        request = {"key": self._encoding.key(""), "count_only": True}
        revision = int(self._call("kv/range", request)["header"]["revision"])
        self._watching(root, revision)
        return revision

    def _watching(self, root: str, since: int) -> _Watch:
        with self._lock:
            if self._pid != os.getpid():
                self._pid, self._watches = os.getpid(), {}  # a fork does not copy the parent's threads
            watch = self._watches.get(root)
            if watch is None or watch.has_failed:
                prefix = f"{root}/" if root else ""
                watch = self._watches[root] = _Watch(
                    self._client, self._encoding, prefix, since, self._timeout, self._translate_error
                )
            return watch


class _Encoding:
    """Items and requests in the form of etcd's JSON gateway, which carries keys and values as base64.

    Args:
        root: the prefix of all keys in the cluster.
    """

    def __init__(self, root: str) -> None:
        self._root = root

    def key(self, key: str) -> str:
        return _base64(self._root + key)

    def decode_key(self, encoded: str) -> str:
        return b64decode(encoded).decode().removeprefix(self._root)

    def decode_item(self, fields: Mapping[str, str]) -> Item:
        value = b64decode(fields.get("value", ""))[_TOKEN_SIZE:].decode()
        lease = int(fields.get("lease", 0))
        return Item(
            self.decode_key(fields["key"]),
            value,
            int(fields["mod_revision"]),
            _lease_id(lease) if lease else None,
        )

    def prefix_range(self, prefix: str) -> dict[str, str]:
        return {"key": self.key(prefix), "range_end": self.key(prefix_end(prefix))}

    def list_request(
        self, prefix: str, after: str, limit: int | None, *, reverse: bool
    ) -> dict[str, Any] | None:
        """Return the request for ``KV.list``, or None if its range is empty."""
        low, high = prefix, prefix_end(prefix)
        if after and reverse:
            high = min(high, after)
        elif after and after >= prefix:
            low = after + "\0"
        if low >= high:
            return None
        request: dict[str, Any] = {
            "key": self.key(low),
            "range_end": self.key(high),
            "limit": limit or 0,
        }
        if reverse:
            request |= {"sort_order": "DESCEND", "sort_target": "KEY"}
        return request

    def commit_request(
        self,
        checks: Sequence[Check],
        puts: Sequence[Put],
        deletes: Sequence[str],
        lease_number: int,
        token: str,
    ) -> dict[str, Any]:
        """Return the transaction of a commit. If a check fails, its answer has the version for each check."""
        success: list[dict[str, Any]] = []
        for put in puts:
            fields = {"key": self.key(put.key), "value": _base64(token + put.value)}
            if put.lease is not None:
                fields["lease"] = str(lease_number)
            success.append({"request_put": fields})
        success += [{"request_delete_range": {"key": self.key(key)}} for key in deletes]
        failure = [{"request_range": {"key": self.key(check.key), "keys_only": True}} for check in checks]
        compare = [self._compare(check) for check in checks]
        return {"compare": compare, "success": success, "failure": failure}

    def _compare(self, check: Check) -> dict[str, str]:
        if check.version in {ABSENT, PRESENT}:
            result = "EQUAL" if check.version == ABSENT else "GREATER"
            return {"target": "CREATE", "key": self.key(check.key), "result": result, "create_revision": "0"}
        version = str(check.version)
        return {"target": "MOD", "key": self.key(check.key), "result": "EQUAL", "mod_revision": version}


def _read_request(ranges: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return a transaction that reads several keys and ranges at one point in time."""
    return {"success": [{"request_range": each} for each in ranges]}


def _stored_versions(answer: Mapping[str, Any]) -> list[int]:
    """Return the version for each check of a transaction that failed."""
    return [
        next((int(kv["mod_revision"]) for kv in response["response_range"].get("kvs", ())), ABSENT)
        for response in answer.get("responses", ())
    ]


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _lease_id(number: int) -> str:
    return f"{number:0{_LEASE_ID_SIZE}x}"


def _lease_number(lease_id: str) -> int | None:
    """Return etcd's number of a lease, or None if the id is not one of etcd's."""
    try:
        number = int(lease_id, 16) if len(lease_id) == _LEASE_ID_SIZE else 0
    except ValueError:
        return None
    return number if 0 < number < 2**63 else None


#: A range with more keys than this is long.
_LONG_RANGE: Final = 4000
_LOOKAHEAD: Final = 1000
_MAX_BOUNDS: Final = 256


class _RangeReader:
    """Reads ranges so that a page of a long range costs what a page of a short one does.

    Before etcd 3.5 a server scans its index of the whole range, whatever the limit. So if a range turns out
    to be long, the key some thousand items ahead is remembered as a nearer bound of the range, and pages are
    read up to there, as long as they come back full.

    Args:
        call: sends a range request.
    """

    def __init__(self, call: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
        self._call = call
        self._bounds: dict[str, str] = {}  # by the end of the range

    def read(self, request: Mapping[str, Any]) -> list[dict[str, str]]:
        """Return the key-value pairs of a range, all at one point in time."""
        limit = int(request["limit"])
        if not limit or "sort_order" in request:
            return list(self._call(request).get("kvs", ()))
        bound = self._bounds.get(request["range_end"])
        if bound is not None and b64decode(request["key"]) < b64decode(bound):
            kvs = self._call({**request, "range_end": bound}).get("kvs", [])
            if len(kvs) == limit:
                return list(kvs)
        answer = self._call(request)
        if int(answer.get("count", 0)) > max(_LONG_RANGE, limit):
            self._find_bound(request)
        return list(answer.get("kvs", ()))

    def _find_bound(self, request: Mapping[str, Any]) -> None:
        limit = int(request["limit"]) + _LOOKAHEAD
        ahead = self._call({**request, "limit": limit, "keys_only": True}).get("kvs", ())
        if len(self._bounds) >= _MAX_BOUNDS:
            self._bounds.clear()
        if ahead:
            self._bounds[request["range_end"]] = ahead[-1]["key"]


#: Seconds after which a silent watch stream is replaced.
_MAX_SILENCE: Final = 20.0


class _Watch:
    """Reads the watch stream of some keys in a thread, and notifies the waiters.

    Args:
        client: the client.
        encoding: decodes the keys.
        prefix: the prefix of the keys.
        since: the revision after which the stream begins.
        timeout: seconds to retry after the stream has ended.
        translate_error: makes the error for the waiters.
    """

    def __init__(
        self,
        client: EtcdClient,
        encoding: _Encoding,
        prefix: str,
        since: int,
        timeout: float,
        translate_error: Callable[[NoAnswerError | ResponseError], exc.StorageFailure],
    ) -> None:
        self._client = client
        self._encoding = encoding
        self._prefix = prefix
        self._timeout = timeout
        self._translate_error = translate_error
        self._revision = since  # of the last event
        self._changes = ChangeLog(since)
        self._changed = threading.Condition()
        self._stream: ResponseStream | None = None
        self._is_closed = False
        self._failure: exc.StorageFailure | None = None
        threading.Thread(target=self._run, name="etcd-watch", daemon=True).start()

    @property
    def has_failed(self) -> bool:
        """Whether the thread has given up, so that a new watch is needed."""
        return self._failure is not None

    def close(self) -> None:
        """End the stream."""
        with self._changed:
            self._is_closed = True
            if self._stream is not None:
                self._stream.stop()

    def wait(self, prefix: str, since: int, timeout: float | None) -> int:
        """Wait for a change; see ``KV.wait``. Raise ``StorageFailure`` if the watch has failed."""
        deadline = None if timeout is None else SYSTEM.monotonic() + timeout
        with self._changed:
            while True:
                if self._failure is not None:
                    raise self._failure
                if self._changes.has_changed(prefix, since):
                    return max(self._revision, since + 1)
                remaining = None if deadline is None else deadline - SYSTEM.monotonic()
                if remaining is not None and remaining <= 0:
                    return since
                self._changed.wait(remaining)

    def _run(self) -> None:
        backoff = Backoff(self._timeout)
        while not self._is_closed:
            try:
                self._read_stream()
            except SilentError:
                self._stream, backoff = None, Backoff(self._timeout)
            except (NoAnswerError, ResponseError) as error:
                if self._stream is not None:
                    self._stream, backoff = None, Backoff(self._timeout)
                if isinstance(error, ResponseError) or not backoff.sleep():
                    self._fail(error)
                    return

    def _read_stream(self) -> None:
        request = {**self._encoding.prefix_range(self._prefix), "start_revision": str(self._revision + 1)}
        # A silent stream is replaced: nothing else shows that its connection is not dead.
        stream = self._client.stream("watch", {"create_request": request}, _MAX_SILENCE)
        with self._changed:
            self._stream = stream
            if self._is_closed:
                stream.stop()
        for message in stream:
            self._process(message)

    def _process(self, message: dict[str, Any]) -> None:
        with self._changed:
            if message.get("canceled"):
                # The events in between are compacted: any key may have changed.
                self._revision = max(self._revision, int(message.get("compact_revision", 0)))
                self._changes = ChangeLog(self._revision)
                self._changed.notify_all()
                self._client.forget_token()  # it may have expired
                raise NoAnswerError(str(message.get("cancel_reason", "the watch was cancelled")))
            for event in message.get("events", ()):
                revision = int(event["kv"]["mod_revision"])
                self._changes.append(revision, self._encoding.decode_key(event["kv"]["key"]))
                self._revision = max(self._revision, revision)
            self._changed.notify_all()

    def _fail(self, error: NoAnswerError | ResponseError) -> None:
        with self._changed:
            self._failure = self._translate_error(error)
            self._changed.notify_all()


def _read_max_request(options: Mapping[str, Any], url: str) -> int:
    size = int(options.get("max_request_bytes", _MAX_REQUEST))
    if size < _MIN_REQUEST:
        raise exc.InvalidFormat(
            f"option 'max_request_bytes' of '{url}' must be at least {_MIN_REQUEST}, not {size}"
        )
    return size


def _parse_servers(hosts: str, options: Mapping[str, Any], url: str) -> List[tuple[str, int]]:
    default_port = options.get("port", _PORT)
    servers = []
    for server in (hosts or options.get("host", "localhost")).split(","):
        host, colon, digits = server.strip().rpartition(":")
        if colon and not digits.isdigit() and not server.endswith("]"):
            raise exc.InvalidFormat(f"invalid URL '{url}' of an etcd server: use etcd://host:port/path")
        has_port = colon and digits.isdigit()
        host, port = (host, int(digits)) if has_port else (server.strip(), default_port)
        servers.append((host.strip("[]"), port))
    return servers


def _tls_context(options: Mapping[str, Any], name: str) -> ssl.SSLContext | None:
    protocol = options.get("protocol", "http")
    if protocol not in {"http", "https"}:
        raise exc.InvalidFormat(f"option 'protocol' of '{name}' must be 'http' or 'https', not {protocol!r}")
    if protocol == "http":
        return None
    try:
        context = ssl.create_default_context(cafile=options.get("ca_cert"))
        if "cert_cert" in options:
            context.load_cert_chain(options["cert_cert"], options.get("cert_key"))
    except (OSError, ssl.SSLError) as error:
        raise exc.InvalidFormat(
            f"cannot read the TLS files of '{name}' ({error}): check ca_cert, cert_cert and cert_key",
            cause=error,
        ) from error
    return context
