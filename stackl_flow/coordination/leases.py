"""The leases of owners: one for each name, extended by a heartbeat from a thread or from a separate process.

What an owner holds depends on its lease. While this process lives, the heartbeat extends the lease three
times in its duration; when the process dies the lease expires on the server. A heartbeat thread costs
nothing, but is starved by a task that holds the GIL; a heartbeat process (see ``heartbeat``) is not. While
that process starts, the thread does the work.

Keys: ``<prefix><lease>`` holds the owner's name, as JSON, and is bound to the lease: whether it exists says
whether the lease has expired, and a commit can check that. ``<holders><lease>`` is written with it and not
bound to the lease: it says that something may still be held with a lease that has expired. What releases
that deletes the item.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Container
from typing import Final

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.coordination.heartbeat import HeartbeatProcess
from stackl_flow.kv.items import Lease, Put, quote
from stackl_flow.kv.store import KV

_LOG = redaction.get_logger(__name__)

#: How often a lease is extended in its duration.
_BEATS: Final = 3


def owner_key(prefix: str, lease: str) -> str:
    """Return the key of the item that names the owner of a lease; ``lease`` may be empty."""
    return prefix + quote(lease or "none")


class Leases:
    """Leases by name of their owner.

    Args:
        kv: the store that grants them.
        prefix: prefix of the items that name the owners.
        holders: prefix of the items that outlive the leases.
        ttl: duration of a lease in seconds.
        on_lost: called with the name of an owner whose lease expired, from any thread.
    """

    def __init__(self, kv: KV, prefix: str, holders: str, ttl: float, on_lost: Callable[[str], None]) -> None:
        self._kv = kv
        self._prefix = prefix
        self._holders = holders
        self._ttl = ttl
        self._on_lost = on_lost
        self.forget()

    def forget(self) -> None:
        """Start without leases, in a forked child: those of its parent are extended and revoked there.

        Nothing is stopped or waited for, not even a lock, which a thread of the parent may have held.
        """
        self._leases: dict[str, Lease] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._process: HeartbeatProcess | None = None

    @property
    def margin(self) -> float:
        """Seconds for which a lease is valid at any moment if its heartbeat works."""
        return self._ttl / _BEATS

    def use_heartbeat_process(self) -> None:
        """Extend the leases from a separate process from now on, if one can open the store."""
        with self._lock:
            if self._process is None and self._kv.is_shared:
                self._process = HeartbeatProcess(self._kv.conf, self._expired)
                for lease in self._leases.values():
                    self._process.add(lease)

    def get(self, owner: str) -> Lease:
        """Return the lease of an owner; it is granted, and the owner's name stored, if there is none."""
        with self._lock:
            lease = self._leases.get(owner)
            if lease is None:
                lease = self._kv.grant(self._ttl)
                named = Put(owner_key(self._prefix, lease.id), json.dumps(owner), lease.id)
                self._kv.commit(puts=[named, Put(owner_key(self._holders, lease.id), "null")])
                self._leases[owner] = lease
                if self._process is not None:
                    self._process.add(lease)
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="lease-heartbeat", daemon=True)
                self._thread.start()
            return lease

    def current_id(self, owner: str) -> str:
        """Return the id of the lease that an owner has now; empty if none."""
        with self._lock:
            lease = self._leases.get(owner)
            return "" if lease is None else lease.id

    def extend(self, owner: str) -> None:
        """Extend the lease of an owner now.

        Raises:
            LeaseLost: it has expired.
        """
        try:
            self._kv.extend(self.get(owner))
        except exc.LeaseLost:
            self.drop(owner)
            raise

    def check(self, owner: str) -> None:
        """Drop the lease of an owner if it has expired."""
        if self._kv.get(owner_key(self._prefix, self.get(owner).id)) is None:
            self.drop(owner)

    def drop(self, owner: str) -> None:
        """Forget a lease that has expired, and call back; the next ``get`` is granted another."""
        with self._lock:
            lease = self._leases.pop(owner, None)
            if lease is not None and self._process is not None:
                self._process.remove(lease)
        if lease is not None:
            self._on_lost(owner)

    def give_up(self, owner: str) -> None:
        """Extend the lease of an owner no longer, call back, and revoke it if the store can be reached."""
        with self._lock:
            lease = self._leases.get(owner)
        if lease is None:
            return
        self.drop(owner)
        try:
            self._kv.revoke(lease)
        except exc.StorageFailure as error:
            _LOG.warning("the lease of '%s' could not be revoked and will expire: %s", owner, error)

    def close(self, holding: Container[str] | None = None) -> None:
        """Stop the heartbeat and revoke all leases, with everything that depends on them.

        Args:
            holding: ids of the leases with which something is still held, for others to release; None if it
                may be held with any.

        Raises:
            StorageFailure: some could not be revoked; they expire, since nothing extends them any more.
        """
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        with self._lock:
            leases, self._leases = self._leases, {}
            process, self._process = self._process, None
        if process is not None:
            process.stop()
        self._stop.clear()
        failures: list[exc.StorageFailure] = []
        for lease in leases.values():
            try:
                self._kv.revoke(lease)
                if holding is not None and lease.id not in holding:
                    self._kv.commit(deletes=[owner_key(self._holders, lease.id)])
            except exc.StorageFailure as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def _expired(self, lease_id: str) -> None:
        """Handle the report of the heartbeat process that a lease has expired."""
        with self._lock:
            owners = [owner for owner, lease in self._leases.items() if lease.id == lease_id]
            for owner in owners:
                del self._leases[owner]
        for owner in owners:
            self._on_lost(owner)

    def _beat(self) -> None:
        while not self._stop.wait(self._interval()):
            with self._lock:
                has_process = self._process is not None and self._process.is_running
                owners = [] if has_process else list(self._leases)
            for owner in owners:
                self._extend(owner)

    def _interval(self) -> float:
        with self._lock:
            return min((lease.ttl for lease in self._leases.values()), default=self._ttl) / _BEATS

    def _extend(self, owner: str) -> None:
        try:
            self.extend(owner)
        except exc.LeaseLost:
            return  # the callback was called
        except exc.StorageFailure as error:
            # The lease may outlive the failure: the next beat tries again.
            _LOG.warning("cannot extend the lease of '%s': %s", owner, error)
