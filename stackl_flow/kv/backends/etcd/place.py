"""A place of items in an etcd cluster, by its native transactions, leases and watches.

What it costs: a commit is one transaction; so is a commit without checks, after one read. A list reads its
keys and no others (see ``pages``), save in reverse, where the server reads all that have the prefix before it
counts them (a few thousand are nothing, a hundred thousand are). Versions are revisions of the cluster.

A transaction lands once, however often it is sent: it compares something that it changes itself, so that the
second time it fails; then the mark that stands before each of its values tells whether the first one landed.

Leases last whole seconds, and no less than the cluster's election timeout and a half; its leader looks for
those that ran out twice a second.
"""

from __future__ import annotations

import math
import os
import ssl
import threading
import uuid
from builtins import list as List  # noqa: N812  inside the class, ``list`` is the verb
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import settings
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.kv.backends.etcd.gateway import Gateway, Lost, Refused
from stackl_flow.kv.backends.etcd.pages import Pages
from stackl_flow.kv.backends.etcd.watch import Watch
from stackl_flow.kv.backends.etcd.words import (
    MARK,
    Words,
    found_versions,
    landed_at,
    lease_name,
    lease_number,
)
from stackl_flow.kv.base import KV
from stackl_flow.kv.items import ABSENT, PRESENT, Check, Item, Lease, Limits, Put, changed, holds, lease_lost
from stackl_flow.kv.patience import Patience

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
        place = settings.parse(conf)
        super().__init__(place.conf, clock=clock)
        given = place.take(
            host=str,
            port=int,
            protocol=str,
            ca_cert=str,
            cert_cert=str,
            cert_key=str,
            timeout=float,
            api_path=str,
            path=str,
        ).given
        hosts, _, path = place.location.partition("/")
        servers = _servers(hosts, given, place.url)
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
        unsure, patience = False, Patience(self._timeout)
        while True:
            try:
                return self._gateway.call(path, body), unsure
            except Lost as error:
                unsure = unsure or error.sent
                if isinstance(error.__cause__, ssl.SSLError) or not patience.pause():
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
            raise lease_lost(lease)
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
                    raise lease_lost(lease) from error
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
            if not holds(check, version):
                raise changed(check, version)

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
