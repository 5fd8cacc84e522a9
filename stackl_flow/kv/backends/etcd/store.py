"""A place of items in an etcd cluster, by its native transactions, leases and watches.

What it costs: a commit is one transaction; so is a commit without checks, after one read. A list reads its
keys and no others (see ``pages``), save in reverse, where the server reads all that have the prefix before it
counts them (a few thousand are nothing, a hundred thousand are). Versions are revisions of the cluster.

A transaction lands once, however often it is sent: it compares something that it changes itself, so that the
second time it fails; then the mark that stands before each of its values tells whether the first one landed.

Leases last whole seconds, and no less than the cluster's election timeout and a half; its leader looks for
those that ran out twice a second.

Reads items in order; a page of many costs what a page of few does.

Before 3.5 a server goes over its index of the whole range, however few are asked for. So where a range turns
out to be long, the key of some thousand items ahead is remembered, and pages are read up to there, as long as
they come back full.

Items, checks and writes in the words of etcd's JSON gateway.

Before each value stands the mark of the commit that wrote it, by which a commit whose answer was lost is
known again.

Hears of changes: one stream for all who wait, from the revision on at which the first of them began.
"""

from __future__ import annotations

import math
import os
import ssl
import threading
import uuid
from base64 import b64decode, b64encode
from builtins import list as List  # noqa: N812  inside the class, ``list`` is the verb
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import urls
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.kv.backends.etcd.client import Gateway, Lost, Refused, Stream
from stackl_flow.kv.backoff import Backoff
from stackl_flow.kv.items import (
    ABSENT,
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
from stackl_flow.kv.ordered import prefix_end
from stackl_flow.kv.store import KV

_LONG: Final = 4000
_AHEAD: Final = 1000
_REMEMBERED: Final = 256


class Pages:
    """Reads ranges.

    Args:
        ask: sends a request for a range.
    """

    def __init__(self, ask: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
        self._ask = ask
        self._ends: dict[str, str] = {}

    def read(self, span: Mapping[str, Any]) -> list[dict[str, str]]:
        """Read a range, all of it at one moment.

        Args:
            span: the request.

        Returns:
            What is kept of each item.
        """
        limit = int(span["limit"])
        if not limit or "sort_order" in span:
            return list(self._ask(span).get("kvs", ()))
        near = self._ends.get(span["range_end"])
        if near is not None and b64decode(span["key"]) < b64decode(near):
            found = self._ask({**span, "range_end": near}).get("kvs", [])
            if len(found) == limit:
                return list(found)
        answer = self._ask(span)
        if int(answer.get("count", 0)) > max(_LONG, limit):
            self._look_ahead(span)
        return list(answer.get("kvs", ()))

    def _look_ahead(self, span: Mapping[str, Any]) -> None:
        ahead = self._ask({**span, "limit": int(span["limit"]) + _AHEAD, "keys_only": True}).get("kvs", ())
        if len(self._ends) >= _REMEMBERED:
            self._ends.clear()
        if ahead:
            self._ends[span["range_end"]] = ahead[-1]["key"]


MARK: Final = 12
_LEASE: Final = 16
_ORDER_DOWN: Final = {"sort_order": "DESCEND", "sort_target": "KEY"}


def text64(text: str) -> str:
    """Write a text as JSON carries bytes there."""
    return b64encode(text.encode()).decode()


def lease_name(number: int) -> str:
    """Name a lease by its number."""
    return f"{number:0{_LEASE}x}"


def lease_number(name: str) -> int | None:
    """Tell the number of a lease; None if it is no name of one."""
    try:
        number = int(name, 16) if len(name) == _LEASE else 0
    except ValueError:
        return None
    return number if 0 < number < 2**63 else None


class Words:
    """Puts items into words.

    Args:
        root: what all keys begin with in the cluster.
    """

    def __init__(self, root: str) -> None:
        self._root = root

    def key(self, key: str) -> str:
        """Write a key."""
        return text64(self._root + key)

    def read_key(self, told: str) -> str:
        """Read a key."""
        return b64decode(told).decode().removeprefix(self._root)

    def below(self, prefix: str) -> dict[str, str]:
        """Name the range of all keys that begin so."""
        return {"key": self.key(prefix), "range_end": self.key(prefix_end(prefix))}

    def span(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> dict[str, Any] | None:
        """Ask for items in order.

        Args:
            prefix: only items whose keys begin so.
            after: only items behind this key; in reverse, before it.
            limit: at most so many.
            reverse: the last key first. The server then reads all of them before it counts.

        Returns:
            The request, or None if there can be no such items.
        """
        low, high = prefix, prefix_end(prefix)
        if after and reverse:
            high = min(high, after)
        elif after and after >= prefix:
            low = after + "\0"
        if low >= high:
            return None
        asked: dict[str, Any] = {"key": self.key(low), "range_end": self.key(high), "limit": limit or 0}
        return asked | _ORDER_DOWN if reverse else asked

    def item(self, told: Mapping[str, str]) -> Item:
        """Read an item."""
        value = b64decode(told.get("value", ""))[MARK:].decode()
        lease = int(told.get("lease", 0))
        return Item(
            self.read_key(told["key"]),
            value,
            int(told["mod_revision"]),
            lease_name(lease) if lease else None,
        )

    def compare(self, check: Check) -> dict[str, str]:
        """Write a check."""
        if check.version in {ABSENT, PRESENT}:
            result = "EQUAL" if check.version == ABSENT else "GREATER"
            return {"target": "CREATE", "key": self.key(check.key), "result": result, "create_revision": "0"}
        version = str(check.version)
        return {"target": "MOD", "key": self.key(check.key), "result": "EQUAL", "mod_revision": version}

    def transaction(
        self,
        checks: Sequence[Check],
        puts: Sequence[Put],
        deletes: Sequence[str],
        lease: int,
        mark: str,
    ) -> dict[str, Any]:
        """Write a commit; when a check does not hold, the answer tells what was found for each.

        Args:
            checks: what must hold.
            puts: the items to write.
            deletes: the keys to delete.
            lease: number of the lease of those puts that have one.
            mark: the commit's own.

        Returns:
            The request.
        """
        success: list[dict[str, Any]] = []
        for put in puts:
            words = {"key": self.key(put.key), "value": text64(mark + put.value)}
            if put.lease is not None:
                words["lease"] = str(lease)
            success.append({"request_put": words})
        success += [{"request_delete_range": {"key": self.key(key)}} for key in deletes]
        found = [{"request_range": {"key": self.key(check.key), "keys_only": True}} for check in checks]
        return {"compare": [self.compare(check) for check in checks], "success": success, "failure": found}

    def reading(self, spans: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        """Ask for several keys and ranges at one moment."""
        return {"success": [{"request_range": span} for span in spans]}


def found_versions(answer: Mapping[str, Any]) -> list[int]:
    """Read what a commit that did not land found for each of its checks."""
    return [
        next((int(each["mod_revision"]) for each in told["response_range"].get("kvs", ())), ABSENT)
        for told in answer.get("responses", ())
    ]


def landed_at(answer: Mapping[str, Any], mark: str) -> int | None:
    """Look in what was read for the mark of a commit; tell the version it gave its items."""
    for told in answer.get("responses", ()):
        for each in told["response_range"].get("kvs", ()):
            if b64decode(each.get("value", ""))[:MARK] == mark.encode():
                return int(each["mod_revision"])
    return None


# Whoever waits comes back soon; one who was away longer looks anew.
_WATCH_REMEMBERED: Final = 4096


class Watch:
    """Reads the stream in a thread of its own, and wakes those who wait.

    Args:
        gateway: the cluster.
        words: knows the keys.
        since: the revision up to which nobody wants to know.
        timeout: for how many seconds to try when the stream has ended.
        translated: makes an error of ours.
    """

    def __init__(
        self,
        gateway: Gateway,
        words: Words,
        since: int,
        timeout: float,
        translated: Callable[[Lost | Refused], exc.StorageFailure],
    ) -> None:
        self._gateway = gateway
        self._words = words
        self._timeout = timeout
        self._translated = translated
        self._known_from = self._seen = since
        self._changes: deque[tuple[int, str]] = deque()
        self._changed = threading.Condition()
        self._stream: Stream | None = None
        self._closed = False
        self._failure: exc.StorageFailure | None = None
        threading.Thread(target=self._run, name="etcd-watch", daemon=True).start()

    @property
    def failed(self) -> bool:
        """Whether it gave up: make another one."""
        return self._failure is not None

    def close(self) -> None:
        """End it."""
        with self._changed:
            self._closed = True
            if self._stream is not None:
                self._stream.stop()

    def wait(self, prefix: str, since: int, timeout: float | None) -> int:
        """Wait for a change.

        Args:
            prefix: of keys that begin so.
            since: after this revision.
            timeout: for how many seconds at most.

        Returns:
            The revision up to which changes are known, or ``since`` when the time is over.

        Raises:
            StorageFailure: the cluster cannot be reached any more.
        """
        deadline = None if timeout is None else SYSTEM.monotonic() + timeout
        with self._changed:
            while True:
                if self._failure is not None:
                    raise self._failure
                if since < self._known_from or self._has_changed(prefix, since):
                    return max(self._seen, since + 1)
                left = None if deadline is None else deadline - SYSTEM.monotonic()
                if left is not None and left <= 0:
                    return since
                self._changed.wait(left)

    def _has_changed(self, prefix: str, since: int) -> bool:
        for revision, key in reversed(self._changes):
            if revision <= since:
                return False
            if key.startswith(prefix):
                return True
        return False

    def _run(self) -> None:
        backoff = Backoff(self._timeout)
        while not self._closed:
            try:
                self._listen()
            except (Lost, Refused) as error:
                if self._stream is not None:
                    self._stream, backoff = None, Backoff(self._timeout)
                if isinstance(error, Refused) or not backoff.sleep():
                    self._give_up(error)
                    return

    def _listen(self) -> None:
        asked = {**self._words.below(""), "start_revision": str(self._seen + 1)}
        stream = self._gateway.stream("watch", {"create_request": asked})
        with self._changed:
            self._stream = stream
            if self._closed:
                stream.stop()
        for told in stream:
            self._hear(told)

    def _hear(self, told: dict[str, Any]) -> None:
        with self._changed:
            if told.get("canceled"):
                # What happened in between is compacted away: any key may have changed.
                self._known_from = self._seen = max(self._seen, int(told.get("compact_revision", 0)))
                self._changes.clear()
                self._changed.notify_all()
                raise Lost(str(told.get("cancel_reason", "the watch was cancelled")))
            for event in told.get("events", ()):
                at = int(event["kv"]["mod_revision"])
                self._changes.append((at, self._words.read_key(event["kv"]["key"])))
                self._seen = max(self._seen, at)
            while len(self._changes) > _WATCH_REMEMBERED:
                self._known_from = self._changes.popleft()[0]
            self._changed.notify_all()

    def _give_up(self, error: Lost | Refused) -> None:
        with self._changed:
            self._failure = self._translated(error)
            self._changed.notify_all()


_PORT: Final = 2379
_NOT_FOUND: Final = 5
_EXISTS: Final = 9
#: What a server takes in one transaction.
_MOST_OPERATIONS: Final = 128

_Answer = dict[str, Any]


class EtcdKV(KV):
    """Keeps items in an etcd cluster (3.4 or newer), through its JSON gateway.

    Args:
        conf: "connection" is the address: "etcd://host:port/path", several servers with commas between them;
            or "etcd" with ``host`` and ``port`` beside it. Further options: ``path``, what the keys begin
            with; ``protocol``, "http" or "https"; ``ca_cert``, ``cert_cert`` and ``cert_key``, files for TLS;
            ``timeout``, seconds to wait for an answer; ``api_path``, where the gateway is.
        clock: not asked: the cluster's own clock tells when leases run out.

    Raises:
        InvalidFormat: the address or an option makes no sense.
    """

    # The server takes 1.5 MiB with all keys, and so many operations, of which one is ours.
    limits = Limits(value=1_400_000, commit=1_400_000, operations=_MOST_OPERATIONS - 1)

    def __init__(self, conf: str | Mapping[str, Any], clock: Clock = SYSTEM) -> None:
        place = urls.parse(conf)
        super().__init__(place.conf, clock=clock)
        given = place.read_options(
            host=str,
            port=int,
            protocol=str,
            ca_cert=str,
            cert_cert=str,
            cert_key=str,
            timeout=float,
            api_path=str,
            path=str,
        ).values
        hosts, _, path = place.location.partition("/")
        servers = _servers(hosts, given, place.masked_url)
        path = (path or given.get("path", "stackl_flow")).strip("/")
        self._name = f"etcd://{','.join(f'{host}:{port}' for host, port in servers)}/{path}"
        self._timeout = given.get("timeout", 10.0)
        self._gateway = Gateway(
            servers, _tls(given, self._name), self._timeout, given.get("api_path", "/v3/")
        )
        self._words = Words(f"/{path}/")
        self._pages = Pages(partial(self._ask, "kv/range"))
        self._watch: Watch | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()

    @property
    def name(self) -> str:
        """The address."""
        return self._name

    def close(self) -> None:
        """Close the connections."""
        watch, self._watch = self._watch, None
        if watch is not None and self._pid == os.getpid():
            watch.close()
        self._gateway.close()

    def _call(self, path: str, body: Mapping[str, Any]) -> tuple[_Answer, bool]:
        """Ask, again if no answer comes; say, too, whether an earlier request may have been carried out."""
        unsure, backoff = False, Backoff(self._timeout)
        while True:
            try:
                return self._gateway.call(path, body), unsure
            except Lost as error:
                unsure = unsure or error.sent
                if isinstance(error.__cause__, ssl.SSLError) or not backoff.sleep():
                    raise self._translated(error) from error

    def _ask(self, path: str, body: Mapping[str, Any]) -> _Answer:
        try:
            return self._call(path, body)[0]
        except Refused as error:
            raise self._translated(error) from error

    def _translated(self, error: Lost | Refused) -> exc.StorageFailure:
        if isinstance(error, Refused):
            remedy = (
                "refused: see that it is an etcd server (3.4 or newer) with the JSON gateway, that protocol "
                "and api_path are right, and look into its log"
            )
        elif isinstance(error.__cause__, ssl.SSLError):
            remedy = "and we do not agree on TLS: check protocol, ca_cert, cert_cert and cert_key"
        else:
            remedy = (
                f"did not answer within {self._timeout:g} s: see that the server runs and can be reached"
                " (with TLS: protocol=https)"
            )
        return exc.StorageFailure(f"'{self._name}' {remedy} ({error})", cause=error)

    # ---------------------------------------------------------------- reading

    def _get(self, key: str) -> Item | None:
        for told in self._ask("kv/range", {"key": self._words.key(key)}).get("kvs", ()):
            return self._words.item(told)
        return None

    def _get_many(self, keys: Sequence[str]) -> List[Item | None]:
        found = self._several([{"key": self._words.key(key)} for key in keys])
        return [next(iter(items), None) for items in found]

    def _list_many(self, prefixes: Sequence[str]) -> List[List[Item]]:
        return self._several([self._words.below(prefix) for prefix in prefixes])

    def _several(self, spans: Sequence[Mapping[str, str]]) -> List[List[Item]]:
        found: list[list[Item]] = []
        for start in range(0, len(spans), _MOST_OPERATIONS):
            answer = self._ask("kv/txn", self._words.reading(spans[start : start + _MOST_OPERATIONS]))
            ranges = (each["response_range"] for each in answer["responses"])
            found += ([self._words.item(told) for told in each.get("kvs", ())] for each in ranges)
        return found

    def _list(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> List[Item]:
        span = self._words.span(prefix, after, limit, reverse=reverse)
        if span is None:
            return []
        return [self._words.item(told) for told in self._pages.read(span)]

    # ---------------------------------------------------------------- writing

    def _commit(
        self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str], lease: str | None
    ) -> int:
        number = 0 if lease is None else lease_number(lease)
        if lease is not None and number is None:
            raise lease_lost_error(lease)
        mark = uuid.uuid4().hex[:MARK]
        while True:
            guard = self._guard(checks, puts, deletes)
            asked = self._words.transaction([*checks, *guard], puts, deletes, number or 0, mark)
            try:
                answer, unsure = self._call("kv/txn", asked)
            except Refused as error:
                if error.code != _NOT_FOUND or lease is None:
                    raise self._translated(error) from error
                # Sent before, it may have landed, and the lease has run out since.
                landed = self._landed(puts, mark)
                if landed is None:
                    raise lease_lost_error(lease) from error
                return landed
            if answer.get("succeeded"):
                return int(answer["header"]["revision"])
            if unsure:
                if not checks and not puts and not any(self._get_many(deletes)):
                    # What was to be deleted is not there, whoever did it.
                    return int(answer["header"]["revision"])
                return self._landed_or_unknown(puts, mark)
            self._refuse(checks, found_versions(answer))

    def _guard(self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str]) -> List[Check]:
        """Find a check that fails once the commit has landed, unless there is one among its own."""
        written = [put.key for put in puts]
        own = {check.key for check in checks if check.version != PRESENT}
        gone = {check.key for check in checks if check.version == PRESENT}
        if own.intersection(written) or (own | gone).intersection(deletes) or not (written or deletes):
            return []
        key = (*written, *deletes)[0]
        item = self._get(key)
        return [Check(key, ABSENT if item is None else item.version)]

    def _landed(self, puts: Sequence[Put], mark: str) -> int | None:
        """Look for the mark of a commit whose answer was lost."""
        written = [{"key": self._words.key(put.key)} for put in puts]
        return landed_at(self._ask("kv/txn", self._words.reading(written)), mark)

    def _landed_or_unknown(self, puts: Sequence[Put], mark: str) -> int:
        landed = self._landed(puts, mark)
        if landed is None:
            raise exc.StorageFailure(
                f"'{self._name}' lost the answer to a commit, and others have written the same items since: "
                f"it may have landed before them; read what is there now"
            )
        return landed

    def _refuse(self, checks: Sequence[Check], found: Sequence[int]) -> None:
        """Raise what kept a commit from landing; if only our own guard did, it is to be sent anew."""
        for check, version in zip(checks, found, strict=False):
            if not is_satisfied(check, version):
                raise conflict_error(check, version)

    # ---------------------------------------------------------------- leases

    def _grant(self, lease: Lease) -> Lease:
        number = (int(lease.id, 16) & (2**63 - 1)) or 1
        seconds = max(math.ceil(lease.ttl), 1)
        try:
            answer, _ = self._call("lease/grant", {"ID": str(number), "TTL": str(seconds)})
            seconds = int(answer["TTL"])
        except Refused as error:
            if error.code != _EXISTS:  # else it is ours, and the first answer was lost
                raise self._translated(error) from error
        return Lease(lease_name(number), float(seconds))

    def _extend(self, lease: Lease) -> bool:
        number = lease_number(lease.id)
        if number is None:
            return False
        answer = self._ask("lease/keepalive", {"ID": str(number)})
        return int(answer.get("result", {}).get("TTL", 0)) > 0

    def _revoke(self, lease: Lease) -> None:
        number = lease_number(lease.id)
        if number is None:
            return
        try:
            self._call("lease/revoke", {"ID": str(number)})
        except Refused as error:
            if error.code != _NOT_FOUND:
                raise self._translated(error) from error

    # ---------------------------------------------------------------- waiting

    def _wait(self, prefix: str, since: int, timeout: float | None) -> int:
        if since:
            return self._watching(since).wait(prefix, since, timeout)
        asked = {"key": self._words.key(""), "count_only": True}
        now = int(self._ask("kv/range", asked)["header"]["revision"])
        self._watching(now)
        return now

    def _watching(self, since: int) -> Watch:
        with self._lock:
            if self._pid != os.getpid():
                self._pid, self._watch = os.getpid(), None  # the parent's thread is not here
            if self._watch is None or self._watch.failed:
                self._watch = Watch(self._gateway, self._words, since, self._timeout, self._translated)
            return self._watch


def _servers(hosts: str, given: Mapping[str, Any], url: str) -> List[tuple[str, int]]:
    if "@" in hosts:
        raise exc.InvalidFormat(
            f"'{url}' names a user: leave that out, we log in by certificates (cert_cert)"
        )
    port = given.get("port", _PORT)
    found = []
    for each in (hosts or given.get("host", "localhost")).split(","):
        host, colon, digits = each.strip().rpartition(":")
        if colon and not digits.isdigit() and not each.endswith("]"):
            raise exc.InvalidFormat(f"'{url}' is no address of an etcd server: write etcd://host:port/path")
        host, at = (host, int(digits)) if colon and digits.isdigit() else (each.strip(), port)
        found.append((host.strip("[]"), at))
    return found


def _tls(given: Mapping[str, Any], name: str) -> ssl.SSLContext | None:
    protocol = given.get("protocol", "http")
    if protocol not in {"http", "https"}:
        raise exc.InvalidFormat(f"option 'protocol' of '{name}' must be 'http' or 'https', not {protocol!r}")
    if protocol == "http":
        return None
    try:
        context = ssl.create_default_context(cafile=given.get("ca_cert"))
        if "cert_cert" in given:
            context.load_cert_chain(given["cert_cert"], given.get("cert_key"))
    except (OSError, ssl.SSLError) as error:
        raise exc.InvalidFormat(
            f"the files for TLS with '{name}' cannot be read ({error}): "
            f"check ca_cert, cert_cert and cert_key",
            cause=error,
        ) from error
    return context
